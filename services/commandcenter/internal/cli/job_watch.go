package cli

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"github.com/spf13/cobra"
	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"github.com/commandcenter/commandcenter/services/commandcenter/internal/client"
)

func (e *env) jobWatch() *cobra.Command {
	return ends(&cobra.Command{
		Use: "watch ID", Short: "Follow a job until it is over", Args: nargs(1, 1),
		Long:    "A bar on a terminal, lines otherwise, a JSON object for each change with --json. It fails when the job does.",
		Example: "  commandcenter job watch 33",
		RunE: e.ofJob(func(ctx context.Context, s *client.Session, id int64) error {
			return e.watch(ctx, s, id)
		}),
	}, codesClient...)
}

// watch follows a job to its end, and fails when it does.
func (e *env) watch(ctx context.Context, s *client.Session, id int64) error {
	var last client.JobResponse
	show, end := e.watcher(ctx)
	err := s.Watch(ctx, id, func(j client.JobResponse) error {
		last = j
		show(j)
		return nil
	})
	end()
	if err != nil {
		return err
	}
	if !e.json {
		text := fmt.Sprintf("Job %d, %s of %s, %s", last.Id, last.JobType, last.Service, e.jobStatus(last))
		if last.DurationSeconds != nil {
			text += " after " + jobTook(last)
		}
		e.line("%s.", text)
		e.shown("result", last.Result)
	}
	if string(last.Status) != "completed" {
		return codedError{fmt.Errorf("%w: %s", errJobFailed, or(last.Error, string(last.Status))), exitFailure}
	}
	return nil
}

// watcher shows the states of a job as they come.
func (e *env) watcher(ctx context.Context) (show func(client.JobResponse), end func()) {
	switch {
	case e.json:
		return func(j client.JobResponse) { e.print(e.Out, j) }, func() {}
	case terminal(e.Err):
		return e.watchBar(ctx)
	}
	before := ""
	return func(j client.JobResponse) {
		text := fmt.Sprintf("%s %3d%% %s", e.jobStatus(j), j.Progress, oneLine(or(j.CurrentStep, "")))
		if text = strings.TrimSpace(text); text != before {
			e.say("%s", text)
			before = text
		}
	}, func() {}
}

func (e *env) watchBar(ctx context.Context) (show func(client.JobResponse), end func()) {
	var mu sync.Mutex
	var now client.JobResponse
	says := func(text func(client.JobResponse) string) decor.Decorator {
		return decor.Any(func(decor.Statistics) string {
			mu.Lock()
			defer mu.Unlock()
			return text(now)
		})
	}
	p := mpb.NewWithContext(ctx, mpb.WithOutput(e.Err), mpb.WithWidth(40))
	bar := p.AddBar(100,
		mpb.PrependDecorators(says(func(j client.JobResponse) string { return fmt.Sprintf("%d %s ", j.Id, e.jobStatus(j)) })),
		mpb.AppendDecorators(decor.Percentage(), says(func(j client.JobResponse) string { return "  " + oneLine(or(j.CurrentStep, "")) }), decor.Elapsed(decor.ET_STYLE_GO, decor.WC{W: 8})))
	return func(j client.JobResponse) {
			mu.Lock()
			now = j
			mu.Unlock()
			bar.SetCurrent(int64(j.Progress))
		}, func() {
			bar.Abort(false)
			p.Wait()
		}
}
