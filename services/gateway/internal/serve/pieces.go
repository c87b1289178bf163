package serve

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	"github.com/commandcenter/commandcenter/services/gateway/internal/contract"
	"github.com/commandcenter/commandcenter/services/gateway/internal/problem"
)

// Streams asks services for answers that come in pieces.
type Streams interface {
	// Open asks the target. What it refuses before the first piece may be the error
	// here, or that of the first Next.
	Open(ctx context.Context, t bus.Target, who tenant.Identity, payload []byte) (Frames, error)
}

// Frames are the pieces of an answer, in order; close them.
type Frames interface {
	// Next is the next piece; io.EOF after the last one, or why there are no more.
	Next(ctx context.Context) ([]byte, error)
	Close()
}

// piece is one of an answer: what it is called, and a JSON value. The last one is
// the whole.
type piece struct {
	Event string          `json:"event"`
	Data  json.RawMessage `json:"data"`
}

const kindEvents = "text/event-stream"

// takesEvents reports whether the caller names server-sent events among what it
// takes.
func takesEvents(accept []string) bool {
	for _, part := range strings.Split(strings.Join(accept, ","), ",") {
		kind, params, _ := strings.Cut(part, ";")
		q, weighed := strings.CutPrefix(strings.ReplaceAll(params, " ", ""), "q=")
		if strings.EqualFold(strings.TrimSpace(kind), kindEvents) && !(weighed && strings.Trim(q, "0.") == "") {
			return true
		}
	}
	return false
}

// pieces asks a service that answers in pieces, and hands them on as events to who
// takes those, and to all others the last one, which is the whole. What fails
// before the first piece is refused with its status; later it is an event.
func (s *Edge) pieces(c echo.Context, op *contract.Operation, who tenant.Identity, payload []byte) error {
	if s.draining() {
		return errBusy
	}
	if err := s.streams.enter(who.Principal); err != nil {
		return err
	}
	defer s.streams.leave(who.Principal)
	s.m.streams.Inc()
	defer s.m.streams.Dec()
	r := c.Request()
	timeout := s.c.RequestTimeout
	if op.Timeout > 0 {
		timeout = op.Timeout
	}
	ctx, cancel := context.WithTimeout(bus.WithOrigin(r.Context(), s.origin(c, op)), timeout)
	defer cancel()
	rc := http.NewResponseController(c.Response().Writer)
	_ = rc.SetReadDeadline(time.Time{})               // see steady.Read; nothing more is read
	_ = rc.SetWriteDeadline(s.now().Add(2 * timeout)) // likewise
	f, err := s.d.Streams.Open(ctx, bus.Target{Service: op.Service, Operation: op.ID, Project: who.Project}, who, payload)
	if err != nil {
		return err
	}
	defer f.Close()
	callOf(c).long = true
	t := &telling{s: s, c: c, in: reading(ctx, f)}
	if takesEvents(r.Header["Accept"]) {
		return t.events(ctx)
	}
	return t.whole()
}

// got is what one Next gave.
type got struct {
	piece
	err error
}

// reading calls Next until it fails, or ctx ends.
func reading(ctx context.Context, f Frames) <-chan got {
	out := make(chan got)
	go func() {
		defer close(out)
		for {
			var g got
			var data []byte
			if data, g.err = f.Next(ctx); g.err == nil {
				if err := json.Unmarshal(data, &g.piece); err != nil {
					g.err = errs.Newf(errs.Upstream, "a piece of an answer: %w", err)
				}
			}
			select {
			case out <- g:
			case <-ctx.Done():
				return
			}
			if g.err != nil {
				return
			}
		}
	}()
	return out
}

// telling is one answer on its way.
type telling struct {
	s    *Edge
	c    echo.Context
	in   <-chan got
	sent int
}

var errNothing = errs.New(errs.Upstream, "a service ended its answer before it began")

// whole answers with the last piece.
func (t *telling) whole() error {
	var last piece
	for g := range t.in {
		switch {
		case errors.Is(g.err, io.EOF) && last.Event == "":
			return errNothing
		case errors.Is(g.err, io.EOF):
			h := t.c.Response().Header()
			h["Content-Type"], h["Cache-Control"] = valJSON, valNoStore
			return t.s.send(t.c, http.StatusOK, last.Data)
		case g.err != nil:
			return g.err
		}
		last = g.piece
	}
	return context.Cause(t.c.Request().Context())
}

// events answers with all pieces, as they come.
func (t *telling) events(ctx context.Context) error {
	first, ok := <-t.in
	switch {
	case !ok:
		return context.Cause(ctx)
	case errors.Is(first.err, io.EOF):
		return errNothing
	case first.err != nil:
		return first.err
	}
	out := t.s.eventStream(t.c)
	heartbeat := time.NewTicker(t.s.c.Heartbeat)
	defer heartbeat.Stop()
	for g := first; ; {
		err := t.tell(out, g)
		if err != nil || g.err != nil {
			if !errors.Is(g.err, io.EOF) {
				callOf(t.c).err = errors.Join(g.err, err) // the answer has begun: it can only be logged
			}
			return nil
		}
		if g, ok = t.next(out, heartbeat); !ok {
			return nil // the caller has gone
		}
	}
}

// next waits for a piece, and keeps the connection alive meanwhile.
func (t *telling) next(out *frames, heartbeat *time.Ticker) (g got, ok bool) {
	for {
		select {
		case g, ok = <-t.in:
			return g, ok
		case <-heartbeat.C:
			out.comment("keep-alive")
			if err := out.flush(); err != nil {
				return g, false
			}
		}
	}
}

// tell writes a piece, or that there are no more because of a failure. The end
// after the last piece needs no words.
func (t *telling) tell(out *frames, g got) error {
	switch {
	case errors.Is(g.err, io.EOF):
		return nil
	case g.err != nil:
		g.piece = piece{"problem", problem.From(g.err, t.c.Request().URL.Path, callOf(t.c).id).Body}
	}
	t.sent++
	out.b.WriteString("event: " + g.Event + "\nid: " + strconv.Itoa(t.sent) + "\n")
	for line := range bytes.Lines(g.Data) {
		out.b.WriteString("data: ")
		out.b.Write(bytes.TrimRight(line, "\r\n"))
		out.b.WriteByte('\n')
	}
	out.b.WriteByte('\n')
	return out.flush()
}
