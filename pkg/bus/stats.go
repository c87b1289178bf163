package bus

import (
	"encoding/json"
	"fmt"
	"math/bits"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/micro"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/commandcenter/commandcenter/pkg/errs"
)

// OperationStats are the figures of one operation since the start. The times
// are those of the work itself, without the wait for a worker; a request that
// no worker has seen has none.
type OperationStats struct {
	Operation      string  `json:"operation"`
	Delivery       string  `json:"delivery"`     // request, command, internal or stream
	Requests       int64   `json:"num_requests"` // of a command every try
	Refusals       int64   `json:"num_refusals"` // answered with an error of the caller
	Faults         int64   `json:"num_errors"`   // answered with, or failed by, one of ours
	AverageSeconds float64 `json:"average_seconds"`
	P50Seconds     float64 `json:"p50_seconds"` // within an eighth
	P99Seconds     float64 `json:"p99_seconds"` // likewise
}

// endpointData is the data of an endpoint in $SRV.STATS. The framework's own
// figures see only how long it took to hand a request over.
type endpointData struct {
	OperationStats
	// Commands come from a stream and have no endpoint of their own.
	Commands []OperationStats `json:"commands,omitempty"`
}

// StatsOf reads what a server of this package says in $SRV.STATS about an
// endpoint: the figures of its operation, and with those of getOperation the
// ones of every command.
func StatsOf(e *micro.EndpointStats) ([]OperationStats, error) {
	var d endpointData
	if err := json.Unmarshal(e.Data, &d); err != nil {
		return nil, fmt.Errorf("figures of %s: %w", e.Name, err)
	}
	return append([]OperationStats{d.OperationStats}, d.Commands...), nil
}

// endpointStats answers for one endpoint. It runs under the framework's lock,
// which every request takes as well.
func (s *Server) endpointStats(e *micro.Endpoint) any {
	op := s.ops[e.Name]
	if op == nil {
		return nil
	}
	d := endpointData{OperationStats: op.stats()}
	if op.name == getOperation {
		for _, c := range s.order {
			if c.delivery == asCommand {
				d.Commands = append(d.Commands, c.stats())
			}
		}
	}
	return d
}

// Stats returns the figures of every operation, in order of registration.
func (s *Server) Stats() []OperationStats {
	out := make([]OperationStats, 0, len(s.order))
	for _, op := range s.order {
		out = append(out, op.stats())
	}
	return out
}

func (op *operation) stats() OperationStats {
	return OperationStats{
		Operation: op.name, Delivery: string(op.delivery),
		Requests: op.requests.Load(), Refusals: op.refusals.Load(), Faults: op.faults.Load(),
		AverageSeconds: op.work.average().Seconds(), P50Seconds: op.work.quantile(.5).Seconds(), P99Seconds: op.work.quantile(.99).Seconds(),
	}
}

// count adds one outcome to the operation's figures. took is how long the
// caller waited here.
func (s *Server) count(op *operation, o outcome, took time.Duration) {
	class := statusClass(o)
	op.requests.Add(1)
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

// times counts durations in buckets of a quarter of a power of two, from a
// microsecond to an hour.
type times struct {
	n, sum  atomic.Int64 // sum in nanoseconds
	buckets [128]atomic.Int64
}

func (t *times) add(d time.Duration) {
	t.n.Add(1)
	t.sum.Add(int64(d))
	t.buckets[bucketOf(d)].Add(1)
}

func (t *times) average() time.Duration {
	if n := t.n.Load(); n > 0 {
		return time.Duration(t.sum.Load() / n)
	}
	return 0
}

// quantile is the middle of the bucket in which the q-th part ends.
func (t *times) quantile(q float64) time.Duration {
	rank := int64(q * float64(t.n.Load()))
	for i := range t.buckets {
		n := t.buckets[i].Load()
		if rank < n {
			return (floorOf(i) + floorOf(i+1)) / 2
		}
		rank -= n
	}
	return 0
}

// bucketOf numbers the buckets: 0 to 3 are so many microseconds; from there on
// four share each power of two.
func bucketOf(d time.Duration) int {
	us := uint64(max(d, 0) / time.Microsecond) //nolint:gosec // G115: not below 0
	if us < 4 {
		return int(us)
	}
	power := bits.Len64(us) - 1
	return min(4*(power-1)+int(us>>(power-2)&3), 127) //nolint:gosec // G115: two bits
}

// floorOf is the least duration of a bucket.
func floorOf(i int) time.Duration {
	if i < 4 {
		return time.Duration(i) * time.Microsecond
	}
	return time.Duration(4+i%4) << (i/4 - 1) * time.Microsecond
}
