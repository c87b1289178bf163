package cli

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
	"github.com/spf13/cobra"

	"github.com/commandcenter/commandcenter/pkg/bus"
)

// running is one replica of a service, as it is printed.
type running struct {
	Name       string               `json:"name"`
	Version    string               `json:"version"`
	ID         string               `json:"id"`
	Started    time.Time            `json:"started"`
	Operations []bus.OperationStats `json:"operations"`
}

func (e *env) busServices() *cobra.Command {
	return ends(&cobra.Command{
		Use:   "services",
		Short: "Every running service, the operations that it answers, and how",
		Long: `Asks every replica of every service what it has done since its start. Times are
those of the work itself. ERRORS are faults of ours; REFUSED was the caller's.`,
		Example: "  commandcenter bus services\n  commandcenter bus services --json | jq '.[].operations[] | select(.num_errors > 0)'",
		Args:    nargs(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			nc, err := e.admin()
			if err != nil {
				return err
			}
			defer nc.Close()
			found, err := services(cmd.Context(), nc)
			if err != nil {
				return err
			}
			if e.json {
				e.print(e.Out, found)
				return nil
			}
			t := newTable(e.Out, "SERVICE", "OPERATION", "DELIVERY", "REQUESTS", "REFUSED", "ERRORS", "MEAN", "P99")
			for _, s := range found {
				for _, o := range s.Operations {
					t.row(s.Name+" "+s.Version, o.Operation, o.Delivery, strconv.FormatInt(o.Requests, 10), strconv.FormatInt(o.Refusals, 10),
						strconv.FormatInt(o.Faults, 10), seconds(o.AverageSeconds), seconds(o.P99Seconds))
				}
			}
			return t.flush()
		},
	}, codesBus...)
}

// services asks every replica, and sorts them by name and start.
func services(ctx context.Context, nc *nats.Conn) ([]running, error) {
	answers, err := gather[micro.Stats](ctx, nc, "$SRV.STATS", 500*time.Millisecond)
	if err != nil {
		return nil, err
	}
	out := make([]running, 0, len(answers))
	for _, a := range answers {
		r := running{Name: a.Name, Version: a.Version, ID: a.ID, Started: a.Started, Operations: []bus.OperationStats{}}
		for _, ep := range a.Endpoints {
			stats, err := bus.StatsOf(ep)
			if err != nil || stats[0].Operation == "" { // not one of ours
				stats = []bus.OperationStats{{
					Operation: ep.Name, Requests: int64(ep.NumRequests), Faults: int64(ep.NumErrors), AverageSeconds: ep.AverageProcessingTime.Seconds(),
				}}
			}
			r.Operations = append(r.Operations, stats...)
		}
		out = append(out, r)
	}
	slices.SortFunc(out, func(a, b running) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), a.Started.Compare(b.Started))
	})
	return out, nil
}

// seconds is a duration of three digits; "" for none.
func seconds(s float64) string {
	switch d := time.Duration(s * float64(time.Second)); {
	case d <= 0:
		return ""
	case d >= time.Second:
		return d.Round(10 * time.Millisecond).String()
	case d >= 10*time.Millisecond:
		return d.Round(100 * time.Microsecond).String()
	default:
		return d.Round(time.Microsecond).String()
	}
}
