package index_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/commandcenter/commandcenter/pkg/tenant"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/index"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/index/terms"
)

func spoken(codes string) []terms.Language { return index.Settings{Languages: codes}.Spoken() }

const (
	german  = "Die Häuser der kleinen Stadt stehen an der alten Straße und werden von den Menschen seit vielen Jahren bewohnt."
	english = "The houses of the small town stand on the old road, and people have been living in them for many years."
	french  = "Les maisons de la petite ville se trouvent sur la vieille route et sont habitées depuis de nombreuses années."
)

// village is an index of a text in each of three languages.
func village(t *testing.T) *index.Index {
	t.Helper()
	x := index.New(index.Config{Languages: spoken("en,de,fr")}, &terms.Analyzer{})
	err := x.Put([]index.Passage{
		{ID: 1, Document: 1, Body: english}, {ID: 2, Document: 2, Body: german}, {ID: 3, Document: 3, Body: french, Title: "Recherches"},
	})
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func TestWordsAreFoundByTheFormsOfTheirLanguage(t *testing.T) {
	t.Parallel()
	x := village(t)
	for query, want := range map[string][]int64{
		"house": {1}, "haus": {2}, "Häusern": {2}, "maison": {3}, "habitée": {3}, "lived": {1}, "title:recherche": {3}, "+jahre -house": {2},
		`"der alten Straße"`: {2}, `"on the old road"`: {1}, `"die old"`: nil, "bewohn*": {2}, "rutes~1": {3}, "+was": nil,
		"house maison": {1, 3}, "lang:de": nil,
	} {
		got := find(t, x, index.Request{Text: query, Mode: index.Keyword})
		if slices.Sort(got); !slices.Equal(got, want) {
			t.Errorf("%q finds %v, want %v", query, got, want)
		}
	}
	res, err := x.Search(index.Request{Text: "haus", Mode: index.Keyword, Limit: 5, Explain: true})
	if err != nil || len(res.Hits) != 1 || res.Hits[0].TextLanguage.String() != "de" || fmt.Sprint(res.Languages) != "[en de fr]" || len(res.Hits[0].Account.Terms) != 1 {
		t.Errorf("%+v, %v", res, err)
	}
	// What nothing is written in any more, nothing is asked in.
	x.Keep(2, nil)
	x.Keep(3, nil)
	if res, err = x.Search(index.Request{Text: "running haus", Mode: index.Keyword, Limit: 5}); err != nil || fmt.Sprint(res.Languages) != "[en]" || fmt.Sprint(res.Terms) != "[run haus]" {
		t.Errorf("%+v, %v", res, err)
	}
}

func TestAnImageKeepsTheLanguages(t *testing.T) {
	t.Parallel()
	x := village(t)
	x.Keep(1, nil)
	var b bytes.Buffer
	if err := x.Save(&b, 1, func() error { return nil }); err != nil {
		t.Fatal(err)
	}
	size := int64(b.Len())
	again, err := index.Load(bytes.NewReader(b.Bytes()), size, 1, index.Config{Languages: spoken("en,de,fr")}, &terms.Analyzer{})
	if err != nil {
		t.Fatal(err)
	}
	res, err := again.Search(index.Request{Text: "haus", Mode: index.Keyword, Limit: 5})
	if err != nil || len(res.Hits) != 1 || res.Hits[0].TextLanguage.String() != "de" || fmt.Sprint(res.Languages) != "[de fr]" {
		t.Errorf("%+v, %v", res, err)
	}
	if _, err := index.Load(bytes.NewReader(b.Bytes()), size, 1, index.Config{}, &terms.Analyzer{}); !errors.Is(err, index.ErrForeign) {
		t.Errorf("for other languages: %v", err)
	}
}

func TestADeclaredLanguageIsTakenAndMayChange(t *testing.T) {
	t.Parallel()
	x := index.New(index.Config{}, &terms.Analyzer{})
	p := index.Passage{ID: 1, Document: 1, Body: german, TextLanguage: "de"}
	put := func() {
		t.Helper()
		if err := x.Put([]index.Passage{p}); err != nil {
			t.Fatal(err)
		}
	}
	put()
	if got := find(t, x, index.Request{Text: "haus", Mode: index.Keyword}); !slices.Equal(got, []int64{1}) {
		t.Errorf("found %v", got)
	}
	put()
	p.TextLanguage = "en"
	put()
	if got := find(t, x, index.Request{Text: "haus", Mode: index.Keyword}); len(got) != 0 {
		t.Errorf("as English, found %v", got)
	}
	if n, _ := x.Len(); n != 1 {
		t.Errorf("%d passages", n)
	}
	x.Keep(1, map[int64]bool{1: true})
	if got := find(t, x, index.Request{Text: "häuser", Mode: index.Keyword}); !slices.Equal(got, []int64{1}) {
		t.Errorf("found %v", got)
	}
}

func TestAnIndexIsMadeAnewForOtherLanguagesWhileItAnswers(t *testing.T) {
	t.Parallel()
	s := &table{}
	l := index.NewLibrary(s, index.Config{}, 1<<20)
	t.Cleanup(l.Close)
	renewed := make(chan error, 10)
	l.Renewed = func(_ tenant.Project, _ time.Duration, err error) { renewed <- err }
	long := make([]index.Passage, 300) // more than one batch: the first tells the language of all
	for i := range long {
		long[i] = index.Passage{ID: int64(100 + i), Document: 10, Body: "Haus 17"}
	}
	long[0].Body = strings.Repeat(german, 3)
	s.set(10, long...)
	at := func(want int64) *index.Index {
		t.Helper()
		x, err := l.At(t.Context(), 1, want)
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
	total := func(x *index.Index) int {
		t.Helper()
		res, err := x.Search(index.Request{Text: "Häuser", Mode: index.Keyword, Limit: 1})
		if err != nil {
			t.Fatal(err)
		}
		return res.Total
	}
	if n := total(at(1)); n != 1 {
		t.Errorf("in English %d passages match", n)
	}
	s.mu.Lock()
	s.settings, s.at = index.Settings{Languages: "en,de", Mode: index.Keyword}, s.at+1
	s.mu.Unlock()
	x := at(2)
	if x.State().Settings.Mode != index.Keyword || fmt.Sprint(x.Languages()) != "[en]" {
		t.Errorf("%+v, %v", x.State(), x.Languages())
	}
	if err := <-renewed; err != nil {
		t.Fatal(err)
	}
	if x = at(2); total(x) != 300 || fmt.Sprint(x.Languages()) != "[en de]" {
		t.Errorf("%d passages match, %v", total(x), x.Languages())
	}
	// One that fails is tried again later, and the one that is there answers.
	s.mu.Lock()
	s.settings, s.at = index.Settings{}, s.at+1
	s.mu.Unlock()
	at(3)
	if err := <-renewed; err != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	s.settings, s.at, s.fail = index.Settings{Languages: "de"}, s.at+1, nil
	s.mu.Unlock()
	x = at(4)
	if err := <-renewed; err != nil || total(x) != 1 {
		t.Errorf("%v, %d", err, total(x))
	}
}

func TestARenewalThatFailsLeavesTheIndexAsItIs(t *testing.T) {
	t.Parallel()
	s := &refuses{table: &table{}}
	l := index.NewLibrary(s, index.Config{}, 1<<20)
	t.Cleanup(l.Close)
	renewed := make(chan error, 10)
	l.Renewed = func(_ tenant.Project, _ time.Duration, err error) { renewed <- err }
	s.set(10, index.Passage{ID: 1, Document: 10, Body: english})
	if _, err := l.At(t.Context(), 1, 1); err != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	s.settings, s.at, s.err = index.Settings{Languages: "de"}, s.at+1, errors.New("no database")
	s.mu.Unlock()
	if _, err := l.At(t.Context(), 1, 2); err != nil {
		t.Fatal(err)
	}
	if err := <-renewed; !errors.Is(err, s.err) {
		t.Errorf("%v", err)
	}
	x, err := l.At(t.Context(), 1, 2)
	if err != nil || len(find(t, x, index.Request{Text: "house", Mode: index.Keyword})) != 1 {
		t.Errorf("%v", err)
	}
}

// refuses to tell the settings.
type refuses struct {
	*table
	err error
}

func (r *refuses) Settings(ctx context.Context, p tenant.Project) (index.Settings, error) {
	if r.err != nil {
		return index.Settings{}, r.err
	}
	return r.table.Settings(ctx, p)
}
