package app

import (
	"os"
	"runtime/debug"
)

// gcPercent lets the heap grow to three times what lives in it. Services like
// ours keep little and throw away much: with Go's 100 a tenth of the time of a
// request goes to the collector, and the slowest ones wait for it.
const gcPercent = 200

// RelaxGC sets how often this process collects garbage; the environment's GOGC
// wins. Bound the memory of a container with GOMEMLIMIT: near it the collector
// works as often as it must.
func RelaxGC() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
}
