package source

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/tenant"
)

func hostOf(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return u.Scheme + "://" + u.Host
}

// Saving keeps what runs yield. It says what changed, in the same transaction.
type Saving interface {
	// Begin notes that a run has begun, and returns its source with the marks of its
	// documents by their keys; [ErrNotFound] when it is gone, [ErrDisabled] when it is
	// not to be asked.
	Begin(ctx context.Context, p tenant.Project, source int64, run uuid.UUID, now time.Time) (Source, map[string]string, error)
	// Save keeps documents, and tells how far the run is. Its outcomes are those of the
	// documents.
	Save(ctx context.Context, x Source, r Run, docs []Document, same []string) ([]Outcome, error)
	// Sweep forgets documents that the run has not seen, and removes those that no other
	// source has.
	Sweep(ctx context.Context, x Source, run uuid.UUID) (gone int, err error)
	// Marks are those of a source's documents by their keys.
	Marks(ctx context.Context, p tenant.Project, source int64) (map[string]string, error)
	// End keeps what became of the run and of its source.
	End(ctx context.Context, x Source, r Run) error
}

// Runner runs sources.
type Runner struct {
	Book
	Saving
	Chance func() float64 // from 0 to 1
}

// The size of what is saved at a time.
const (
	batchDocs  = 32
	batchBytes = 1 << 20
	mostTold   = 5 // documents of a run that failed, with why
)

// fault is one of ours: it is no fault of the source.
type fault struct{ err error }

func (f *fault) Error() string { return f.err.Error() }
func (f *fault) Unwrap() error { return f.err }

// visiting is a run under way.
type visiting struct {
	r      *Runner
	ctx    context.Context //nolint:containedctx // it ends with Run
	x      Source
	run    Run
	docs   []Document
	bytes  int
	same   []string
	held   []string // that could not be read, and stay as they were
	failed []string
	tell   func(done, total int, doing string)
}

func (v *visiting) flush() error {
	if len(v.docs) == 0 && len(v.same) == 0 && len(v.held) == 0 {
		return nil
	}
	all, err := v.r.Save(v.ctx, v.x, v.run, v.docs, append(v.held, v.same...))
	if err != nil {
		return &fault{err}
	}
	for _, o := range all {
		v.run.Counts.add(o)
	}
	v.run.Counts.Seen += len(v.same)
	v.run.Counts.Unchanged += len(v.same)
	v.docs, v.bytes, v.same, v.held = v.docs[:0], 0, v.same[:0], v.held[:0]
	v.tell(v.run.Counts.Seen, v.run.Total, v.run.Doing)
	return nil
}

func (v *visiting) take(_ context.Context, d Document) error {
	if len(d.Content) > MaxContent {
		v.fail(d.Key, errs.Newf(errs.TooLarge, "it has more than %d MiB", MaxContent>>20))
		return nil
	}
	v.docs, v.bytes = append(v.docs, d), v.bytes+len(d.Content)
	if len(v.docs) >= batchDocs || v.bytes >= batchBytes {
		return v.flush()
	}
	return nil
}

func (v *visiting) unchanged(_ context.Context, keys ...string) error {
	v.same = append(v.same, keys...)
	if len(v.same) >= 500 {
		return v.flush()
	}
	return nil
}

func (v *visiting) fail(key string, why error) {
	v.run.Counts.Seen++
	v.run.Counts.Failed++
	v.held = append(v.held, key)
	if len(v.failed) < mostTold {
		v.failed = append(v.failed, fmt.Sprintf("%.200s: %s", key, said(why)))
	}
}

// said is an error for people, on one line.
func said(err error) string {
	return clipTo(strings.Join(strings.Fields(strings.ToValidUTF8(err.Error(), "")), " "), 1000)
}

func clipTo(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n])
	}
	return s
}

// Run runs a source. tell is told how far it is. What it returns is the run; the
// error is a refusal when the source failed, which is kept by then, and any other
// one when the run should be tried again.
func (r *Runner) Run(ctx context.Context, p tenant.Project, source int64, id uuid.UUID, tell func(done, total int, doing string)) (Run, error) {
	now := r.Now()
	x, marks, err := r.Begin(ctx, p, source, id, now)
	if err != nil {
		return Run{}, err
	}
	v := &visiting{r: r, ctx: ctx, x: x, run: Run{ID: id, Source: source, State: RunRunning, StartedAt: now}, tell: tell}
	report, err := r.visit(ctx, v, marks)
	if f := (*fault)(nil); errors.As(err, &f) {
		return v.run, f.err
	}
	if ctx.Err() != nil && !errors.Is(context.Cause(ctx), context.DeadlineExceeded) {
		return v.run, context.Cause(ctx)
	}
	return v.run, r.settle(ctx, v, report, err)
}

// longest is how long a run may take.
const longest = time.Hour

func (r *Runner) visit(ctx context.Context, v *visiting, marks map[string]string) (Report, error) {
	ctx, cancel := context.WithTimeout(ctx, longest)
	defer cancel()
	creds, err := r.Opened(v.x)
	if err != nil {
		return Report{}, err
	}
	report, err := r.Kinds[v.x.Kind](ctx, Visit{
		Source: v.x, Credentials: creds,
		Mark: func(key string) string { return marks[key] }, Known: func() []string { return slices.Sorted(maps.Keys(marks)) },
		Take: v.take, Same: v.unchanged, Failed: v.fail,
		Tell: func(done, total int, doing string) {
			v.run.Total, v.run.Doing = total, doing
			v.tell(done, total, doing)
		},
	})
	if err == nil {
		err = v.flush()
	}
	if err == nil && report.Whole && !report.Hollow {
		if v.run.Counts.Gone, err = r.Sweep(ctx, v.x, v.run.ID); err != nil {
			return report, &fault{err}
		}
	}
	return report, err
}

// settle keeps what became of a run.
func (r *Runner) settle(ctx context.Context, v *visiting, report Report, failure error) error {
	now := r.Now()
	x, run := &v.x, &v.run
	run.FinishedAt, run.Counts.Bytes, run.Note, run.Doing = now, report.Bytes, report.Note, ""
	x.LastRun = run.StartedAt
	if failure == nil && run.Counts.Failed > 0 {
		run.Error = clipTo(strings.Join(v.failed, "; "), 1000)
		if run.Counts.Failed == run.Counts.Seen {
			failure = errs.New(errs.Invalid, "no document could be read: "+run.Error)
		}
	}
	after := report.After
	if failure == nil {
		run.State, x.Status, x.LastGood, x.LastError, x.Faults, x.Parked = RunDone, Success, now, run.Error, 0, time.Time{}
		x.Documents += int64(run.Counts.Taken)
		if !report.Hollow {
			x.State = report.State
		}
		if report.Moved != "" && (x.Sealed == nil || hostOf(report.Moved) == hostOf(x.URL)) {
			x.URL = report.Moved
		}
	} else {
		if wait := (*RetryAfter)(nil); errors.As(failure, &wait) {
			after = wait.At
		}
		run.State, run.Error, x.Status, x.LastError = RunFailed, said(failure), Error, said(failure)
		x.Faults++
		if x.Faults >= MostFaults {
			x.Parked = now
		}
	}
	if report.Gone {
		x.Enabled, x.Status = false, Disabled
	}
	x.NextRun = x.Next(now, Report{Every: report.Every, After: after, Shift: report.Shift}, r.Chance())
	if err := r.End(ctx, *x, *run); err != nil {
		return err
	}
	if failure != nil {
		return errs.New(errs.Invalid, run.Error)
	}
	return nil
}
