package serve

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	"github.com/commandcenter/commandcenter/services/gateway/internal/contract"
)

// Timing of event streams.
const (
	quietest = 200 * time.Millisecond // between two askings for the state
	unheard  = 2 * time.Second        // between two while no job can be followed
	unread   = 10 * time.Second       // for one event to be taken by the caller
)

// streams counts the open event streams.
type streams struct {
	mu      sync.Mutex
	all     int
	of      map[string]int
	most    int
	mostPer int
}

func newStreams(most, mostPer int) *streams {
	return &streams{of: map[string]int{}, most: most, mostPer: mostPer}
}

func (x *streams) enter(who string) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	switch {
	case x.all >= x.most:
		return errs.New(errs.Unavailable, "Too many event streams are open").After(10 * time.Second)
	case x.of[who] >= x.mostPer:
		return errs.Newf(errs.RateLimited, "You have %d event streams open, which is the limit", x.mostPer).After(10 * time.Second)
	}
	x.all++
	x.of[who]++
	return nil
}

func (x *streams) leave(who string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.all--
	if x.of[who]--; x.of[who] <= 0 {
		delete(x.of, who)
	}
}

// watch follows something until it is done. What is sent is always the state
// as its owner answers it; progress on the bus only says when to ask. So
// nothing is missed when progress is lost, and a caller who reconnects begins
// with the truth.
func (s *Edge) watch(c echo.Context, op *contract.Operation, who tenant.Identity, params []byte) error {
	w := &watching{
		s: s, op: op, who: who, state: s.contract.Operation(op.Watch.State),
		payload: closed(open(params)), signal: make(chan struct{}, 1),
	}
	first, err := w.ask(c.Request().Context())
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
	w.right = right
	callOf(c).long = true

	h := c.Response().Header()
	h["Content-Type"] = []string{"text/event-stream"}
	h["Cache-Control"] = valNoStore
	h["X-Accel-Buffering"] = []string{"no"}
	c.Response().WriteHeader(http.StatusOK)
	if c.Request().Method == http.MethodHead {
		return nil
	}
	w.out = c.Response()
	w.rc = http.NewResponseController(c.Response().Writer)
	_ = w.rc.SetReadDeadline(time.Time{}) // see steady.Read; nothing more is read
	if err := w.run(c, first); err != nil {
		callOf(c).err = err // the answer has begun: it can only be logged
	}
	return nil
}

// watching is one event stream.
type watching struct {
	s       *Edge
	op      *contract.Operation
	state   *contract.Operation
	who     tenant.Identity
	payload []byte
	out     http.ResponseWriter
	rc      *http.ResponseController
	signal  chan struct{} // something was said about the job
	right   *right

	sent int
	last []byte
	job  string
	stop func()
}

func (w *watching) ask(ctx context.Context) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, w.s.c.RequestTimeout)
	defer cancel()
	a, err := w.s.bus.Request(ctx, bus.Target{Service: w.state.Service, Operation: w.state.ID, Project: w.who.Project}, w.who, w.payload)
	if err != nil {
		return nil, err
	}
	return a.Body, nil
}

func (w *watching) run(c echo.Context, state []byte) error {
	ctx := c.Request().Context()
	defer func() {
		if w.stop != nil {
			w.stop()
		}
	}()
	heartbeat := time.NewTicker(w.s.c.Heartbeat)
	defer heartbeat.Stop()
	for {
		over, err := w.tell(ctx, state)
		if over || err != nil {
			return err
		}
		if err := w.await(c, heartbeat); err != nil || ctx.Err() != nil {
			return err // nil when the caller has gone
		}
		if w.s.draining() {
			return w.write([]byte("retry: 1000\n\n"))
		}
		if state, err = w.ask(ctx); err != nil {
			// Gone, or not to be reached: the caller's next attempt gets the answer.
			return err
		}
	}
}

// await returns when it is time to ask again.
func (w *watching) await(c echo.Context, heartbeat *time.Ticker) error {
	ctx := c.Request().Context()
	pause, signal := quietest, w.signal
	if w.job == "" {
		pause, signal = unheard, nil
	}
	rest := time.NewTimer(pause)
	defer rest.Stop()
	rested := w.job == ""
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-w.s.drain:
			return nil
		case <-heartbeat.C:
			if err := w.write([]byte(": heartbeat\n\n")); err != nil {
				return err
			}
			return w.allowed(c) // and progress may have been lost
		case <-w.right.bell:
			return w.allowed(c)
		case <-rest.C:
			if w.job == "" {
				return nil
			}
			rested = true
			if signal == nil {
				return nil
			}
		case <-signal:
			if rested {
				return nil
			}
			signal = nil // once the pause is over
		}
	}
}

// allowed asks whether the caller's rights have ended.
func (w *watching) allowed(c echo.Context) error {
	who, err := w.s.callerNow(c.Request().Context(), c.Request(), w.op, c.ParamValues(), w.who.Project)
	if err == nil {
		w.who = who // whose role may be another
	}
	return err
}

// tell sends the state when it is news, and says whether it is the last one.
func (w *watching) tell(ctx context.Context, state []byte) (over bool, err error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(state, &members); err != nil {
		return true, errs.Newf(errs.Upstream, "state of %s: %w", w.state.ID, err)
	}
	over = slices.Contains(w.op.Watch.Until, textOf(members[w.op.Watch.Field]))
	if !over {
		if err := w.follow(ctx, textOf(members[w.op.Watch.Job])); err != nil {
			return true, err
		}
	}
	if bytes.Equal(state, w.last) {
		return over, nil
	}
	w.last = state
	w.sent++
	var b bytes.Buffer
	b.WriteString("event: progress\nid: " + strconv.Itoa(w.sent) + "\n")
	for line := range bytes.Lines(state) {
		b.WriteString("data: ")
		b.Write(bytes.TrimRight(line, "\r\n"))
		b.WriteByte('\n')
	}
	b.WriteByte('\n')
	return over, w.write(b.Bytes())
}

// follow listens to the job that the state names. After a change of job the
// state is asked for once more, since it may have moved meanwhile.
func (w *watching) follow(ctx context.Context, job string) error {
	if job == w.job {
		return nil
	}
	if w.stop != nil {
		w.stop()
		w.stop = nil
	}
	w.job = job
	if job == "" {
		return nil
	}
	stop, err := w.s.bus.FollowLive(ctx, w.who.Project, job, func([]byte) { w.wake() })
	if err != nil {
		return err
	}
	w.stop = stop
	w.wake()
	return nil
}

func (w *watching) wake() {
	select {
	case w.signal <- struct{}{}:
	default:
	}
}

func (w *watching) write(b []byte) error {
	_ = w.rc.SetWriteDeadline(w.s.now().Add(unread)) // see steady.Read
	if _, err := w.out.Write(b); err != nil {
		return errs.Wrap(errs.Unavailable, err, "the caller does not read its events")
	}
	if err := w.rc.Flush(); err != nil {
		return errs.Wrap(errs.Unavailable, err, "the caller does not read its events")
	}
	return nil
}

// textOf reads a JSON string; anything else is "".
func textOf(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) != nil {
		return ""
	}
	return s
}
