package serve_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	"github.com/commandcenter/commandcenter/services/gateway/internal/serve"
)

// wholeAnswer is the last piece of every answer here.
const wholeAnswer = `{"question":"why?","answer":"So [1].","outcome":"answered","truncated":false,"citations":[],"invented":[],"sources":[],"model":"m","written_for":null,"usage":null,` +
	`"retrieval":{"mode":"hybrid","degraded":null,"reranked_by":null,"not_reranked":null,"index_generation":1},"timings":{"retrieval_ms":1,"first_token_ms":2,"total_ms":3}}`

// said are the pieces of an answer, or what it ends with.
type said struct {
	pieces []string
	end    error
	wait   chan struct{} // before the end; nil: none
	closed chan struct{}
}

func (f *said) Next(ctx context.Context) ([]byte, error) {
	if len(f.pieces) == 0 {
		if f.wait != nil {
			select {
			case <-f.wait:
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}
		return nil, f.end
	}
	p := f.pieces[0]
	f.pieces = f.pieces[1:]
	return []byte(p), nil
}

func (f *said) Close() { close(f.closed) }

// answering answers every question with the same pieces.
type answering struct {
	b       *fakeBus
	pieces  []string
	end     error
	refusal error
	wait    chan struct{}
	closed  chan struct{}
}

func (x *answering) Open(_ context.Context, t bus.Target, who tenant.Identity, payload []byte) (serve.Frames, error) {
	x.b.mu.Lock()
	x.b.asked = append(x.b.asked, asked{t, who, string(payload), "", 0})
	x.b.mu.Unlock()
	if x.refusal != nil {
		return nil, x.refusal
	}
	return &said{pieces: x.pieces, end: x.end, wait: x.wait, closed: x.closed}, nil
}

func newAnswering(t *testing.T, opts ...option) (*world, *answering) {
	x := &answering{
		pieces: []string{`{"event":"sources","data":[]}`, `{"event":"token","data":{"text":"So [1]."}}`, `{"event":"answer","data":` + wholeAnswer + `}`},
		end:    io.EOF, closed: make(chan struct{}, 1),
	}
	w := newWorld(t, append(opts, func(_ *serve.Config, d *serve.Deps) { d.Streams = x })...)
	x.b = w.bus
	return w, x
}

const answerPath = "/api/v1/knowledge/answer"

func TestAnAnswerComesWholeOrInPiecesAsTheCallerTakesIt(t *testing.T) {
	t.Parallel()
	for accept, events := range map[string]bool{
		"application/json": false, "*/*": false, "text/event-stream": true, "application/json;q=0.5, text/event-stream": true, "text/event-stream;q=0, application/json": false,
	} {
		w, x := newAnswering(t)
		got := w.call("POST", answerPath+"?mode=keyword", `{"question":"why?"}`, as(w.auth.token(viewer)), with("Accept", accept))
		want, kind := wholeAnswer, "application/json"
		if events {
			want = "event: sources\nid: 1\ndata: []\n\nevent: token\nid: 2\ndata: {\"text\":\"So [1].\"}\n\nevent: answer\nid: 3\ndata: " + wholeAnswer + "\n\n"
			kind = "text/event-stream"
		}
		if got.status != 200 || got.body != want || got.header.Get("Content-Type") != kind || got.header.Get("Cache-Control") != "no-store" {
			t.Errorf("%q: %d %v\n%s", accept, got.status, got.header, got.body)
		}
		await(t, x.closed)
		a := w.bus.last(t)
		if a.target.Operation != "answerQuestion" || a.target.Project != 1 || a.who.UserID != viewer || !sameJSON(a.payload, `{"mode":"keyword","body":{"question":"why?"}}`) {
			t.Errorf("asked %+v", a)
		}
	}
}

func TestAnAnswerThatBreaksOffNeverLooksWhole(t *testing.T) {
	t.Parallel()
	broke := errs.New(errs.Upstream, "the language model broke off")
	for name, c := range map[string]struct {
		pieces  []string
		end     error
		refusal error
		status  int // of both forms; 0: the events had begun
		words   string
	}{
		"refused":          {nil, nil, errs.New(errs.Unavailable, "no language model"), 503, "no language model"},
		"before the first": {nil, errs.New(errs.RateLimited, "too many answers"), nil, 429, "too many answers"},
		"nothing":          {nil, io.EOF, nil, 502, "ended its answer before it began"},
		"no JSON":          {[]string{"{"}, io.EOF, nil, 502, "a piece of an answer"},
		"later":            {[]string{`{"event":"token","data":{"text":"So"}}`}, broke, nil, 0, "broke off"},
	} {
		w, x := newAnswering(t)
		x.pieces, x.end, x.refusal = c.pieces, c.end, c.refusal
		token := as(w.auth.token(viewer))
		whole := w.call("POST", answerPath, `{"question":"why?"}`, token)
		status := c.status
		if status == 0 {
			status = 502
		}
		if whole.status != status || !strings.Contains(whole.body, c.words) {
			t.Errorf("%s: %d %s", name, whole.status, whole.body)
		}
		x.closed = make(chan struct{}, 1)
		events := w.call("POST", answerPath, `{"question":"why?"}`, token, with("Accept", "text/event-stream"))
		switch {
		case strings.Contains(events.body, "event: answer"):
			t.Errorf("%s: it looks whole: %s", name, events.body)
		case c.status != 0:
			if events.status != c.status || !strings.Contains(events.body, c.words) {
				t.Errorf("%s: %d %s", name, events.status, events.body)
			}
		case events.status != 200 || !strings.Contains(events.body, "event: problem\nid: 2\ndata: {\"type\"") || !strings.Contains(events.body, `"status":502`) || !strings.Contains(events.body, c.words):
			t.Errorf("%s: %d %s", name, events.status, events.body)
		}
	}
}

func TestAnAnswerIsKeptAliveAndEndsWithItsCaller(t *testing.T) {
	t.Parallel()
	w, x := newAnswering(t, func(c *serve.Config, _ *serve.Deps) { c.Heartbeat = 5 * time.Millisecond })
	x.wait = make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	r, err := http.NewRequestWithContext(ctx, "POST", w.server.URL+answerPath, strings.NewReader(`{"question":"why?"}`))
	if err != nil {
		t.Fatal(err)
	}
	as(w.auth.token(viewer))(r)
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Accept", "text/event-stream")
	res, err := w.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	var seen strings.Builder
	for buf := make([]byte, 512); !strings.Contains(seen.String(), ": keep-alive"); {
		n, err := res.Body.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		seen.Write(buf[:n])
	}
	cancel()
	await(t, x.closed)
	if _, err := io.ReadAll(res.Body); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	_ = res.Body.Close() // it has been given up
}

func TestSoManyAnswersAreOpenForOneCaller(t *testing.T) {
	t.Parallel()
	w, x := newAnswering(t, func(c *serve.Config, _ *serve.Deps) { c.MaxPerUser = 1 })
	x.wait = make(chan struct{})
	first := make(chan answer, 1)
	in := w.in(t)
	token := as(w.auth.token(viewer))
	go func() { first <- in.call("POST", answerPath, `{"question":"why?"}`, token) }()
	for w.bus.count() == 0 {
		select {
		case a := <-first:
			t.Fatalf("%d %s", a.status, a.body)
		default:
		}
	}
	if got := w.call("POST", answerPath, `{"question":"why?"}`, token); got.status != 429 || got.header.Get("Retry-After") == "" {
		t.Errorf("%d %s", got.status, got.body)
	}
	close(x.wait)
	if a := await(t, first); a.status != 200 {
		t.Errorf("%d %s", a.status, a.body)
	}
}
