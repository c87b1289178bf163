package technology_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/commandcenter/commandcenter/pkg/errs"

	"github.com/commandcenter/commandcenter/services/research/internal/technology"
)

func ptr[T any](v T) *T { return &v }

func TestEmptyTextsAreNoneAndListsHaveOneForm(t *testing.T) {
	t.Parallel()
	d := technology.New()
	d.Title, d.Vendor, d.Notes, d.Tags, d.Alternatives, d.Difficulty = "  Go ", ptr(" "), ptr(""), ptr("a, A ,b,,"), ptr(""), ptr("")
	d.Ring, d.Quadrant, d.Dependencies = ptr(technology.Ring("")), ptr(technology.Quadrant("")), technology.Dependencies{}
	if err := d.Normalise(); err != nil {
		t.Fatal(err)
	}
	if d.Title != "Go" || d.Vendor != nil || d.Notes != nil || *d.Tags != "a, b" || d.Alternatives != nil || d.Difficulty != nil || d.Ring != nil || d.Quadrant != nil || d.Dependencies != nil {
		t.Errorf("%+v", d)
	}
}

func TestEachFieldThatCannotBeIsNamed(t *testing.T) {
	t.Parallel()
	for field, spoil := range map[string]func(*technology.Draft){
		"title":                          func(d *technology.Draft) { d.Title = " " },
		"domain":                         func(d *technology.Draft) { d.Domain = "cooking" },
		"status":                         func(d *technology.Draft) { d.Status = "done" },
		"ring":                           func(d *technology.Draft) { d.Ring = ptr(technology.Ring("saturn")) },
		"quadrant":                       func(d *technology.Draft) { d.Quadrant = ptr(technology.Quadrant("fifth")) },
		"relevance_score":                func(d *technology.Draft) { d.Relevance = 101 },
		"priority":                       func(d *technology.Draft) { d.Priority = 0 },
		"description":                    func(d *technology.Draft) { d.Description = ptr(strings.Repeat("ü", 20_001)) },
		"notes":                          func(d *technology.Draft) { d.Notes = ptr("a\x00b") },
		"tags":                           func(d *technology.Draft) { d.Tags = ptr(strings.Repeat("x", 1001)) },
		"website_url":                    func(d *technology.Draft) { d.WebsiteURL = ptr("javascript:alert(1)") },
		"repository_url":                 func(d *technology.Draft) { d.RepositoryURL = ptr("https://") },
		"documentation_url":              func(d *technology.Draft) { d.DocumentationURL = ptr("https://x.y/" + strings.Repeat("x", 512)) },
		"integration_difficulty":         func(d *technology.Draft) { d.Difficulty = ptr("hard") },
		"maturity_level":                 func(d *technology.Draft) { d.Maturity = ptr("old") },
		"cost_tier":                      func(d *technology.Draft) { d.CostTier = ptr("cheap") },
		"stability_score":                func(d *technology.Draft) { d.Stability = ptr(-1) },
		"latency_ms":                     func(d *technology.Draft) { d.LatencyMS = ptr(-0.5) },
		"throughput_qps":                 func(d *technology.Draft) { d.ThroughputQPS = ptr(int64(-1)) },
		"integration_time_estimate_days": func(d *technology.Draft) { d.IntegrationDays = ptr(-1) },
		"alternatives":                   func(d *technology.Draft) { d.Alternatives = ptr("7, seven") },
		"dependencies":                   func(d *technology.Draft) { d.Dependencies = technology.Dependencies{"0": "needs"} },
	} {
		d := technology.New()
		d.Title = "Go"
		spoil(&d)
		err := d.Normalise()
		if errs.KindOf(err) != errs.Invalid || len(errs.As(err).Fields) != 1 || errs.As(err).Fields[0].Loc[1] != field {
			t.Errorf("%s: %v", field, err)
		}
	}
	d := technology.Draft{Title: "x", Priority: 9}
	err := d.Normalise()
	if n := len(errs.As(err).Fields); n != 3 {
		t.Errorf("%d fields at fault of domain, status and priority: %v", n, err)
	}
	d = technology.New()
	d.Title, d.Dependencies = "x", technology.Dependencies{}
	for i := range 201 {
		d.Dependencies[strings.Repeat("1", 1+i/9)+string(rune('1'+i%9))] = ""
	}
	if err := d.Normalise(); errs.KindOf(err) != errs.Invalid {
		t.Errorf("links without an end: %v", err)
	}
}

func TestWhatIsNamedIsListedOnce(t *testing.T) {
	t.Parallel()
	d := technology.Draft{Dependencies: technology.Dependencies{"12": "uses", "3": "extends"}, Alternatives: ptr("3, 5,12")}
	ids, err := d.Linked()
	if err != nil || !slices.Equal(ids, []int64{3, 5, 12}) {
		t.Errorf("%v, %v", ids, err)
	}
}

func TestEveryStatusAndDomainHasItsPlaceOnTheRadarUnlessItIsSaid(t *testing.T) {
	t.Parallel()
	for _, s := range technology.Statuses {
		if s.Ring().Distance() < 0 {
			t.Errorf("%s leads to ring %q", s, s.Ring())
		}
	}
	for _, d := range technology.Domains {
		if !slices.Contains(technology.Quadrants, d.Quadrant()) {
			t.Errorf("%s leads to quadrant %q", d, d.Quadrant())
		}
	}
	d := technology.Draft{Status: "integrated", Domain: "infrastructure"}
	if d.OnRing() != "adopt" || d.InQuadrant() != "platforms" {
		t.Errorf("%s, %s", d.OnRing(), d.InQuadrant())
	}
	d.Ring, d.Quadrant = ptr(technology.Ring("hold")), ptr(technology.Quadrant("tools"))
	if d.OnRing() != "hold" || d.InQuadrant() != "tools" {
		t.Errorf("said: %s, %s", d.OnRing(), d.InQuadrant())
	}
}

func TestAMoveOfAnArchiveIsOneThatCanHaveBeen(t *testing.T) {
	t.Parallel()
	good := technology.Move{TechnologyID: 1, Version: 1, ToStatus: "research", ToRing: "assess"}
	if err := good.Check(); err != nil {
		t.Error(err)
	}
	for name, m := range map[string]technology.Move{
		"no status": {TechnologyID: 1, Version: 1, ToRing: "assess"},
		"no ring":   {TechnologyID: 1, Version: 1, ToStatus: "research"},
		"no id":     {Version: 1, ToStatus: "research", ToRing: "assess"},
		"version":   {TechnologyID: 1, Version: -1, ToStatus: "research", ToRing: "assess"},
		"from":      {TechnologyID: 1, Version: 2, ToStatus: "research", ToRing: "assess", FromStatus: ptr(technology.Status("x")), FromRing: ptr(technology.Ring("x"))},
	} {
		if err := m.Check(); errs.KindOf(err) != errs.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTimesAreTheSameAsFarAsTheDatabaseKeepsThem(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 1, 2, 3, 4, 5, 678_901_234, time.FixedZone("x", 3600))
	a, b := technology.New(), technology.New()
	a.GitHubLastCommit, b.GitHubLastCommit = ptr(at), ptr(at.UTC().Truncate(time.Microsecond))
	if !a.Same(b) {
		t.Error("one time in two zones makes a change")
	}
	b.GitHubLastCommit = ptr(at.Add(time.Second))
	if a.Same(b) {
		t.Error("another time is none")
	}
}

func TestDependenciesAreReadFromTheDatabase(t *testing.T) {
	t.Parallel()
	var d technology.Dependencies
	if err := d.Scan([]byte(`{"3": "uses"}`)); err != nil || d["3"] != "uses" {
		t.Errorf("%v, %v", d, err)
	}
	if err := d.Scan(nil); err != nil || d != nil {
		t.Errorf("%v, %v", d, err)
	}
	if err := d.Scan(7); err == nil {
		t.Error("a number was read")
	}
}
