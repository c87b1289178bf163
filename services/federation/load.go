package federation

import (
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// newLoad returns a function that tells the share of the processors that this
// process used since its last call; nil where the system does not say.
func newLoad(now func() time.Time) func() *float64 {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	used := func() (seconds float64, ok bool) {
		all, err := r.Gather()
		if err != nil {
			return 0, false
		}
		for _, f := range all {
			if f.GetName() == "process_cpu_seconds_total" && len(f.GetMetric()) == 1 {
				return f.GetMetric()[0].GetCounter().GetValue(), true
			}
		}
		return 0, false
	}
	last, _ := used()
	at := now()
	return func() *float64 {
		seconds, ok := used()
		took := now().Sub(at).Seconds() * float64(runtime.GOMAXPROCS(0))
		if !ok || took <= 0 {
			return nil
		}
		share := min(max((seconds-last)/took, 0), 1)
		last, at = seconds, now()
		return &share
	}
}
