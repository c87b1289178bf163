package cli

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"github.com/commandcenter/commandcenter/services/commandcenter/internal/ingest"
)

// progress is bars on a terminal, lines otherwise, nothing with --json.
func (e *env) progress(ctx context.Context, wait bool) ingest.Progress {
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

// lines prints one line for each finished file.
type lines struct {
	env         *env
	wait        bool
	mu          sync.Mutex
	total, done int
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
	chunks := ""
	if r.OK() { // else the summary has the reason
		chunks = ", " + count(r.Chunks, "chunk")
	}
	l.env.say("[%d/%d] %s %s%s", l.done, l.total, r.State, oneLine(r.Name), chunks)
}

func (l *lines) End() {}

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
