package denial

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
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

// Bounds of one round. Each project has a share of its own, as have callers whom
// nobody knows, and those of no project.
const (
	every        = 10 * time.Second
	mostUnknown  = 32   // entries about callers whom nobody knows
	mostNamed    = 16   // of these, with their targets: accounts that somebody tries
	mostDetailed = 64   // of a project, with their targets
	mostOfOne    = 256  // of a project
	mostEntries  = 8192 // of all together
)

// Say says one record, durably; the same id twice is one.
type Say func(ctx context.Context, m *platformv1.CallRecorded, id uuid.UUID) error

// Ledger gathers denials and tells of them. It is a part.
type Ledger struct {
	say Say
	log *slog.Logger

	mu     sync.Mutex
	round  map[key]*entry
	shares map[share]int // entries of the round

	summed, lost prometheus.Counter
	wake         chan chan struct{} // tests ask for a round
	stop         chan struct{}
	done         chan struct{}
}

type key struct {
	project                                            tenant.Project
	principal, key, operation, reason, address, target string
}

// share is what has a bound of its own.
type share struct {
	project tenant.Project
	known   bool
}

func (s share) most() int {
	if s.known {
		return mostOfOne
	}
	return mostUnknown
}

func (s share) detailed() int {
	if s.known {
		return mostDetailed
	}
	return mostNamed
}

// entry is what is told of all denials of a key.
type entry struct {
	id    uuid.UUID
	of    Denial
	count int32
	last  time.Time
	tried bool // to tell; it may have been stored all the same
}

// NewLedger returns a ledger that tells by say. reg may be nil.
func NewLedger(say Say, log *slog.Logger, reg prometheus.Registerer) (*Ledger, error) {
	l := &Ledger{
		say: say, log: log, round: map[key]*entry{}, shares: map[share]int{}, wake: make(chan chan struct{}), stop: make(chan struct{}), done: make(chan struct{}),
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
	l.add(d, 1, d.At)
}

// add counts denials that are alike. The caller holds the lock.
func (l *Ledger) add(d Denial, n int32, last time.Time) {
	e := l.place(d, n)
	e.count = min(e.count, 1<<30) + min(n, 1<<30-1)
	if last.After(e.last) {
		e.last = last
	}
}

// place finds the entry of n denials: its own, without targets, or the sum of
// its caller and reason, which every caller has however many others are denied.
func (l *Ledger) place(d Denial, n int32) *entry {
	k := key{d.Project, d.Principal, d.Key, d.Operation, d.Reason, d.Address, targets(d.Target)}
	if e := l.round[k]; e != nil {
		return e
	}
	of := share{d.Project, d.Principal != ""}
	if l.shares[of] >= of.detailed() {
		k.target, d.Target = "", nil
		if e := l.round[k]; e != nil {
			return e
		}
	}
	if l.shares[of] >= of.most() || len(l.round) >= mostEntries {
		l.summed.Add(float64(n))
		k = key{project: d.Project, principal: d.Principal, reason: d.Reason}
		d = Denial{Project: d.Project, Principal: d.Principal, Reason: d.Reason, At: d.At}
		if e := l.round[k]; e != nil {
			return e
		}
	} else {
		l.shares[of]++
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

// tell says the round that is over. What was not acknowledged is for the next
// one: as it is, with its id, where it may have been stored all the same; else
// together with what has come since.
func (l *Ledger) tell(ctx context.Context) {
	l.mu.Lock()
	round := slices.SortedFunc(maps.Values(l.round), func(a, b *entry) int {
		if a.tried != b.tried { // first, so that one alone is in doubt
			if a.tried {
				return -1
			}
			return 1
		}
		return a.of.At.Compare(b.of.At)
	})
	l.round, l.shares = map[key]*entry{}, map[share]int{}
	l.mu.Unlock()
	for i, e := range round {
		e.tried = true
		if err := l.say(ctx, e.record(), e.id); err != nil {
			l.log.WarnContext(ctx, "denials.tell", "waiting", len(round)-i, "err", err)
			l.keep(round[i:])
			return
		}
	}
}

func (l *Ledger) keep(untold []*entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range untold {
		if e.tried {
			l.round[key{target: "#" + e.id.String()}] = e // one at a time, see tell
			continue
		}
		l.add(e.of, e.count, e.last)
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
