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
