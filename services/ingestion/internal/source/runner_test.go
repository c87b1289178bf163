package source_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/tenant"

	"github.com/commandcenter/commandcenter/services/ingestion/internal/source"
)

// shelf keeps one source; what is not given is not asked.
type shelf struct {
	source.Keeper
	x      source.Source
	marks  map[string]string
	saved  []source.Document
	same   []string
	run    source.Run
	broken error
}

func (s *shelf) Get(context.Context, tenant.Project, int64) (source.Source, error) { return s.x, nil }

func (s *shelf) Insert(_ context.Context, p tenant.Project, x source.Source, seal source.Sealing) (_ source.Source, err error) {
	x.ID, x.Project = 7, p
	x.Sealed, err = seal(x)
	s.x = x
	return x, err
}

func (s *shelf) Update(_ context.Context, _ tenant.Project, _ int64, _ time.Time, change func(source.Source) (source.Source, error)) (source.Source, error) {
	x, err := change(s.x)
	if err == nil {
		s.x = x
	}
	return x, err
}

func (s *shelf) Enqueue(context.Context, tenant.Project, int64, string, string, time.Time) (source.Source, uuid.UUID, error) {
	return s.x, uuid.New(), nil
}

func (s *shelf) Begin(context.Context, tenant.Project, int64, uuid.UUID, time.Time) (source.Source, map[string]string, error) {
	return s.x, s.marks, nil
}

func (s *shelf) Marks(context.Context, tenant.Project, int64) (map[string]string, error) {
	return s.marks, nil
}

func (s *shelf) Save(_ context.Context, _ source.Source, _ source.Run, docs []source.Document, same []string) ([]source.Outcome, error) {
	s.saved, s.same = append(s.saved, docs...), append(s.same, same...)
	out := make([]source.Outcome, len(docs))
	for i, d := range docs {
		out[i] = source.Outcome(d.Mark)
	}
	return out, s.broken
}
func (s *shelf) Sweep(context.Context, source.Source, uuid.UUID) (int, error) { return 3, nil }
func (s *shelf) End(_ context.Context, x source.Source, r source.Run) error {
	s.x, s.run = x, r
	return nil
}

// box seals by turning around.
type box struct{}

func (box) Seal(_ tenant.Project, id int64, plain []byte) ([]byte, error) {
	return fmt.Appendf(nil, "%d:%s", id, plain), nil
}

func (box) Open(_ tenant.Project, id int64, sealed []byte) ([]byte, error) {
	plain, ok := strings.CutPrefix(string(sealed), fmt.Sprint(id, ":"))
	if !ok {
		return nil, errors.New("of another source")
	}
	return []byte(plain), nil
}

var now = time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)

func runner(s *shelf, visit func(ctx context.Context, v source.Visit) (source.Report, error)) *source.Runner {
	return &source.Runner{
		Book:   source.Book{Keeper: s, Kinds: source.Kinds{source.Feed: visit}, Safe: box{}, Now: func() time.Time { return now }},
		Saving: s, Chance: func() float64 { return 0.5 },
	}
}

func news() source.Draft {
	return source.Draft{Kind: source.Feed, Name: "n", URL: "https://example.com/feed", Priority: 5, Enabled: true}
}

func quiet(int, int, string) {}

func TestARunKeepsWhatTheVisitYields(t *testing.T) {
	t.Parallel()
	s := &shelf{marks: map[string]string{"b": "1"}}
	r := runner(s, func(ctx context.Context, v source.Visit) (source.Report, error) {
		if v.Credentials.Token != "t" || v.Mark("b") != "1" || v.Mark("x") != "" {
			return source.Report{}, fmt.Errorf("given %+v", v.Credentials)
		}
		v.Tell(0, 40, "reading")
		for i := range 40 {
			if err := v.Take(ctx, source.Document{Key: fmt.Sprint(i), Mark: string([]source.Outcome{source.Taken, source.Elsewhere, source.Unchanged, source.Taken}[i%4])}); err != nil {
				return source.Report{}, err
			}
		}
		v.Failed("bad", errors.New("no text"))
		if err := v.Take(ctx, source.Document{Key: "huge", Content: make([]byte, source.MaxContent+1)}); err != nil {
			return source.Report{}, err
		}
		return source.Report{State: json.RawMessage(`{"a":1}`), Moved: "https://example.com/new", Bytes: 9, Note: "n", Whole: true}, v.Same(ctx, "b")
	})
	if _, err := r.Add(t.Context(), 1, news(), source.Credentials{Token: "t"}, "user:1"); err != nil {
		t.Fatal(err)
	}
	if s.x.NextRun != now || string(s.x.Sealed) != `7:{"token":"t"}` {
		t.Errorf("added %+v", s.x)
	}
	run, err := r.Run(t.Context(), 1, 7, uuid.New(), quiet)
	want := source.Counts{Seen: 43, Taken: 20, Elsewhere: 10, Unchanged: 11, Gone: 3, Failed: 2, Bytes: 9}
	if err != nil || run.Counts != want || run.State != source.RunDone || len(s.saved) != 40 || len(s.same) != 3 {
		t.Errorf("%+v, %v; kept %d, as they were %v", run, err, len(s.saved), s.same)
	}
	if x := s.x; x.Status != source.Success || x.Documents != 20 || x.URL != "https://example.com/new" || string(x.State) != `{"a":1}` || !strings.Contains(x.LastError, "bad: no text") || !x.NextRun.After(now) {
		t.Errorf("the source: %+v", x)
	}
}

func TestAFaultOfOursIsNoneOfTheSource(t *testing.T) {
	t.Parallel()
	s := &shelf{broken: errors.New("the database is away")}
	r := runner(s, func(ctx context.Context, v source.Visit) (source.Report, error) {
		return source.Report{}, v.Take(ctx, source.Document{Key: "a"})
	})
	if _, err := r.Add(t.Context(), 1, news(), source.Credentials{}, "user:1"); err != nil {
		t.Fatal(err)
	}
	run, err := r.Run(t.Context(), 1, 7, uuid.New(), quiet)
	if err == nil || errs.KindOf(err).Refusal() || !run.FinishedAt.IsZero() || s.x.Faults != 0 {
		t.Errorf("%+v, %v", run, err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("the process stops")
	r = runner(s, func(ctx context.Context, _ source.Visit) (source.Report, error) {
		cancel(stop)
		return source.Report{}, ctx.Err()
	})
	if _, err := r.Run(ctx, 1, 7, uuid.New(), quiet); !errors.Is(err, stop) || s.x.Faults != 0 {
		t.Errorf("stopped: %v", err)
	}
}

func TestFaultsOfASourceAddUpUntilItIsWellAgain(t *testing.T) {
	t.Parallel()
	s := &shelf{}
	failure := error(errs.New(errs.Upstream, "500"))
	report := source.Report{}
	r := runner(s, func(_ context.Context, v source.Visit) (source.Report, error) {
		if failure == nil && !report.Hollow {
			v.Failed("a", errors.New("unreadable"))
		}
		return report, failure
	})
	if _, err := r.Add(t.Context(), 1, news(), source.Credentials{}, "user:1"); err != nil {
		t.Fatal(err)
	}
	fail := func() {
		t.Helper()
		if _, err := r.Run(t.Context(), 1, 7, uuid.New(), quiet); errs.KindOf(err) != errs.Invalid || s.run.State != source.RunFailed || s.x.Status != source.Error && s.x.Status != source.Disabled {
			t.Errorf("%+v: %v", s.run, err)
		}
	}
	fail()
	failure = &source.RetryAfter{Err: failure, At: now.Add(5 * time.Hour)}
	fail()
	if s.x.NextRun != now.Add(5*time.Hour) || s.x.Faults != 2 {
		t.Errorf("later: %+v", s.x)
	}
	failure = nil // but no document can be read
	for range source.MostFaults - 2 {
		fail()
	}
	if s.x.Parked.IsZero() || !s.x.NextRun.IsZero() {
		t.Errorf("after %d: %+v", source.MostFaults, s.x)
	}
	report.Hollow = true
	s.x.State = json.RawMessage(`{}`)
	if _, err := r.Run(t.Context(), 1, 7, uuid.New(), quiet); err != nil || s.x.Faults != 0 || !s.x.Parked.IsZero() || s.x.State == nil {
		t.Errorf("well: %v %+v", err, s.x)
	}
	report.Gone, failure = true, errs.New(errs.Invalid, "410")
	fail()
	if s.x.Enabled || s.x.Status != source.Disabled || !s.x.NextRun.IsZero() {
		t.Errorf("gone: %+v", s.x)
	}
}

func TestAChangeAsksTheSourceAnewAndKeepsCredentialsForTheirHost(t *testing.T) {
	t.Parallel()
	s := &shelf{}
	r := runner(s, nil)
	r.Kinds[source.Feed] = func(context.Context, source.Visit) (source.Report, error) { return source.Report{}, nil }
	if _, err := r.Add(t.Context(), 1, source.Draft{Kind: source.Feed, Name: "n", Priority: 5}, source.Credentials{}, "u"); err == nil {
		t.Error("no url: no error")
	}
	if _, err := r.Add(t.Context(), 1, news(), source.Credentials{Password: "x"}, "u"); err == nil {
		t.Error("a password alone: no error")
	}
	if _, err := r.Add(t.Context(), 1, news(), source.Credentials{Token: "t"}, "u"); err != nil {
		t.Fatal(err)
	}
	s.x.Faults, s.x.Parked, s.x.State = 10, now, json.RawMessage(`{}`)
	x, err := r.Change(t.Context(), 1, 7, func(d *source.Draft) error { d.URL = "https://example.com/other"; return nil }, nil)
	if err != nil || x.Faults != 0 || !x.Parked.IsZero() || x.State != nil || x.NextRun != now || x.Sealed == nil {
		t.Errorf("%+v, %v", x, err)
	}
	if _, err := r.Change(t.Context(), 1, 7, func(d *source.Draft) error { d.URL = "https://evil.example/"; return nil }, nil); errs.KindOf(err) != errs.Invalid {
		t.Errorf("another host: %v", err)
	}
	if _, err := r.Change(t.Context(), 1, 7, func(*source.Draft) error { return nil }, &source.Credentials{Password: "x"}); err == nil {
		t.Error("bad credentials: no error")
	}
	if x, err := r.Change(t.Context(), 1, 7, func(d *source.Draft) error { d.Enabled = false; return nil }, &source.Credentials{}); err != nil || x.Sealed != nil || x.Status != source.Disabled || !x.NextRun.IsZero() {
		t.Errorf("disabled: %+v, %v", x, err)
	}
	if x, err := r.Change(t.Context(), 1, 7, func(d *source.Draft) error { d.Enabled = true; return nil }, nil); err != nil || x.Status != source.Pending {
		t.Errorf("enabled: %+v, %v", x, err)
	}
	if _, run, err := r.Book.Run(t.Context(), 1, 7, "u"); err != nil || run == uuid.Nil {
		t.Errorf("run: %v %v", run, err)
	}
	if n := r.Names(); len(n) != 1 || n[0] != source.Feed {
		t.Errorf("kinds %v", n)
	}
}

func TestAPreviewShowsWhatARunWouldTakeAndKeepsNothing(t *testing.T) {
	t.Parallel()
	s := &shelf{marks: map[string]string{"a": "1"}}
	r := runner(s, func(ctx context.Context, v source.Visit) (source.Report, error) {
		v.Tell(0, 0, "")
		v.Failed("x", errors.New("no"))
		for _, k := range []string{"a", "b", "c"} {
			if v.Mark(k) == "1" {
				_ = v.Same(ctx, k)
				continue
			}
			if err := v.Take(ctx, source.Document{Key: k}); err != nil {
				return source.Report{}, err
			}
		}
		return source.Report{Note: "all"}, nil
	})
	p, err := r.Try(t.Context(), 1, news(), source.Credentials{}, 2)
	if err != nil || len(p.Documents) != 2 || !p.More || len(p.Failed) != 1 || p.Same != 0 {
		t.Errorf("%+v, %v", p, err)
	}
	s.x = source.Source{ID: 7, Draft: news()}
	if p, err = r.TryKept(t.Context(), 1, 7, 10); err != nil || len(p.Documents) != 2 || p.More || p.Same != 1 || p.Report.Note != "all" {
		t.Errorf("%+v, %v", p, err)
	}
	if len(s.saved) != 0 {
		t.Errorf("kept %v", s.saved)
	}
	if _, err := r.Try(t.Context(), 1, source.Draft{}, source.Credentials{}, 2); err == nil {
		t.Error("nothing said: no error")
	}
}
