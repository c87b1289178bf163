package postgres_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/pg/pgtest"
	"github.com/commandcenter/commandcenter/pkg/tenant"

	"github.com/commandcenter/commandcenter/services/research"
	"github.com/commandcenter/commandcenter/services/research/internal/postgres"
	"github.com/commandcenter/commandcenter/services/research/internal/technology"
)

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

func ptr[T any](v T) *T { return &v }

func book(t *testing.T, at *time.Time) technology.Book {
	t.Helper()
	return technology.Book{Keeper: postgres.New(pgtest.New(t, research.Migrations)), Now: func() time.Time { return *at }}
}

func add(t *testing.T, b technology.Book, p tenant.Project, title string, edit func(*technology.Draft)) technology.Technology {
	t.Helper()
	d := technology.New()
	d.Title = title
	if edit != nil {
		edit(&d)
	}
	x, err := b.Add(t.Context(), p, d, "user:1")
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func TestWhatIsSaidOfATechnologyIsKept(t *testing.T) {
	t.Parallel()
	b := book(t, &noon)
	other := add(t, b, 1, "Other", nil)
	x := add(t, b, 1, "pgvector", func(d *technology.Draft) {
		*d = technology.Draft{
			Title: d.Title, Vendor: ptr("v"), Domain: "ai-ml", Status: "evaluation", Ring: ptr(technology.Ring("hold")), Quadrant: ptr(technology.Quadrant("tools")), Relevance: 90, Priority: 5,
			Description: ptr("d"), Notes: ptr("n"), UseCases: ptr("u"), DocumentationURL: ptr("https://a.b/c"), RepositoryURL: ptr("https://a.b/d"), WebsiteURL: ptr("http://a.b"), Tags: ptr("a, b"),
			LatencyMS: ptr(1.5), ThroughputQPS: ptr(int64(1 << 40)), Difficulty: ptr("easy"), IntegrationDays: ptr(3), Maturity: ptr("stable"), Stability: ptr(80), CostTier: ptr("free"), CostMonthlyUSD: ptr(0.5),
			Dependencies: technology.Dependencies{"1": "needs"}, Alternatives: ptr("1"), LastHNMention: ptr(noon), HNScoreAvg: ptr(7), GitHubStars: ptr(int64(9)), GitHubLastCommit: ptr(noon),
		}
	})
	got, err := b.Get(t.Context(), 1, x.ID)
	if err != nil || !got.Same(x.Draft) || got.ID != 2 || got.Version != 1 || got.CreatedBy != "user:1" || !got.CreatedAt.Equal(noon) || got.Dependencies["1"] != "needs" {
		t.Errorf("%+v, %v", got, err)
	}
	if n, tasks, err := b.Keeper.(*postgres.Store).Count(t.Context(), 1); err != nil || n != 2 || tasks != 0 || other.ID != 1 {
		t.Errorf("%d, %v", n, err)
	}
}

func TestAProjectSeesItsOwnTechnologiesAndNobodyElses(t *testing.T) {
	t.Parallel()
	b := book(t, &noon)
	add(t, b, 1, "Go", nil)
	x := add(t, b, 1, "Rust", nil)
	add(t, b, 2, "go", nil)
	_, err := b.Change(t.Context(), 2, x.ID, 0, "user:2", func(d *technology.Draft) error { d.Priority = 1; return nil })
	for what, err := range map[string]error{
		"get": second(b.Get(t.Context(), 2, x.ID)), "moves": second(b.Moves(t.Context(), 2, x.ID)), "change": err, "delete": b.Delete(t.Context(), 2, x.ID),
	} {
		if !errors.Is(err, technology.ErrNotFound) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, total, err := b.List(t.Context(), 2, technology.Filter{Search: "rust", Limit: 10}); err != nil || total != 0 {
		t.Errorf("%d, %v", total, err)
	}
	d := technology.New()
	d.Title, d.Alternatives = "Zig", ptr("2")
	if _, err := b.Add(t.Context(), 2, d, "user:2"); errs.KindOf(err) != errs.Invalid {
		t.Errorf("names what another project has: %v", err)
	}
}

func second[T any](_ T, err error) error { return err }

func TestATitleIsThereOnceWhateverItsCase(t *testing.T) {
	t.Parallel()
	b := book(t, &noon)
	x := add(t, b, 1, "Go", nil)
	d := technology.New()
	d.Title = "gO"
	if _, err := b.Add(t.Context(), 1, d, "user:1"); !errors.Is(err, technology.ErrExists) {
		t.Errorf("twice: %v", err)
	}
	add(t, b, 1, "Rust", nil)
	if _, err := b.Change(t.Context(), 1, x.ID, 0, "user:1", func(d *technology.Draft) error { d.Title = "RUST"; return nil }); !errors.Is(err, technology.ErrExists) {
		t.Errorf("renamed: %v", err)
	}
	if err := b.Delete(t.Context(), 1, x.ID); err != nil {
		t.Fatal(err)
	}
	if again := add(t, b, 1, "GO", nil); again.ID <= x.ID {
		t.Errorf("number %d was given before", again.ID)
	}
}

func TestEveryMoveIsKeptAndNothingElseIsOne(t *testing.T) {
	t.Parallel()
	at := noon
	b := book(t, &at)
	x := add(t, b, 1, "Go", nil)
	change := func(edit func(*technology.Draft)) {
		t.Helper()
		at = at.Add(time.Hour)
		var err error
		if x, err = b.Change(t.Context(), 1, x.ID, x.Version, "user:2", func(d *technology.Draft) error { edit(d); return nil }); err != nil {
			t.Fatal(err)
		}
	}
	change(func(d *technology.Draft) { d.Notes = ptr("fine") })
	change(func(d *technology.Draft) { d.Status = "research" }) // the same ring
	change(func(d *technology.Draft) { d.Ring = ptr(technology.Ring("adopt")) })
	change(func(d *technology.Draft) { d.Ring = nil; d.Status = "integrated" }) // the same ring again
	before := x.Version
	change(func(d *technology.Draft) { d.Notes = ptr(" fine ") }) // nothing
	if x.Version != before {
		t.Errorf("version %d after no change, was %d", x.Version, before)
	}
	moves, err := b.Moves(t.Context(), 1, x.ID)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, m := range moves {
		from, ring := technology.Status(""), technology.Ring("")
		if m.FromStatus != nil {
			from, ring = *m.FromStatus, *m.FromRing
		}
		got = append(got, fmt.Sprintf("%d %s/%s %s/%s %s", m.Version, from, ring, m.ToStatus, m.ToRing, m.By))
	}
	want := []string{
		"5 research/adopt integrated/adopt user:2", "4 research/assess research/adopt user:2", "3 discovery/assess research/assess user:2", "1 / discovery/assess user:1",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s", strings.Join(got, "\n"))
	}
	_, then, err := b.Standing(t.Context(), 1, noon.Add(2*time.Hour+time.Minute))
	if err != nil || then[x.ID] != "assess" {
		t.Errorf("%v, %v", then, err)
	}
	if _, then, err := b.Standing(t.Context(), 1, noon.Add(-time.Hour)); err != nil || len(then) != 0 {
		t.Errorf("before it was added: %v, %v", then, err)
	}
}

func TestWhoHasReadAnotherVersionChangesNothing(t *testing.T) {
	t.Parallel()
	b := book(t, &noon)
	x := add(t, b, 1, "Go", nil)
	raise := func(d *technology.Draft) error { d.Relevance++; return nil }
	if _, err := b.Change(t.Context(), 1, x.ID, 1, "user:1", raise); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Change(t.Context(), 1, x.ID, 1, "user:1", raise); !errors.Is(err, technology.ErrMoved) {
		t.Errorf("%v", err)
	}
	// Without a version all take effect, one after another.
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if _, err := b.Change(t.Context(), 1, x.ID, 0, "user:1", raise); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if got, err := b.Get(t.Context(), 1, x.ID); err != nil || got.Relevance != 59 || got.Version != 10 {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestWhatWasSaidIsSaidAnew(t *testing.T) {
	t.Parallel()
	b := book(t, &noon)
	x := add(t, b, 1, "Go", func(d *technology.Draft) {
		d.Vendor, d.Ring, d.Stability, d.Dependencies = ptr("a"), ptr(technology.Ring("adopt")), ptr(1), nil
	})
	// As a body is written over what is there: through the pointers.
	changed, err := b.Change(t.Context(), 1, x.ID, 1, "user:1", func(d *technology.Draft) error {
		*d.Vendor, *d.Ring, *d.Stability = "b", "hold", 2
		return nil
	})
	if err != nil || changed.Version != 2 {
		t.Fatalf("%+v, %v", changed, err)
	}
	got, err := b.Get(t.Context(), 1, x.ID)
	if err != nil || *got.Vendor != "b" || *got.Ring != "hold" || *got.Stability != 2 || got.Version != 2 {
		t.Errorf("%+v, %v", got, err)
	}
	moves, err := b.Moves(t.Context(), 1, x.ID)
	if err != nil || len(moves) != 2 || *moves[0].FromRing != "adopt" || moves[0].ToRing != "hold" {
		t.Errorf("%+v, %v", moves, err)
	}
}

func TestWhoNamesWhatIsGoneIsChangedAllTheSame(t *testing.T) {
	t.Parallel()
	b := book(t, &noon)
	gone := add(t, b, 1, "Gone", nil)
	x := add(t, b, 1, "Go", func(d *technology.Draft) { d.Alternatives = ptr(fmt.Sprint(gone.ID)) })
	if err := b.Delete(t.Context(), 1, gone.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Change(t.Context(), 1, x.ID, 0, "user:1", func(d *technology.Draft) error { d.Priority = 5; return nil }); err != nil {
		t.Error(err)
	}
	_, err := b.Change(t.Context(), 1, x.ID, 0, "user:1", func(d *technology.Draft) error {
		d.Dependencies = technology.Dependencies{"9": "needs"}
		return nil
	})
	if errs.KindOf(err) != errs.Invalid || errs.As(err).Fields[0].Loc[1] != "dependencies" {
		t.Errorf("named anew: %v", err)
	}
}

func TestAListIsFilteredOrderedAndCounted(t *testing.T) {
	t.Parallel()
	at := noon
	b := book(t, &at)
	for i, x := range []struct {
		title              string
		priority, relevant int
		edit               func(*technology.Draft)
	}{
		{"Low", 1, 90, nil}, {"High", 5, 10, nil}, {"Higher", 5, 20, func(d *technology.Draft) { d.Status = "integrated" }},
		{"100% pure", 3, 50, func(d *technology.Draft) { d.Tags = ptr("snake_case, Größe") }}, {"1000 pure", 3, 50, func(d *technology.Draft) { d.Domain = "ai-ml"; d.Ring = ptr(technology.Ring("adopt")) }},
		{"Plain", 3, 40, func(d *technology.Draft) { d.Description = ptr("snakeXcase") }},
	} {
		at = noon.Add(time.Duration(i) * time.Second)
		add(t, b, 1, x.title, func(d *technology.Draft) {
			d.Priority, d.Relevance = x.priority, x.relevant
			if x.edit != nil {
				x.edit(d)
			}
		})
	}
	for name, c := range map[string]struct {
		f     technology.Filter
		want  []string
		total int
	}{
		"all":             {technology.Filter{Limit: 10}, []string{"Higher", "High", "1000 pure", "100% pure", "Plain", "Low"}, 6},
		"a page":          {technology.Filter{Skip: 1, Limit: 2}, []string{"High", "1000 pure"}, 6},
		"beyond":          {technology.Filter{Skip: 6, Limit: 2}, nil, 6},
		"status":          {technology.Filter{Status: "integrated", Limit: 10}, []string{"Higher"}, 1},
		"domain":          {technology.Filter{Domain: "ai-ml", Limit: 10}, []string{"1000 pure"}, 1},
		"ring":            {technology.Filter{Ring: "adopt", Limit: 10}, []string{"Higher", "1000 pure"}, 2},
		"a percent sign":  {technology.Filter{Search: "100%", Limit: 10}, []string{"100% pure"}, 1},
		"an underscore":   {technology.Filter{Search: "snake_CASE", Limit: 10}, []string{"100% pure"}, 1},
		"another letter":  {technology.Filter{Search: "GRÖSSE", Limit: 10}, nil, 0},
		"other case":      {technology.Filter{Search: "größe", Limit: 10}, []string{"100% pure"}, 1},
		"in description":  {technology.Filter{Search: "snakeX", Limit: 10}, []string{"Plain"}, 1},
		"a backslash":     {technology.Filter{Search: `\`, Limit: 10}, nil, 0},
		"several filters": {technology.Filter{Search: "pure", Domain: "ai-ml", Limit: 10}, []string{"1000 pure"}, 1},
	} {
		page, total, err := b.List(t.Context(), 1, c.f)
		var got []string
		for _, x := range page {
			got = append(got, x.Title)
		}
		if err != nil || total != c.total || !slices.Equal(got, c.want) {
			t.Errorf("%s: %v of %d, %v", name, got, total, err)
		}
	}
}

func TestAnArchiveKeepsItsIDsAndWhatComesHasOthers(t *testing.T) {
	t.Parallel()
	b := book(t, &noon)
	s := b.Keeper.(*postgres.Store)
	d := technology.New()
	d.Title = "Old"
	x := technology.Technology{ID: 2, Draft: d, Version: 3, CreatedBy: "user:1", CreatedAt: noon, UpdatedAt: noon}
	for _, id := range []int64{2, 3, 40} {
		x.ID, x.Title = id, fmt.Sprint("Old ", id)
		if err := s.Restore(t.Context(), 1, x); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Restore(t.Context(), 1, x); errs.KindOf(err) != errs.Conflict {
		t.Errorf("twice: %v", err)
	}
	m := technology.Move{TechnologyID: 40, Version: 1, ToStatus: "discovery", ToRing: "assess", By: "user:1", At: noon}
	if err := s.RestoreMove(t.Context(), 1, m); err != nil {
		t.Fatal(err)
	}
	if err := s.RestoreMove(t.Context(), 1, m); errs.KindOf(err) != errs.Conflict {
		t.Errorf("a move twice: %v", err)
	}
	if m.Version = 4; errs.KindOf(s.RestoreMove(t.Context(), 1, m)) != errs.Invalid {
		t.Error("a move of a version that is not")
	}
	if moves, err := b.Moves(t.Context(), 1, 2); err != nil || len(moves) != 0 {
		t.Errorf("without moves: %v, %v", moves, err)
	}
	m.TechnologyID, m.Version = 41, 1
	if err := s.RestoreMove(t.Context(), 1, m); !errors.Is(err, technology.ErrNotFound) {
		t.Errorf("a move of nothing: %v", err)
	}
	if got, err := b.Get(t.Context(), 1, 40); err != nil || got.Version != 3 {
		t.Errorf("%+v, %v", got, err)
	}
	for _, want := range []int64{1, 4, 5} {
		if y := add(t, b, 1, fmt.Sprint("New ", want), nil); y.ID != want {
			t.Errorf("the next has id %d, want %d", y.ID, want)
		}
	}
}
