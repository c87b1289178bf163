package terms_test

import (
	"slices"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"github.com/commandcenter/commandcenter/services/knowledge/internal/index/terms"
)

func TestTextBecomesTerms(t *testing.T) {
	t.Parallel()
	var a terms.Analyzer
	for _, c := range []struct{ text, want string }{
		{"The running Foxes, jumped!", "run fox jump"},
		{"Python, python.", "python python"},
		{"the who and a", ""},
		{"user's don't", "user don"},
		{"parseConfig", "pars config parseconfig"},
		{"HTTPServer2Go", "http server 2 go httpserver2go"},
		{"snake_case_name __init__", "snake case name snake_case_name init"},
		{"pkg/bus.NewServer", "pkg bus new server newserver pkg/bus.newserver"},
		{"std::vector<int>", "std vector std::vector int"},
		{"boundary-layer", "boundari layer boundary-layer"},
		{"C++ and C# or F#.", "c++ c c# c f# f"},
		{"Zürich naïve Café", "zurich naiv cafe"},
		{"$PATH & <T>", "path t"},
		{"日本語 x", "日本 本語 x"},
		{"字", "字"},
		{"utf8 1.5 2024", "utf 8 utf8 1 5 1.5 2024"},
		{"README CONSTANT_NAME", "readm constant name constant_name"},
		{"Ελλάδα", "ελλάδα"},
		{"é", "e"},
		{"", ""}, {"...---", ""},
		{strings.Repeat("a", 200), ""},
	} {
		if got := strings.Join(a.Analyze(c.text).Terms, " "); got != c.want {
			t.Errorf("Analyze(%q) = %q, want %q", c.text, got, c.want)
		}
	}
}

func TestLengthCountsPartsOnce(t *testing.T) {
	t.Parallel()
	var a terms.Analyzer
	if got := a.Analyze("parseConfig of pkg/bus").Length; got != 4 {
		t.Errorf("length %d, want 4", got)
	}
}

func TestAnalyzerIsSafeForConcurrentUse(t *testing.T) {
	t.Parallel()
	var a terms.Analyzer
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 200 {
				if got := a.Analyze("running foxes").Terms; !slices.Equal(got, []string{"run", "fox"}) {
					t.Error(got)
				}
			}
		})
	}
	wg.Wait()
}

func FuzzAnalyze(f *testing.F) {
	for _, s := range []string{"a.b", "aB_c9", "日本x", "ñ'’s", "\xff", "C++", "::"} {
		f.Add(s)
	}
	var a terms.Analyzer
	f.Fuzz(func(t *testing.T, s string) {
		got := a.Analyze(s)
		if got.Length > len(got.Terms) {
			t.Fatalf("length %d of %d terms", got.Length, len(got.Terms))
		}
		for _, w := range got.Terms {
			if w == "" || len(w) > 4*terms.MaxTerm || (utf8.ValidString(s) && !utf8.ValidString(w)) {
				t.Fatalf("term %q of %q", w, s)
			}
		}
		if again := a.Analyze(s); !slices.Equal(again.Terms, got.Terms) {
			t.Fatal("not repeatable")
		}
	})
}

func BenchmarkAnalyze(b *testing.B) {
	var a terms.Analyzer
	text := strings.Repeat("The quick brown foxes were jumping over parseConfig in pkg/bus.NewServer while lazily running. ", 10)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		a.Analyze(text)
	}
}

func TestSpansAreWhereTheTermsAre(t *testing.T) {
	t.Parallel()
	var a terms.Analyzer
	for _, c := range []struct{ text, query, want string }{
		{"Die Größe: retries, retried ÄÖ retry.", "retry", "retries|retried|retry"},
		{"call pkg/conf.ParseConfig now", "config", "Config"},
		{"call pkg/conf.ParseConfig now", "ParseConfig", "ParseConfig"},
		{"I like C++ and C#", "C++", "C++|C"},
		{"don't stop_words here", "words", "words"},
		{"日本語 検索", "本語", "本語"},
		{"日本語 検索", "日本語", "日本語"},
		{"the of", "the", ""},
	} {
		want := map[string]bool{}
		for _, t := range a.Analyze(c.query).Terms {
			want[t] = true
		}
		var got []string
		for _, s := range a.In(terms.English).Spans(c.text, func(t string) bool { return want[t] }, 10) {
			got = append(got, string([]rune(c.text)[s.Start:s.End]))
		}
		if g := strings.Join(got, "|"); g != c.want {
			t.Errorf("%q in %q is %q, want %q", c.query, c.text, g, c.want)
		}
	}
	if got := a.In(terms.English).Spans(strings.Repeat("word ", 50), func(string) bool { return true }, 7); len(got) != 7 {
		t.Errorf("%d spans, want 7", len(got))
	}
}

func TestStopWordsHaveNumbersAndPlaces(t *testing.T) {
	t.Parallel()
	var a terms.Analyzer
	got := a.Analyze("to be or not to be exactly once")
	if len(got.Terms) != 1 || len(got.Stops) != 7 || got.Stops[0].Number != got.Stops[4].Number || got.Stops[5].At != 0 || got.Stops[6].At != 1 {
		t.Errorf("%+v", got)
	}
	for _, s := range got.Stops {
		if s.Number >= terms.NumStops {
			t.Errorf("number %d", s.Number)
		}
	}
}
