package mesh_test

import (
	"context"
	"errors"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	"github.com/commandcenter/commandcenter/services/federation/internal/instance"
	"github.com/commandcenter/commandcenter/services/federation/internal/mesh"
	"github.com/commandcenter/commandcenter/services/federation/internal/share"
)

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

type list []instance.Entry

func (l list) List(context.Context, instance.Status) ([]instance.Entry, error) {
	return slices.Clone(l), nil
}
func (l list) Get(_ context.Context, slug string) (instance.Entry, error) {
	for _, e := range l {
		if e.Slug == slug {
			return e, nil
		}
	}
	return instance.Entry{}, instance.ErrNotFound
}

func entry(slug string, change func(*instance.Instance)) instance.Entry {
	i := instance.Instance{Slug: slug, Admitted: true, Status: instance.Online, Beats: 1, Key: "U" + slug, SealKey: "X", Capabilities: []string{mesh.Capability}, LastHeartbeat: noon}
	if change != nil {
		change(&i)
	}
	return instance.Entry{Instance: i, Self: slug == "us"}
}

func TestAReportSaysOfEveryInstanceWhyItHasNotAnswered(t *testing.T) {
	t.Parallel()
	a := &mesh.Asker{
		Catalog: list{
			entry("us", nil), entry("good", nil), entry("slow", nil), entry("bad", nil),
			entry("gone", func(i *instance.Instance) { i.Status = instance.Offline }),
			entry("never", func(i *instance.Instance) { i.Status, i.Beats = instance.Offline, 0 }),
			entry("old", func(i *instance.Instance) { i.Capabilities = nil }),
			entry("plain", func(i *instance.Instance) { i.Key = "" }),
			entry("stranger", func(i *instance.Instance) { i.Admitted = false }),
		},
		Local: func(context.Context, tenant.Project, mesh.Query) ([]mesh.Hit, error) {
			return nil, errs.New(errs.Unavailable, "the index is being built")
		},
		Ask: func(ctx context.Context, to instance.Instance, q mesh.Query) ([]mesh.Hit, error) {
			switch to.Slug {
			case "slow":
				<-ctx.Done()
				return nil, ctx.Err()
			case "bad":
				return nil, mesh.ErrForged
			}
			if q.Budget != 50 {
				t.Errorf("budget %d", q.Budget)
			}
			return []mesh.Hit{{Title: "b", Score: 0.5}, {Title: "a", Score: 0.9}, {Title: "too many", Score: 1}}, nil
		},
		Now: func() time.Time { return noon },
	}
	res, err := a.Search(t.Context(), 1, mesh.Query{Text: "x", Limit: 2}, 50*time.Millisecond, nil)
	if err != nil || res.Answered != 1 || res.Asked != 4 || len(res.Reports) != 8 || len(res.Found) != 2 || res.Found[0].Title != "a" || res.Found[0].Instance != "good" {
		t.Fatalf("%+v, %v", res, err)
	}
	for _, r := range res.Reports {
		want := map[string]string{
			"us": "the index is being built", "good": "", "slow": "no answer within 50ms", "bad": "cannot be believed", "gone": "offline, last heard 2026-01-02T12:00:00Z",
			"never": "never heard", "old": "does not answer searches", "plain": "not signed",
		}[r.Instance]
		if !strings.Contains(r.Reason, want) || (r.Reason == "") != (want == "") {
			t.Errorf("%s: %q, want %q", r.Instance, r.Reason, want)
		}
	}
	a.Ask = nil
	res, err = a.Search(t.Context(), 1, mesh.Query{Text: "x", Limit: 2}, time.Second, []string{"good"})
	if err != nil || len(res.Reports) != 1 || !strings.Contains(res.Reports[0].Reason, "federation.search") {
		t.Errorf("%+v, %v", res, err)
	}
	res, err = a.Search(t.Context(), 1, mesh.Query{Text: "x", Limit: 2}, time.Second, []string{"stranger", "goood", "goood", "good"})
	reasons := map[string]string{}
	for _, r := range res.Reports {
		reasons[r.Instance] = r.Reason
	}
	if err != nil || res.Asked != 0 || len(res.Reports) != 3 || reasons["goood"] != "there is no such instance" || reasons["stranger"] != "it is not admitted" {
		t.Errorf("those who are named and cannot be asked: %+v, %v", res, err)
	}
	refusal := errs.New(errs.Invalid, "no such thing")
	a.Local = func(context.Context, tenant.Project, mesh.Query) ([]mesh.Hit, error) { return nil, refusal }
	if _, err := a.Search(t.Context(), 1, mesh.Query{Text: "x", Limit: 2}, time.Second, nil); !errors.Is(err, refusal) {
		t.Errorf("a refusal of ours: %v", err)
	}
}

type shares map[string][]share.Share

func (s shares) With(_ context.Context, instance string) ([]share.Share, error) {
	return s[instance], nil
}

func TestAQuestionIsAnsweredFromWhatIsSharedAlone(t *testing.T) {
	t.Parallel()
	a := &mesh.Answerer{
		Catalog: list{entry("us", nil), entry("north", nil)}, Shares: shares{"north": {{Project: 7, Name: "Seven"}, {Project: 9, Name: "Nine"}}}, Now: func() time.Time { return noon },
		Local: func(_ context.Context, p tenant.Project, _ mesh.Query) ([]mesh.Hit, error) {
			return []mesh.Hit{{Title: "low", Score: float64(p) / 100}, {Title: "high", Score: float64(p) / 10}}, nil
		},
	}
	hits, err := a.Answer(t.Context(), "north", mesh.Query{Text: "x", Limit: 3})
	if err != nil || len(hits) != 3 || hits[0].Project != "Nine" || hits[1].Project != "Seven" || hits[2].Project != "Nine" {
		t.Errorf("%+v, %v", hits, err)
	}
	if _, err := a.Answer(t.Context(), "south", mesh.Query{Text: "x"}); !errors.Is(err, mesh.ErrShares) {
		t.Errorf("nothing is shared: %v", err)
	}
	for _, q := range []mesh.Query{{}, {Text: strings.Repeat("x", 5000)}, {Text: "x", Category: strings.Repeat("x", 200)}} {
		if _, err := a.Answer(t.Context(), "north", q); !errors.Is(err, mesh.ErrRefused) {
			t.Errorf("a question beyond the bounds: %v", err)
		}
	}
}

func TestWhoAsksHasToBeKnownByTheKeyAndAsksOnce(t *testing.T) {
	t.Parallel()
	a := &mesh.Answerer{
		Catalog: list{entry("us", nil), entry("north", nil), entry("stranger", func(i *instance.Instance) { i.Admitted = false }), entry("plain", func(i *instance.Instance) { i.Key = "" })},
		Now:     func() time.Time { return noon },
	}
	for name, c := range map[string]struct {
		from, key string
		at        time.Time
	}{
		"unknown": {"nobody", "Unobody", noon}, "not admitted": {"stranger", "Ustranger", noon}, "ourselves": {"us", "Uus", noon}, "another key": {"north", "Usouth", noon},
		"no key": {"plain", "", noon}, "late": {"north", "Unorth", noon.Add(-6 * time.Minute)}, "early": {"north", "Unorth", noon.Add(6 * time.Minute)},
	} {
		if _, err := a.Admit(t.Context(), c.from, c.key, name, c.at); !errors.Is(err, mesh.ErrRefused) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if i, err := a.Admit(t.Context(), "north", "Unorth", "1", noon); err != nil || i.Slug != "north" {
		t.Errorf("%+v, %v", i, err)
	}
	if _, err := a.Admit(t.Context(), "north", "Unorth", "1", noon); !errors.Is(err, mesh.ErrRefused) {
		t.Errorf("again: %v", err)
	}
	if _, err := a.Admit(t.Context(), "north", "Unorth", "2", noon); err != nil {
		t.Errorf("another: %v", err)
	}
}

func TestScoresOfAnotherInstanceDoNotPushOutOurs(t *testing.T) {
	t.Parallel()
	a := &mesh.Asker{
		Catalog: list{entry("us", nil), entry("loud", nil), entry("good", nil)}, Now: func() time.Time { return noon },
		Local: func(context.Context, tenant.Project, mesh.Query) ([]mesh.Hit, error) {
			return []mesh.Hit{{Title: "ours", Score: 0.03}, {Title: "ours too", Score: 0.02}}, nil
		},
		Ask: func(_ context.Context, to instance.Instance, q mesh.Query) ([]mesh.Hit, error) {
			if to.Slug == "good" {
				return []mesh.Hit{{Title: "theirs", Score: 0.5}}, nil
			}
			hits := []mesh.Hit{{Title: "no number", Score: math.NaN()}, {Title: "endless", Score: math.Inf(1)}, {Title: "long", Content: strings.Repeat("x", 1<<20)}}
			for len(hits) < q.Limit {
				hits = append(hits, mesh.Hit{Title: "loud", Score: 1e308})
			}
			return hits, nil
		},
	}
	res, err := a.Search(t.Context(), 1, mesh.Query{Text: "x", Limit: 6}, time.Minute, nil)
	if err != nil {
		t.Fatal(err)
	}
	got := make([]string, 0, len(res.Found))
	for _, f := range res.Found {
		got = append(got, f.Title)
	}
	if want := "ours theirs loud ours too loud loud"; strings.Join(got, " ") != want {
		t.Errorf("found %s, want %s", strings.Join(got, " "), want)
	}
}

func TestOneThatAsksWithoutEndSilencesItselfAlone(t *testing.T) {
	t.Parallel()
	a := &mesh.Answerer{Catalog: list{entry("us", nil), entry("loud", nil), entry("north", nil)}, Now: func() time.Time { return noon }}
	busy := false
	for n := 0; n < 30_000 && !busy; n++ {
		_, err := a.Admit(t.Context(), "loud", "Uloud", strconv.Itoa(n), noon)
		if busy = errors.Is(err, mesh.ErrBusy); err != nil && !busy {
			t.Fatal(err)
		}
	}
	if !busy {
		t.Error("there is no bound")
	}
	if _, err := a.Admit(t.Context(), "north", "Unorth", "1", noon); err != nil {
		t.Errorf("another one: %v", err)
	}
}
