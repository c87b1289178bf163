package serve

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	"github.com/commandcenter/commandcenter/services/gateway/internal/contract"
	"github.com/commandcenter/commandcenter/services/gateway/internal/feed"
)

// followEvents tells a caller what is said in a project from now on, or from
// where an earlier stream ended.
func (s *Edge) followEvents(c echo.Context, op *contract.Operation, who tenant.Identity, params []byte) error {
	x, f, err := chosen(params, who)
	if err != nil {
		return err
	}
	id := c.Request().Header.Get("Last-Event-ID")
	if id == "" {
		id = x.After
	}
	ctx, cancel := context.WithTimeout(c.Request().Context(), s.c.RequestTimeout)
	at, why, err := s.resume(ctx, id)
	cancel()
	if err != nil {
		return err
	}
	if s.draining() {
		return errBusy
	}
	if err := s.streams.enter(who.Principal); err != nil {
		return err
	}
	defer s.streams.leave(who.Principal)
	s.m.streams.Inc()
	defer s.m.streams.Dec()
	right, drop := s.rights.hold(who, callOf(c).good(s.now()))
	defer drop()
	callOf(c).long = true
	out := s.eventStream(c)
	if c.Request().Method == http.MethodHead {
		return nil
	}
	t := &teller{s: s, c: c, op: op, filter: f, right: right, out: out, at: at, batch: make([]feed.Fact, 0, 64)}
	if err := t.run(c.Request().Context(), why); err != nil && !errors.Is(err, errFarewell) && c.Request().Context().Err() == nil {
		callOf(c).err = err // the answer has begun: it can only be logged
	}
	return nil
}

// eventStream begins the answer. Nothing more is read of the caller.
func (s *Edge) eventStream(c echo.Context) *frames {
	h := c.Response().Header()
	h["Content-Type"] = []string{"text/event-stream"}
	h["Cache-Control"] = valNoStore
	h["X-Accel-Buffering"] = []string{"no"}
	c.Response().WriteHeader(http.StatusOK)
	rc := http.NewResponseController(c.Response().Writer)
	_ = rc.SetReadDeadline(time.Time{}) // see steady.Read
	return &frames{w: c.Response(), rc: rc, now: s.now}
}

// lost is why a stream does not go on behind the place that the caller named.
type lost string

const (
	lostMalformed lost = "Last-Event-ID is no id of an event of this stream; what follows begins now: read the state of what you follow anew"
	lostUnknown   lost = "your last event is not in this stream, which was made anew or restored; what follows begins now: read the state of what you follow anew"
	lostOld       lost = "what was said after your last event is not kept any more; what follows begins now: read the state of what you follow anew"
)

func (l lost) code() string {
	switch l {
	case lostMalformed:
		return "malformed"
	case lostUnknown:
		return "unknown"
	}
	return "not_kept"
}

// resume finds the place behind which the stream goes on. why says that it is
// not the one that the caller named.
func (s *Edge) resume(ctx context.Context, id string) (p bus.Position, why lost, err error) {
	if id == "" {
		return s.d.Ring.End(), "", nil
	}
	p, err = bus.ParsePosition(id)
	if err != nil {
		return s.d.Ring.End(), lostMalformed, nil //nolint:nilerr // the caller is told to begin anew
	}
	if s.d.Ring.Covers(p) {
		return p, "", nil
	}
	kept, err := s.bus.KeptFacts(ctx)
	switch {
	case err != nil || kept.Holds(p):
		return p, "", err
	case p.Created != kept.End.Created || p.Seq > kept.End.Seq:
		return s.d.Ring.End(), lostUnknown, nil
	}
	return s.d.Ring.End(), lostOld, nil
}

// teller is one open stream of facts.
type teller struct {
	s      *Edge
	c      echo.Context
	op     *contract.Operation
	filter feed.Filter
	right  *right
	out    *frames
	at     bus.Position // what was told
	batch  []feed.Fact
	doubt  time.Time // since when rights cannot be checked; zero: they are known
}

var (
	errSlow   = errs.New(errs.Unavailable, "the caller reads its events too slowly")
	errDoubt  = errors.New("nobody can tell whether the caller may go on")
	errUnsure = errs.New(errs.Unavailable, "the caller's rights could not be checked for a minute")
)

// retryAfter is what the client waits, in milliseconds, before it comes back.
const retryAfter = "1000"

func (t *teller) run(ctx context.Context, why lost) error {
	if why != "" {
		t.reset(why)
	} else {
		t.out.place(t.at)
	}
	if err := t.out.flush(); err != nil {
		return err
	}
	for {
		if err := t.settle(ctx); err != nil || ctx.Err() != nil {
			return err
		}
		reader, err := t.s.d.Ring.Join(t.filter, t.at)
		switch {
		case errors.Is(err, feed.ErrReset):
			t.at = t.s.d.Ring.End()
			t.reset(lostUnknown)
			continue
		case errors.Is(err, feed.ErrBehind):
			if err := t.catchUp(ctx); err != nil {
				return err
			}
			continue
		}
		err = t.follow(ctx, reader)
		reader.Leave()
		switch {
		case errors.Is(err, errDoubt):
			continue
		case errors.Is(err, feed.ErrReset):
			continue // said at the next try to join
		case errors.Is(err, feed.ErrBehind):
			t.s.m.cutStreams.WithLabelValues("slow").Inc()
			return errSlow
		}
		return err
	}
}

func (t *teller) reset(why lost) {
	t.out.event("reset", t.at, []byte(`{"code":"`+why.code()+`","reason":"`+string(why)+`"}`))
}

// settle waits, while rights are in doubt, until they are known again: nothing
// is told to who may have none any more.
func (t *teller) settle(ctx context.Context) error {
	if t.doubt.IsZero() {
		return nil
	}
	beat, again := time.NewTicker(t.s.c.Heartbeat), time.NewTicker(time.Second)
	defer beat.Stop()
	defer again.Stop()
	var err error
	for err == nil && !t.doubt.IsZero() {
		select {
		case <-ctx.Done():
			return nil
		case <-t.s.drain:
			return t.farewell()
		case <-t.right.bell:
			err = t.check(ctx)
		case <-again.C:
			err = t.check(ctx)
		case <-beat.C:
			t.out.comment("keep-alive")
			err = t.out.flush()
		}
	}
	return err
}

// Bounds of what is read of the stream at a time, before it is told.
const (
	batchLooked = 5000 // facts of the filter looked at
	batchFacts  = 1000
	batchBytes  = 1 << 20
)

// catchUp tells a part of what the stream holds beyond the caller's place. It is
// read first and told after: a caller who takes it slowly holds no turn to read.
func (t *teller) catchUp(ctx context.Context) error {
	found, at, err := t.read(ctx)
	if t.s.draining() {
		return t.farewell()
	}
	if errors.Is(err, bus.ErrNotKept) {
		t.at = t.s.d.Ring.End()
		t.reset(lostOld)
		return t.out.flush()
	}
	if err != nil {
		return err
	}
	if ok, err := t.mayGoOn(ctx); !ok {
		return err
	}
	for i := range found {
		t.out.fact(&found[i])
		t.at = found[i].Position
		if !t.out.full() {
			continue
		}
		if err := t.out.flush(); err != nil {
			return err
		}
		if ok, err := t.mayGoOn(ctx); !ok {
			return err
		}
		if t.s.draining() {
			return t.farewell()
		}
	}
	t.at = at
	t.s.m.factsTold.WithLabelValues("stream").Add(float64(t.out.count()))
	return t.out.flush()
}

// mayGoOn checks the caller's right again: a token may have expired, or a
// membership ended, while the caller was reading.
func (t *teller) mayGoOn(ctx context.Context) (bool, error) {
	select {
	case <-t.right.bell:
	default:
	}
	err := t.check(ctx)
	return err == nil && t.doubt.IsZero() && ctx.Err() == nil, err
}

func (t *teller) read(ctx context.Context) (found []feed.Fact, at bus.Position, err error) {
	leave, err := t.s.readings.enter(ctx, t.right.who.Principal, t.s.drain)
	if err != nil {
		return nil, t.at, err
	}
	defer leave()
	looked, size := 0, 0
	at, err = t.s.bus.Facts(ctx, stored(t.filter), bus.From{After: t.at}, func(said bus.Said) bool {
		looked++
		if f, ok := feed.Read(said); ok && t.filter.Wants(&f) {
			found = append(found, f)
			size += len(f.JSON)
		}
		return looked < batchLooked && len(found) < batchFacts && size < batchBytes && len(t.right.bell) == 0 && !t.s.draining()
	})
	return found, at, err
}

// follow tells what is said from now on, until the stream ends or the caller's
// rights are in doubt.
func (t *teller) follow(ctx context.Context, reader *feed.Reader) error {
	beat := time.NewTicker(t.s.c.Heartbeat)
	defer beat.Stop()
	for {
		var err error
		select {
		case <-ctx.Done():
			return nil
		case <-t.s.drain:
			return t.farewell()
		case <-reader.Bell:
			err = t.tell(reader)
		case <-t.right.bell:
			err = t.check(ctx)
		case <-beat.C:
			t.out.comment("keep-alive")
			t.out.place(t.at) // one that moves on spares the next stream a long way
			if err = t.out.flush(); err == nil {
				err = t.check(ctx) // a token may have expired
			}
		}
		if err != nil {
			return err
		}
		if !t.doubt.IsZero() {
			return errDoubt
		}
	}
}

func (t *teller) tell(reader *feed.Reader) error {
	for {
		found, at, err := reader.Next(t.batch[:0])
		if err != nil {
			return err
		}
		for i := range found {
			t.out.fact(&found[i])
		}
		t.at = at
		if len(found) > 0 {
			t.s.m.factsTold.WithLabelValues("live").Add(float64(len(found)))
			if err := t.out.flush(); err != nil {
				t.s.m.cutStreams.WithLabelValues("slow").Inc()
				return err
			}
		}
		if len(found) < cap(t.batch) {
			return nil
		}
		if len(t.right.bell) > 0 { // first things first
			reader.Again()
			return nil
		}
	}
}

// check asks whether the caller may go on. While nobody can tell, nothing is
// said, for a minute at most.
func (t *teller) check(ctx context.Context) error {
	who, err := t.s.callerNow(ctx, t.c.Request(), t.op, t.c.ParamValues(), t.filter.Project)
	if err == nil {
		err = allowed(t.filter, who)
	}
	switch {
	case err == nil:
		t.doubt = time.Time{}
		return nil
	case ctx.Err() != nil:
		return nil //nolint:nilerr // the caller has gone
	case errs.KindOf(err) == errs.Unavailable:
		if t.doubt.IsZero() {
			t.doubt = t.s.now()
		}
		if t.s.now().Sub(t.doubt) < time.Minute {
			return nil
		}
		err = errUnsure
	}
	t.s.m.cutStreams.WithLabelValues("rights").Inc()
	t.out.event("closed", t.at, []byte(`{"reason":"your right to follow has ended"}`))
	return errors.Join(err, t.out.flush())
}

// farewell ends the stream of a process that stops; the client comes back to
// another one.
func (t *teller) farewell() error {
	t.out.place(t.at)
	if err := t.out.flush(); err != nil {
		return err
	}
	return errFarewell
}

var errFarewell = errs.New(errs.Unavailable, "the gateway stops")
