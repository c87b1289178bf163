package bus

import (
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// entry is one message in hand.
type entry struct {
	m     jetstream.Msg
	md    *jetstream.MsgMetadata
	lane  string
	size  int
	t     *tally
	timer *time.Timer // until its next try
}

// place names a message: a stream that was made anew begins its sequence again.
type place struct {
	seq uint64
	at  int64
}

func (e *entry) id() place { return place{e.md.Sequence.Stream, e.md.Timestamp.UnixNano()} }

// tally is what this process knows about a message from earlier tries.
type tally struct {
	tries, waits int
	first        time.Time // when it came first
}

// comeBack is when a message comes again that was given up for the messages of
// other projects.
const comeBack = 10 * time.Second

// hold keeps the messages in hand. Those of one project are a lane; the lanes
// take turns, and none runs more than its share. When it is full the longest
// lane gives up its latest, so that what comes behind a flood is reached. Lost is
// nothing: what is given up comes again.
type hold struct {
	most, share int
	evict       bool

	mu      sync.Mutex
	changed sync.Cond
	closed  bool
	lanes   map[string]*lane
	turns   []*lane // lanes with queued messages
	held    map[place]*entry
	bytes   int
	tallies map[place]*tally
	keep    time.Duration // of a tally of a message that never came again
}

// lane is one project's messages.
type lane struct {
	name    string
	queued  []*entry
	waiting map[*entry]struct{}
	running int
}

func newHold(c ConsumerConfig) *hold {
	h := &hold{most: c.Ahead, share: c.Share, lanes: map[string]*lane{}, held: map[place]*entry{}, tallies: map[place]*tally{}, keep: 2 * c.Patience}
	h.changed.L = &h.mu
	if h.evict = h.share > 0; !h.evict {
		h.share = c.Workers
	}
	return h
}

// laneOf is the project of a subject of ours: its second token.
func laneOf(subject string) string {
	_, rest, _ := strings.Cut(subject, ".")
	project, _, _ := strings.Cut(rest, ".")
	return project
}

// add takes a message in hand, when there is room, and returns what must be
// given back: nothing, the message itself, or another one that had to make room.
func (h *hold) add(e *entry) (back []*entry) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.held[e.id()] != nil { // the stream had not heard of us for a while
		return nil
	}
	for !h.closed && h.full(e) {
		if h.evict {
			l := h.longest()
			if l != nil && l.name != e.lane {
				back = append(back, h.drop(l))
				continue
			}
			if l != nil {
				return append(back, e)
			}
		}
		h.changed.Wait()
	}
	if h.closed {
		return append(back, e)
	}
	h.count(e)
	h.held[e.id()] = e
	h.bytes += e.size
	h.push(e)
	return back
}

func (h *hold) full(e *entry) bool {
	return len(h.held) >= h.most || len(h.held) > 0 && h.bytes+e.size > aheadBytes
}

// count finds the tally of a message, or begins one.
func (h *hold) count(e *entry) {
	if e.t = h.tallies[e.id()]; e.t != nil {
		return
	}
	// Another replica may have ended a message that was given up here.
	if len(h.tallies) > 2*(h.most+maxInFlight) {
		for s, t := range h.tallies {
			if time.Since(t.first) > h.keep {
				delete(h.tallies, s)
			}
		}
	}
	e.t = &tally{first: time.Now()}
	h.tallies[e.id()] = e.t
}

// push lets the message wait for its turn.
func (h *hold) push(e *entry) {
	l := h.lanes[e.lane]
	if l == nil {
		l = &lane{name: e.lane, waiting: map[*entry]struct{}{}}
		h.lanes[e.lane] = l
	}
	if l.queued = append(l.queued, e); len(l.queued) == 1 {
		h.turns = append(h.turns, l)
	}
	h.changed.Broadcast()
}

// longest is the lane with most to give up, nil when everything runs.
func (h *hold) longest() (most *lane) {
	n := 0
	for _, l := range h.lanes {
		if have := len(l.queued) + len(l.waiting); have > n {
			most, n = l, have
		}
	}
	return most
}

// drop takes the latest message of the lane out, preferring one that was not
// tried yet.
func (h *hold) drop(l *lane) *entry {
	var e *entry
	if n := len(l.queued); n > 0 {
		e = l.queued[n-1]
		l.queued[n-1] = nil
		if l.queued = l.queued[:n-1]; n == 1 {
			h.leave(l)
		}
	} else {
		for w := range l.waiting {
			if e == nil || w.md.Sequence.Stream > e.md.Sequence.Stream {
				e = w
			}
		}
		e.timer.Stop()
		delete(l.waiting, e)
	}
	h.forget(e)
	return e
}

// leave takes the lane out of the turns.
func (h *hold) leave(l *lane) {
	for i, t := range h.turns {
		if t == l {
			h.turns = append(h.turns[:i], h.turns[i+1:]...)
			return
		}
	}
}

// forget ends that the message is in hand. Its tally stays, in case that it
// comes again.
func (h *hold) forget(e *entry) {
	delete(h.held, e.id())
	h.bytes -= e.size
	if l := h.lanes[e.lane]; l != nil && len(l.queued)+len(l.waiting)+l.running == 0 {
		delete(h.lanes, e.lane)
	}
	h.changed.Broadcast()
}

// take waits for a message whose turn it is; ok is false when there will be
// none.
func (h *hold) take() (e *entry, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for {
		if h.closed {
			return nil, false
		}
		for i, l := range h.turns {
			if l.running >= h.share {
				continue
			}
			e, l.queued[0] = l.queued[0], nil
			l.queued = l.queued[1:]
			l.running++
			h.turns = append(h.turns[:i], h.turns[i+1:]...)
			if len(l.queued) > 0 {
				h.turns = append(h.turns, l) // behind everybody else
			}
			return e, true
		}
		h.changed.Wait()
	}
}

// done ends a message that ran.
func (h *hold) done(e *entry) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.lanes[e.lane].running--
	delete(h.tallies, e.id())
	h.forget(e)
}

// again lets a message that ran wait for its next try. It is false when the
// message must be given back, because the part stops.
func (h *hold) again(e *entry, wait time.Duration) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	l := h.lanes[e.lane]
	l.running--
	if h.closed {
		h.forget(e)
		return false
	}
	l.waiting[e] = struct{}{}
	e.timer = time.AfterFunc(wait, func() { h.due(e) })
	h.changed.Broadcast() // a place of the lane's share is free
	return true
}

func (h *hold) due(e *entry) {
	h.mu.Lock()
	defer h.mu.Unlock()
	l := h.lanes[e.lane]
	if l == nil {
		return
	}
	if _, ok := l.waiting[e]; ok { // not given back meanwhile
		delete(l.waiting, e)
		h.push(e)
	}
}

// close ends the taking and returns what nobody runs.
func (h *hold) close() (back []*entry) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	for _, l := range h.lanes {
		back = append(back, l.queued...)
		for e := range l.waiting {
			e.timer.Stop()
			back = append(back, e)
		}
		l.queued, l.waiting = nil, map[*entry]struct{}{}
	}
	h.turns = nil
	for _, e := range back {
		h.forget(e)
	}
	h.changed.Broadcast()
	return back
}

// all lists the messages in hand.
func (h *hold) all() []*entry {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := make([]*entry, 0, len(h.held))
	for _, e := range h.held {
		out = append(out, e)
	}
	return out
}
