package cli

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"github.com/commandcenter/commandcenter/services/commandcenter/internal/ingest"
)

// progress hears of an upload, and of the pauses that the server asks for.
type progress interface {
	ingest.Progress
	Paused(d time.Duration, status int)
}

// progress is bars on a terminal, lines otherwise, nothing with --json.
func (e *env) progress(ctx context.Context, wait bool) progress {
	switch {
	case e.json:
		return silent{}
	case terminal(e.Err):
		return &bars{env: e, ctx: ctx, wait: wait}
	}
	return &lines{env: e, wait: wait}
}

type silent struct{}

func (silent) Begin(int, int64)       {}
func (silent) Sent(int64)             {}
func (silent) Uploaded(ingest.Result) {}
func (silent) Indexed(ingest.Result)  {}
func (silent) End()                   {}

func (silent) Paused(time.Duration, int) {}

// lines prints one line for each finished file.
type lines struct {
	env         *env
	wait        bool
	mu          sync.Mutex
	total, done int
	pauses      pauses
}

func (l *lines) Begin(files int, bytes int64) {
	l.total = files
	l.env.say("Uploading %s, %s.", count(files, "file"), size(bytes))
}

func (l *lines) Sent(int64) {}

func (l *lines) Uploaded(r ingest.Result) {
	if !l.wait || !r.OK() {
		l.finished(r)
	}
}

func (l *lines) Indexed(r ingest.Result) { l.finished(r) }

func (l *lines) finished(r ingest.Result) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.done++
	state, chunks := r.State, ""
	switch {
	case r.Outcome == ingest.OutcomeUnchanged:
		state = r.Outcome
	case r.OK(): // else the summary has the reason
		chunks = ", " + count(r.Chunks, "chunk")
	}
	l.env.say("[%d/%d] %s %s%s", l.done, l.total, state, oneLine(r.Name), chunks)
}

func (l *lines) End() {}

func (l *lines) Paused(d time.Duration, status int) {
	if text := l.pauses.say(d, status); text != "" {
		l.env.say("%s", text)
	}
}

// pauses are those of several uploads, which one word is enough for.
type pauses struct {
	mu    sync.Mutex
	until time.Time
	slow  bool // it was said that many short ones are taken
}

// say returns what is to be said of a pause, "" for nothing.
func (p *pauses) say(d time.Duration, status int) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	why := "the server is not ready"
	if status == http.StatusTooManyRequests {
		why = "the server takes only so many calls a minute"
	}
	switch now := time.Now(); {
	case now.Before(p.until):
		return ""
	case d >= 5*time.Second:
		p.until = now.Add(d)
		return fmt.Sprintf("Going on in %s: %s.", d.Round(time.Second), why)
	case p.slow:
		return ""
	}
	p.slow = true
	return fmt.Sprintf("Going on more slowly: %s.", why)
}

// bars draws two: what is sent, and what is indexed.
type bars struct {
	env   *env
	ctx   context.Context //nolint:containedctx // the bars live as long as the command
	wait  bool
	p     *mpb.Progress
	sent  *mpb.Bar
	index *mpb.Bar
	files int
	up    atomic.Int64

	pauses pauses
}

// Paused writes a line above the bars.
func (b *bars) Paused(d time.Duration, status int) {
	if b.p == nil {
		return
	}
	if text := b.pauses.say(d, status); text != "" {
		fmt.Fprintln(b.p, text) // only talk
	}
}

func (b *bars) Begin(files int, bytes int64) {
	b.files = files
	b.p = mpb.NewWithContext(b.ctx, mpb.WithOutput(b.env.Err), mpb.WithWidth(40))
	counted := decor.Any(func(decor.Statistics) string { return fmt.Sprintf("  %d/%d files", b.up.Load(), files) })
	b.sent = b.p.AddBar(max(bytes, 1),
		mpb.PrependDecorators(decor.Name("uploading ", decor.WC{W: 10})),
		mpb.AppendDecorators(decor.CountersKibiByte("% .1f / % .1f"), counted))
	if b.wait {
		b.index = b.p.AddBar(int64(files),
			mpb.PrependDecorators(decor.Name("indexing ", decor.WC{W: 10})),
			mpb.AppendDecorators(decor.CountersNoUnit("%d / %d documents"), decor.Elapsed(decor.ET_STYLE_GO, decor.WC{W: 8})))
	}
}

func (b *bars) Sent(n int64) { b.sent.IncrInt64(n) }

func (b *bars) Uploaded(r ingest.Result) {
	if b.up.Add(1) == int64(b.files) {
		b.sent.SetTotal(-1, true)
	}
	if !r.OK() && b.index != nil {
		b.index.Increment()
	}
}

func (b *bars) Indexed(ingest.Result) {
	if b.index != nil {
		b.index.Increment()
	}
}

func (b *bars) End() {
	// What gave up is left as it stands, so that one sees how far it came.
	b.sent.Abort(false)
	if b.index != nil {
		b.index.Abort(false)
	}
	b.p.Wait()
}

func size(bytes int64) string {
	switch {
	case bytes >= 1<<20:
		return fmt.Sprintf("%.1f MiB", float64(bytes)/(1<<20))
	case bytes >= 1<<10:
		return fmt.Sprintf("%.1f KiB", float64(bytes)/(1<<10))
	}
	return count(int(bytes), "byte")
}
