package limit

import (
	"context"
	"encoding/json"
	"hash/fnv"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nuid"
)

const (
	// Exact is the limit below which one gateway decides for all.
	Exact = 100
	// share of a limit that a gateway lets through before it tells the others.
	share = 50

	flushEvery = 100 * time.Millisecond
	beatEvery  = time.Second
	goneAfter  = 4 * beatEvery
	askWithin  = 250 * time.Millisecond
	perMessage = 500 // counters
)

// Peers is how gateways talk; *bus.Peers is one.
type Peers interface {
	Tell(data []byte) error
	Ask(ctx context.Context, id string, data []byte) ([]byte, error)
	Listen(id string, told func(data []byte), asked func(data []byte) []byte) (stop func(), err error)
}

// Shared is a [Limiter] that counts together with those of other gateways. It
// is a part; before it is started, and while no other gateway is there, it
// counts for itself.
type Shared struct {
	*Limiter
	peers Peers
	log   *slog.Logger
	now   func() time.Time
	id    string

	others atomic.Pointer[[]string] // ids, for readers
	mu     sync.Mutex
	heard  map[string]time.Time // of each other

	tap func(m message) // told what was heard, afterwards; for tests

	stop func()
	quit chan struct{}
	done chan struct{}
}

// counted is what messages say of one counter.
type counted struct {
	Rule string        `json:"r"`
	Who  string        `json:"w"`
	Cost time.Duration `json:"c"`
}

// message is what gateways tell each other.
type message struct {
	From  string    `json:"from"`
	Bye   bool      `json:"bye,omitempty"`
	Spent []counted `json:"spent,omitempty"` // since the last time
	Owed  []counted `json:"owed,omitempty"`  // in all, for who comes anew
}

// question is what the gateway is asked that decides about a counter.
type question struct {
	Rule string        `json:"r"`
	Who  string        `json:"w"`
	N    int           `json:"n"`
	Per  time.Duration `json:"per"`
	Back bool          `json:"back,omitempty"` // the call is given back
}

// NewShared returns a limiter of about room counters that tells peers.
func NewShared(room int, peers Peers, log *slog.Logger, now func() time.Time) *Shared {
	s := &Shared{
		Limiter: New(room), peers: peers, log: log, now: now, id: nuid.Next(),
		heard: map[string]time.Time{}, quit: make(chan struct{}), done: make(chan struct{}),
	}
	s.others.Store(&[]string{})
	return s
}

// Name says what the part is.
func (s *Shared) Name() string { return "gateway.limits" }

// Start begins to tell and to hear.
func (s *Shared) Start(context.Context) error {
	stop, err := s.peers.Listen(s.id, s.told, s.asked)
	if err != nil {
		return err
	}
	s.stop = stop
	s.say(message{})
	go s.run()
	return nil
}

// Stop tells what is untold, and says good-bye.
func (s *Shared) Stop(context.Context) error {
	if s.stop == nil {
		return nil
	}
	close(s.quit)
	<-s.done
	s.flush()
	s.say(message{Bye: true})
	s.stop()
	return nil
}

func (s *Shared) run() {
	defer close(s.done)
	flush, beat := time.NewTicker(flushEvery), time.NewTicker(beatEvery)
	defer flush.Stop()
	defer beat.Stop()
	for {
		select {
		case <-flush.C:
			s.flush()
		case <-beat.C:
			s.say(message{})
			s.prune(s.now())
		case <-s.quit:
			return
		}
	}
}

// Take counts a call of n per period, here or where it is decided.
func (s *Shared) Take(ctx context.Context, key Key, n int, per time.Duration) Decision {
	others := *s.others.Load()
	if len(others) == 0 {
		return s.Limiter.Take(s.now(), key, n, per)
	}
	if n < Exact {
		if owner := s.owner(key, others); owner != s.id {
			if d, ok := s.ask(ctx, owner, question{Rule: key.Rule, Who: key.Who, N: n, Per: per}); ok {
				return d
			}
		}
	}
	return s.decide(key, n, per)
}

// Give takes a call back that [Shared.Take] has let through, where that was
// decided.
func (s *Shared) Give(ctx context.Context, key Key, n int, per time.Duration) Decision {
	others := *s.others.Load()
	if n < Exact && len(others) > 0 {
		if owner := s.owner(key, others); owner != s.id {
			if d, ok := s.ask(ctx, owner, question{Rule: key.Rule, Who: key.Who, N: n, Per: per, Back: true}); ok {
				return d
			}
		}
	}
	return s.give(s.now(), key, n, per, len(others) > 0)
}

// decide counts a call here and tells it when it is time.
func (s *Shared) decide(key Key, n int, per time.Duration) Decision {
	d, tell := s.take(s.now(), key, n, per, per/share)
	if tell > 0 {
		s.say(message{Spent: []counted{{key.Rule, key.Who, tell}}})
	}
	return d
}

// owner is the gateway that decides about a counter: each comes to the same
// one, and when that goes, its counters spread over the rest.
func (s *Shared) owner(key Key, others []string) string {
	best, most := s.id, weight(s.id, key)
	for _, id := range others {
		if w := weight(id, key); w > most || w == most && id > best {
			best, most = id, w
		}
	}
	return best
}

func weight(id string, key Key) uint64 {
	h := fnv.New64a()
	for _, text := range []string{key.Rule, "\x00", key.Who, "\x00", id} {
		_, _ = h.Write([]byte(text)) // never fails
	}
	// The last bytes of FNV hardly reach the upper bits; what decides must.
	x := h.Sum64()
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	return x ^ x>>33
}

func (s *Shared) ask(ctx context.Context, owner string, q question) (Decision, bool) {
	ctx, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	data, err := json.Marshal(q)
	if err != nil {
		return Decision{}, false
	}
	answer, err := s.peers.Ask(ctx, owner, data)
	var d Decision
	if err == nil {
		err = json.Unmarshal(answer, &d)
	}
	if err == nil && d.Limit == q.N {
		return d, true
	}
	s.log.Warn("limits.ask", "peer", owner, "err", err)
	s.drop(owner) // until it is heard again, or nobody would be answered in time
	return Decision{}, false
}

// asked decides for another gateway.
func (s *Shared) asked(data []byte) []byte {
	var q question
	if err := json.Unmarshal(data, &q); err != nil || q.N < 1 || q.Per < time.Duration(q.N) {
		s.log.Warn("limits.asked", "err", err)
		return nil
	}
	var d Decision
	if key := (Key{q.Rule, q.Who}); q.Back {
		d = s.give(s.now(), key, q.N, q.Per, true)
	} else {
		d = s.decide(key, q.N, q.Per)
	}
	answer, err := json.Marshal(d)
	if err != nil {
		s.log.Warn("limits.asked", "err", err)
	}
	return answer
}

func (s *Shared) told(data []byte) {
	var m message
	if err := json.Unmarshal(data, &m); err != nil || m.From == "" {
		s.log.Warn("limits.told", "err", err)
		return
	}
	if m.From == s.id {
		return
	}
	if s.tap != nil {
		defer s.tap(m)
	}
	now := s.now()
	for _, c := range m.Spent {
		s.charge(now, Key{c.Rule, c.Who}, c.Cost)
	}
	for _, c := range m.Owed {
		s.owe(now, Key{c.Rule, c.Who}, c.Cost)
	}
	if m.Bye {
		s.drop(m.From)
		return
	}
	if s.meet(m.From, now) {
		s.say(message{}) // so that it knows this one before its next beat
		s.tellAll(now)
	}
}

// meet notes that a gateway is there, and reports whether it is new.
func (s *Shared) meet(id string, now time.Time) (anew bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, known := s.heard[id]
	s.heard[id] = now
	if !known {
		s.publish()
	}
	return !known
}

func (s *Shared) drop(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.heard, id)
	s.publish()
}

// prune forgets gateways that have been silent.
func (s *Shared) prune(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, at := range s.heard {
		if now.Sub(at) > goneAfter {
			delete(s.heard, id)
		}
	}
	s.publish()
}

// publish shows readers who is there. The caller holds mu.
func (s *Shared) publish() {
	ids := make([]string, 0, len(s.heard))
	for id := range s.heard {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	s.others.Store(&ids)
}

// flush tells what was let through since the last time.
func (s *Shared) flush() {
	var spent []counted
	s.untold(func(k Key, cost time.Duration) { spent = append(spent, counted{k.Rule, k.Who, cost}) })
	for part := range slices.Chunk(spent, perMessage) {
		s.say(message{Spent: part})
	}
}

// tellAll tells everything, for who has just come.
func (s *Shared) tellAll(now time.Time) {
	var owed []counted
	s.each(now, func(k Key, d time.Duration) { owed = append(owed, counted{k.Rule, k.Who, d}) })
	for part := range slices.Chunk(owed, perMessage) {
		s.say(message{Owed: part})
	}
}

// say tells the others. What cannot be told is not told later: by then it would
// count against calls that it was not about.
func (s *Shared) say(m message) {
	m.From = s.id
	data, err := json.Marshal(m)
	if err == nil {
		err = s.peers.Tell(data)
	}
	if err != nil {
		s.log.Debug("limits.tell", "err", err)
	}
}
