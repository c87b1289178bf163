package bus

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/tenant"
)

// Position is a place in the stream EVENTS: behind the fact of that sequence.
// A sequence means something only together with the stream that gave it.
type Position struct {
	Created int64 // of the stream, nanoseconds since 1970
	Seq     uint64
}

// String is "<created>-<sequence>".
func (p Position) String() string {
	return strconv.FormatInt(p.Created, 10) + "-" + strconv.FormatUint(p.Seq, 10)
}

// ParsePosition reads what [Position.String] wrote.
func ParsePosition(s string) (Position, error) {
	created, seq, ok := strings.Cut(s, "-")
	c, err1 := strconv.ParseInt(created, 10, 64)
	n, err2 := strconv.ParseUint(seq, 10, 64)
	if !ok || err1 != nil || err2 != nil || c < 0 {
		return Position{}, errs.Newf(errs.Invalid, "%q is no position in the stream of facts", s)
	}
	return Position{c, n}, nil
}

// Said is a fact as EVENTS keeps it.
type Said struct {
	Position Position
	Time     time.Time // when it was stored
	Subject  string
	Header   nats.Header
	Data     []byte
}

func said(created int64, subject string, h nats.Header, data []byte, seq uint64, at time.Time) Said {
	return Said{Position{created, seq}, at, subject, h, data}
}

func createdOf(epoch string) int64 {
	t, err := time.Parse(time.RFC3339Nano, epoch)
	if err != nil {
		return 0
	}
	return t.UnixNano()
}

// FactFilter selects facts of one project. Empty fields select all.
type FactFilter struct {
	Project             tenant.Project
	Service, Noun, Fact string
}

func (f FactFilter) subject() (string, error) {
	tokens := []string{"evt", f.Project.Token(), f.Service, f.Noun, f.Fact}
	for i, t := range tokens {
		switch {
		case t == "":
			tokens[i] = "*"
		case !validToken(t):
			return "", errs.Newf(errs.Invalid, "%q is not a word of a fact", t)
		}
	}
	return strings.Join(tokens, ".") + ".>", nil
}

// Kept is what EVENTS holds now: the places before its first fact and behind
// its last one. The former moves on as facts grow old.
type Kept struct{ Start, End Position }

// Holds reports whether everything that was said after p is still there.
func (k Kept) Holds(p Position) bool {
	return p.Created == k.End.Created && p.Seq >= k.Start.Seq && p.Seq <= k.End.Seq
}

// KeptFacts returns what EVENTS holds now.
func (b *Bus) KeptFacts(ctx context.Context) (Kept, error) {
	ctx, cancel := b.bounded(ctx)
	defer cancel()
	s, err := b.js.Stream(ctx, StreamEvents)
	if err != nil {
		return Kept{}, errs.Newf(errs.Unavailable, "facts: %w", err)
	}
	info := s.CachedInfo()
	created := info.Created.UnixNano()
	first := info.State.FirstSeq
	if first == 0 { // nothing was ever said
		first = 1
	}
	return Kept{Position{created, first - 1}, Position{created, max(info.State.LastSeq, first-1)}}, nil
}

// From says where [Bus.Facts] begins: behind a place, or at a time when there
// is none.
type From struct {
	After Position
	Since time.Time
}

// factsBeat is how often the consumer of a reading says that it is there.
var factsBeat = followBeat

// factsIdle is after how long of silence a reading is given up.
const factsIdle = 10 * time.Second

// Facts hands fn what EVENTS holds of the filter, oldest first, until fn
// returns false, or until it has been handed everything. The place that it
// returns is behind all that was looked at: after the last fact it is at least
// the end that the stream had when the reading began. [ErrNotKept] says that something which
// followed the place is gone.
func (b *Bus) Facts(ctx context.Context, f FactFilter, from From, fn func(Said) bool) (Position, error) {
	filter, err := f.subject()
	if err != nil {
		return from.After, err
	}
	kept, err := b.KeptFacts(ctx)
	if err != nil {
		return from.After, err
	}
	if from.Since.IsZero() && !kept.Holds(from.After) {
		return from.After, ErrNotKept
	}
	if !from.Since.IsZero() { // the stream counts nanoseconds, which do not reach every year
		if born := time.Unix(0, kept.End.Created); from.Since.Before(born) {
			from.Since = born
		}
		if from.Since.After(time.Now()) {
			return kept.End, nil
		}
	}
	r := &factReader{b: b, filter: filter, from: from, created: kept.End.Created, end: kept.End.Seq, at: from.After}
	defer r.close()
	pending, err := r.open(ctx)
	if err != nil {
		return from.After, err
	}
	for pending > 0 {
		s, left, err := r.next(ctx)
		if errors.Is(err, errNoMore) {
			break
		}
		if err != nil {
			return r.at, err
		}
		r.at, pending = s.Position, left
		if !fn(s) {
			return r.at, nil
		}
	}
	if r.at.Created != kept.End.Created || r.at.Seq < kept.End.Seq {
		r.at = kept.End
	}
	return r.at, nil
}

// ErrNotKept is the refusal of a place of which something that followed is gone.
var ErrNotKept = errs.New(errs.Conflict, "What was said after this place is not kept any more")

// factReader reads a part of the stream once, with a consumer of its own.
type factReader struct {
	b       *Bus
	filter  string
	from    From
	created int64
	at      Position
	sub     *nats.Subscription
	end     uint64 // of the stream when the reading began
	last    uint64 // delivery of the consumer
}

func (r *factReader) open(ctx context.Context) (pending uint64, err error) {
	ctx, cancel := r.b.bounded(ctx)
	defer cancel()
	inbox := r.b.nc.NewInbox()
	if r.sub, err = r.b.nc.SubscribeSync(inbox); err != nil {
		return 0, errs.Newf(errs.Unavailable, "facts: %w", err)
	}
	if err := r.sub.SetPendingLimits(-1, -1); err != nil { // flow control bounds what is on the way
		return 0, errs.Newf(errs.Unavailable, "facts: %w", err)
	}
	c := jetstream.ConsumerConfig{
		Name: nuid.Next(), FilterSubject: r.filter, DeliverSubject: inbox, DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: r.from.After.Seq + 1,
		AckPolicy: jetstream.AckNonePolicy, MaxDeliver: 1, IdleHeartbeat: factsBeat, FlowControl: true, InactiveThreshold: 2 * time.Second,
		MemoryStorage: true, Replicas: 1,
	}
	if !r.from.Since.IsZero() {
		c.DeliverPolicy, c.OptStartSeq, c.OptStartTime = jetstream.DeliverByStartTimePolicy, 0, &r.from.Since
	}
	made, err := r.b.js.CreatePushConsumer(ctx, StreamEvents, c)
	if err != nil {
		return 0, errs.Newf(errs.Unavailable, "facts: %w", err)
	}
	info := made.CachedInfo()
	return info.NumPending + info.Delivered.Consumer, nil // some may be on the way already
}

// next waits for the next fact, and tells how many are left behind it.
func (r *factReader) next(ctx context.Context) (Said, uint64, error) {
	for {
		wait, cancel := context.WithTimeout(ctx, factsIdle)
		m, err := r.sub.NextMsgWithContext(wait)
		cancel()
		if err != nil {
			if ctx.Err() != nil {
				return Said{}, 0, fmt.Errorf("facts: %w", context.Cause(ctx))
			}
			return Said{}, 0, errs.Newf(errs.Unavailable, "facts: %w", err)
		}
		if len(m.Data) == 0 && get(m.Header, "Status") == "100" {
			if err := r.control(m); err != nil {
				return Said{}, 0, err
			}
			if r.exhausted(m) {
				return Said{}, 0, errNoMore
			}
			continue
		}
		md, err := m.Metadata()
		if err != nil {
			return Said{}, 0, errs.Newf(errs.Internal, "facts: %w", err)
		}
		if md.Sequence.Consumer != r.last+1 {
			return Said{}, 0, errGap
		}
		r.last = md.Sequence.Consumer
		return said(r.created, m.Subject, m.Header, m.Data, md.Sequence.Stream, md.Timestamp), md.NumPending, nil
	}
}

var (
	errGap    = errs.New(errs.Unavailable, "facts: one was lost on the way")
	errNoMore = errors.New("facts: no more")
)

func (r *factReader) control(m *nats.Msg) error {
	reply := m.Reply
	if reply == "" {
		reply = get(m.Header, "Nats-Consumer-Stalled")
	}
	if reply != "" {
		if err := r.b.nc.Publish(reply, nil); err != nil {
			return errs.Newf(errs.Unavailable, "facts: %w", err)
		}
	}
	if said := get(m.Header, "Nats-Last-Consumer"); said != "" && said != itoa(int64(r.last)) { //nolint:gosec // G115: a count of messages
		return errGap
	}
	return nil
}

// exhausted tells from a beat that the consumer has looked at everything up to
// the end: what it counted before was removed meanwhile. One that waits for a
// slow reader beats as well, and says so.
func (r *factReader) exhausted(beat *nats.Msg) bool {
	if beat.Reply != "" || get(beat.Header, "Nats-Consumer-Stalled") != "" {
		return false
	}
	looked, err := strconv.ParseUint(get(beat.Header, "Nats-Last-Stream"), 10, 64)
	return err == nil && looked >= r.end
}

// close leaves the consumer to the server, which drops it when nobody hears it.
func (r *factReader) close() {
	if r.sub == nil {
		return
	}
	if err := r.sub.Unsubscribe(); err != nil && !errors.Is(err, nats.ErrConnectionClosed) && !errors.Is(err, nats.ErrBadSubscription) {
		r.b.log.Warn("bus.facts", "filter", r.filter, "err", err)
	}
}

// Feed hears every fact of every project, once a process, for whoever fans them
// out. It is a part.
type Feed struct {
	b     *Bus
	back  uint64
	begin func(Position)
	fact  func(Said)

	heard   *ordered
	created int64
	last    uint64
}

// NewFeed hears the last facts, back of them, and all that follow, in order.
// begin is called with the place before the first one, and again whenever the
// stream turns out to be another or to have lost its end: what was heard then
// has no successor. Calls do not overlap.
func NewFeed(b *Bus, back uint64, begin func(Position), fact func(Said)) *Feed {
	return &Feed{b: b, back: back, begin: begin, fact: fact}
}

// Name says who listens.
func (f *Feed) Name() string { return f.b.service + ".feed" }

// Start returns when every fact from now on will be heard.
func (f *Feed) Start(ctx context.Context) error {
	o := &ordered{b: f.b, stream: StreamEvents, filter: "evt.>", kick: make(chan struct{}, 1), done: make(chan struct{})}
	o.handle = func(m *nats.Msg, seq uint64, at time.Time) { // with o.turn held
		f.place(o.epoch, seq)
		f.last = seq
		f.fact(said(f.created, m.Subject, m.Header, m.Data, seq, at))
	}
	if err := o.begin(ctx, f.back); err != nil {
		return fmt.Errorf("feed: %w", err)
	}
	f.heard = o
	o.turn.Lock()
	defer o.turn.Unlock()
	f.place(o.epoch, o.next)
	return nil
}

// place tells of a new beginning before the message seq, if it is one.
func (f *Feed) place(epoch string, seq uint64) {
	created := createdOf(epoch)
	if created == f.created && seq > f.last {
		return
	}
	f.created, f.last = created, seq-1
	f.begin(Position{created, seq - 1})
}

// Stop ends the hearing.
func (f *Feed) Stop(ctx context.Context) error {
	if f.heard == nil {
		return nil
	}
	return f.heard.stop(ctx)
}
