package bus

import (
	"context"
	"time"

	"github.com/nats-io/nats.go/micro"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/commandcenter/commandcenter/pkg/app"
	"github.com/commandcenter/commandcenter/pkg/errs"
)

// endpointStats are the figures that $SRV.STATS shows beside the framework's
// own, which see only how long it took to hand a request over.
func (s *Server) endpointStats(e *micro.Endpoint) any {
	op := s.ops[e.Name]
	if op == nil {
		return nil
	}
	if op.name != getOperation {
		return op.stats()
	}
	var commands []OperationStats
	for _, c := range s.order {
		if c.delivery == asCommand {
			commands = append(commands, c.stats())
		}
	}
	return map[string]any{"commands": commands, "checks": s.checks()}
}

func (s *Server) checks() map[string]app.Status {
	out := map[string]app.Status{}
	for _, r := range app.RunChecks(context.Background(), time.Second, s.c.Checks...) {
		out[r.Name] = r.Status
	}
	return out
}

// Stats returns the counters of every operation, in order of registration.
func (s *Server) Stats() []OperationStats {
	out := make([]OperationStats, 0, len(s.order))
	for _, op := range s.order {
		out = append(out, op.stats())
	}
	return out
}

func (op *operation) stats() OperationStats {
	st := OperationStats{Operation: op.name, Delivery: string(op.delivery), Requests: op.requests.Load(), Refusals: op.refusals.Load(), Faults: op.faults.Load()}
	if st.Requests > 0 {
		st.AverageSeconds = time.Duration(op.nanos.Load() / st.Requests).Seconds()
	}
	return st
}

// count adds one outcome to the operation's figures.
func (s *Server) count(op *operation, o outcome, took time.Duration) {
	class := statusClass(o)
	op.requests.Add(1)
	op.nanos.Add(int64(took))
	if o.err != nil {
		if errs.KindOf(o.err).Refusal() {
			op.refusals.Add(1)
		} else {
			op.faults.Add(1)
		}
	}
	obs, ok := op.observers.Load(class)
	if !ok {
		obs, _ = op.observers.LoadOrStore(class, s.b.m.served.WithLabelValues(s.c.Service, op.name, string(op.delivery), class))
	}
	obs.(prometheus.Observer).Observe(took.Seconds())
}

// OperationStats are the counters of one operation since the start.
type OperationStats struct {
	Operation      string  `json:"operation"`
	Delivery       string  `json:"delivery"`
	Requests       int64   `json:"num_requests"`
	Refusals       int64   `json:"num_refusals"` // answered with an error of the caller
	Faults         int64   `json:"num_errors"`   // answered with, or failed by, one of ours
	AverageSeconds float64 `json:"average_seconds"`
}
