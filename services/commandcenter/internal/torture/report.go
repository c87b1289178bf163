package torture

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"
)

// Report is a whole run.
type Report struct {
	Seed    uint64         `json:"seed"`
	Rounds  int            `json:"rounds"`
	Took    time.Duration  `json:"took_ns"`
	Kills   map[string]int `json:"kills"`
	Slowest time.Duration  `json:"slowest_recovery_ns"`
	Ended   []Ended        `json:"ended"`   // processes that nobody killed
	Answers map[string]int `json:"answers"` // by operation and status, every try
	Silent  int            `json:"silent"`  // tries without an answer
	Logs    string         `json:"logs,omitempty"`
	*Verdict
}

// Ended is a process that ended by itself and was started again.
type Ended struct {
	Role string `json:"role"`
	Why  string `json:"why"`
}

// Write writes the report for people.
func (r *Report) Write(w io.Writer) error {
	var err error
	line := func(format string, args ...any) {
		if err == nil {
			_, err = fmt.Fprintf(w, format+"\n", args...)
		}
	}
	line("torture: %d rounds of kill -9 in %s, seed %d", r.Rounds, r.Took.Round(time.Second), r.Seed)
	line("  killed          %s; slowest recovery %s", counts(r.Kills), r.Slowest.Round(10*time.Millisecond))
	line("  ended           %d by themselves", len(r.Ended))
	for _, e := range r.Ended {
		line("    %s: %s", e.Role, e.Why)
	}
	line("  answers         %s; %d tries without one", counts(r.Answers), r.Silent)
	line("  written         %s: %d writes done, of %d the end is not known", counts(r.Things), r.Writes, r.Unsure)
	line("  events          %d in the database, %d in EVENTS (%d of them again), of %d things", r.Events, r.InStream, r.Again, r.Aggregates)
	for _, who := range slices.Sorted(maps.Keys(r.Heard)) {
		line("  heard           %s: %d (%d again)", who, r.Heard[who], r.HeardAgain[who])
	}
	line("  objects         %d, %d of them nobody's any more", r.Objects, r.Unreferenced)
	line("  dead letters    %d", len(r.Dead))
	for _, d := range r.Dead {
		line("    %d %s: %s: %s", d.Seq, d.Consumer, cmp.Or(d.Explanation, "NOT EXPLAINED"), d.Reason)
	}
	if len(r.Violations) == 0 {
		line("  verdict         every promise was kept")
		return err
	}
	line("  verdict         %d VIOLATIONS", len(r.Violations))
	for _, v := range r.Violations {
		line("    %s", v)
	}
	if r.Logs != "" {
		line("  logs            %s", r.Logs)
	}
	return err
}

func counts(m map[string]int) string {
	out := ""
	for i, k := range slices.Sorted(maps.Keys(m)) {
		if i > 0 {
			out += ", "
		}
		out += fmt.Sprintf("%s %d", k, m[k])
	}
	return out
}
