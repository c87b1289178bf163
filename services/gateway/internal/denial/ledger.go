package denial

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/commandcenter/commandcenter/pkg/tenant"
	platformv1 "github.com/commandcenter/commandcenter/proto-events/platform/v1"
)

// Denial is one request that was denied.
type Denial struct {
	Project   tenant.Project // whose member the caller is; 0 for none
	Principal string         // "" for nobody
	Key       string         // API key
	Operation string
	Reason    string
	Address   string
	Target    []Named
	RequestID string
	TraceID   string
	At        time.Time
}

// Named is one thing that a request was about.
type Named struct{ Name, Value string }

// Bounds of one round.
const (
	every        = 10 * time.Second
	mostUnknown  = 32  // entries about callers whom nobody knows
	mostDetailed = 256 // entries of all kinds with their targets
	mostEntries  = 1024
)

// Say says one record, durably; the same id twice is one.
type Say func(ctx context.Context, m *platformv1.CallRecorded, id uuid.UUID) error

// Ledger gathers denials and tells of them. It is a part.
type Ledger struct {
	say Say
	log *slog.Logger

	mu      sync.Mutex
	round   map[key]*entry
	unknown int // entries of the round that are of nobody

	summed, lost prometheus.Counter
	wake         chan chan struct{} // tests ask for a round
	stop         chan struct{}
	done         chan struct{}
}

type key struct {
	project                                            tenant.Project
	principal, key, operation, reason, address, target string
}

// entry is what is told of all denials of a key.
type entry struct {
	id    uuid.UUID
	of    Denial
	count int32
	last  time.Time
}

// NewLedger returns a ledger that tells by say. reg may be nil.
func NewLedger(say Say, log *slog.Logger, reg prometheus.Registerer) (*Ledger, error) {
	l := &Ledger{
		say: say, log: log, round: map[key]*entry{}, wake: make(chan chan struct{}), stop: make(chan struct{}), done: make(chan struct{}),
		summed: prometheus.NewCounter(prometheus.CounterOpts{Name: "http_denials_summed_total", Help: "Denied requests that the audit log tells of in sum only, since there were too many kinds of them."}),
		lost:   prometheus.NewCounter(prometheus.CounterOpts{Name: "http_denials_lost_total", Help: "Denied requests that the audit log was not told of, since the bus was away until the gateway stopped."}),
	}
	if reg == nil {
		return l, nil
	}
	for _, c := range []prometheus.Collector{l.summed, l.lost} {
		if err := reg.Register(c); err != nil {
			return nil, fmt.Errorf("denials: %w", err)
		}
	}
	return l, nil
}

// Note takes a denial. It never waits for the bus.
func (l *Ledger) Note(d Denial) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.place(d)
	if e.count < 1<<30 {
		e.count++
	}
	if d.At.After(e.last) {
		e.last = d.At
	}
}

// place finds the entry of a denial: its own, without targets, or the sum of its
// reason. The caller holds the lock.
func (l *Ledger) place(d Denial) *entry {
	k := key{d.Project, d.Principal, d.Key, d.Operation, d.Reason, d.Address, targets(d.Target)}
	if e := l.round[k]; e != nil {
		return e
	}
	if len(l.round) >= mostDetailed {
		k.target, d.Target = "", nil
		if e := l.round[k]; e != nil {
			return e
		}
	}
	if d.Principal == "" && l.unknown >= mostUnknown || len(l.round) >= mostEntries {
		l.summed.Inc()
		k, d = key{reason: d.Reason}, Denial{Reason: d.Reason, At: d.At}
		if e := l.round[k]; e != nil {
			return e
		}
	} else if d.Principal == "" {
		l.unknown++
	}
	e := &entry{id: uuid.New(), of: d, last: d.At}
	l.round[k] = e
	return e
}

func targets(all []Named) string {
	var b strings.Builder
	for _, n := range all {
		fmt.Fprintf(&b, "%d:%s%d:%s", len(n.Name), n.Name, len(n.Value), n.Value)
	}
	return b.String()
}

// Name is "gateway.denials".
func (l *Ledger) Name() string { return "gateway.denials" }

// Start begins to tell.
func (l *Ledger) Start(ctx context.Context) error {
	ctx = context.WithoutCancel(ctx)
	go func() {
		defer close(l.done)
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				l.tell(ctx)
			case told := <-l.wake:
				l.tell(ctx)
				close(told)
			case <-l.stop:
				return
			}
		}
	}()
	return nil
}

// Stop tells of what was noted last. What cannot be told is counted as lost.
func (l *Ledger) Stop(ctx context.Context) error {
	close(l.stop)
	select {
	case <-l.done:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	l.tell(ctx)
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.round {
		l.lost.Add(float64(e.count))
	}
	return nil
}

// tell says the round that is over. What was not acknowledged stays, with its
// id, for the next one.
func (l *Ledger) tell(ctx context.Context) {
	l.mu.Lock()
	round := make([]*entry, 0, len(l.round))
	for _, e := range l.round {
		round = append(round, e)
	}
	over := l.round
	l.round, l.unknown = map[key]*entry{}, 0
	l.mu.Unlock()
	slices.SortFunc(round, func(a, b *entry) int { return a.of.At.Compare(b.of.At) })
	told := map[*entry]bool{}
	for _, e := range round {
		if err := l.say(ctx, e.record(), e.id); err != nil {
			l.log.WarnContext(ctx, "denials.tell", "waiting", len(round)-len(told), "err", err)
			break
		}
		told[e] = true
	}
	if len(told) == len(round) {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for k, e := range over {
		if told[e] {
			continue
		}
		// It may have been stored all the same, so it stays as it is; what came
		// since has an entry of its own.
		if l.round[k] != nil {
			k.target += "#" + e.id.String()
		}
		if len(l.round) >= 2*mostEntries {
			l.lost.Add(float64(e.count))
			continue
		}
		l.round[k] = e
		if e.of.Principal == "" {
			l.unknown++
		}
	}
}

func (e *entry) record() *platformv1.CallRecorded {
	d := e.of
	m := &platformv1.CallRecorded{
		ProjectId: int32(d.Project), CallId: e.id.String(), Version: 1, Service: "gateway", Operation: d.Operation, //nolint:gosec // G115: ids of projects have 31 bits
		Principal: d.Principal, KeyId: d.Key, Reason: d.Reason, Address: d.Address, RequestId: d.RequestID, TraceId: d.TraceID,
		AcceptedAt: timestamppb.New(d.At), LastAt: timestamppb.New(e.last), Count: e.count,
	}
	for _, n := range d.Target {
		m.Target = append(m.Target, &platformv1.CallTarget{Name: n.Name, Value: n.Value})
	}
	return m
}
