package chunk_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"unicode"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/chunk"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/extract"
)

// wordCount counts words and punctuation marks, like a tokenizer with every
// word in its vocabulary.
type wordCount struct{}

func (wordCount) Count(s string) int {
	n, in := 0, false
	for _, r := range s {
		switch {
		case unicode.IsSpace(r):
			in = false
		case unicode.IsLetter(r) || unicode.IsDigit(r):
			if !in {
				n++
			}
			in = true
		default:
			n++
			in = false
		}
	}
	return n
}

func read(t testing.TB, name, src string) *extract.Text {
	t.Helper()
	f, err := extract.Detect(name, "", []byte(src))
	if err != nil {
		t.Fatal(err)
	}
	x, err := extract.NewReader(extract.Config{}).Extract(t.Context(), f, name, []byte(src))
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func squeeze(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) {
			return -1
		}
		return r
	}, s)
}

// checkCover fails unless the chunks without their overlaps are the blocks.
func checkCover(t testing.TB, x *extract.Text, chunks []chunk.Chunk) {
	t.Helper()
	var want, got strings.Builder
	for _, b := range x.Blocks {
		want.WriteString(squeeze(b.Text))
	}
	for _, c := range chunks {
		if c.Overlap > len(c.Text) {
			t.Fatalf("%v: overlap %d of %d bytes", c, c.Overlap, len(c.Text))
		}
		got.WriteString(squeeze(c.Text[c.Overlap:]))
	}
	if want.String() != got.String() {
		t.Fatalf("text changed:\nwant %.600q\ngot  %.600q", want.String(), got.String())
	}
}

func checkSize(t testing.TB, x *extract.Text, chunks []chunk.Chunk, target int) {
	t.Helper()
	for i, c := range chunks {
		if c.Tokens > target+target/8 {
			t.Fatalf("chunk %d has %d tokens, target %d: %.200q", i, c.Tokens, target, c.Text)
		}
		if strings.TrimSpace(c.Text) == "" {
			t.Fatalf("chunk %d is blank", i)
		}
		_ = x
	}
}

func paragraph(words, seed int) string {
	r := rand.New(rand.NewPCG(uint64(seed), 1))
	var b strings.Builder
	for i := range words {
		fmt.Fprintf(&b, "w%d", r.IntN(900))
		if i%11 == 10 {
			b.WriteString(". ")
		} else {
			b.WriteByte(' ')
		}
	}
	return strings.TrimSpace(b.String()) + "."
}

func TestSmallSectionsAreJoinedAndLargeOnesKeptApart(t *testing.T) {
	t.Parallel()
	src := "# Guide\n\n## One\n\nshort\n\n## Two\n\nalso short\n\n## Three\n\n" + paragraph(100, 1) + "\n\n## Four\n\n" + paragraph(100, 2) + "\n"
	x := read(t, "guide.md", src)
	chunks, err := chunk.Cut(t.Context(), x, wordCount{}, chunk.Config{Target: 200, Least: 40})
	if err != nil {
		t.Fatal(err)
	}
	checkCover(t, x, chunks)
	if len(chunks) != 2 {
		t.Fatalf("%d chunks, want 2: %v", len(chunks), chunks)
	}
	if got := strings.Join(chunks[0].Path, "/"); got != "Guide" {
		t.Errorf("joined sections have path %q, want their common heading", got)
	}
	if got := strings.Join(chunks[1].Path, "/"); got != "Guide/Four" {
		t.Errorf("path %q", got)
	}
	if want := "Guide > Four\n## Four"; !strings.HasPrefix(chunks[1].Embedded(x.Title), want) {
		t.Errorf("embedded text %.60q does not begin with %q", chunks[1].Embedded(x.Title), want)
	}
}

func TestHeadingStaysWithItsText(t *testing.T) {
	t.Parallel()
	src := "# A\n\n" + paragraph(150, 3) + "\n\n## B\n\n" + paragraph(400, 4) + "\n"
	x := read(t, "a.md", src)
	chunks, err := chunk.Cut(t.Context(), x, wordCount{}, chunk.Config{Target: 200})
	if err != nil {
		t.Fatal(err)
	}
	checkCover(t, x, chunks)
	checkSize(t, x, chunks, 200)
	for _, c := range chunks {
		if i := strings.Index(c.Text, "## B"); i >= 0 && len(c.Text)-i < 200 {
			t.Errorf("heading at the end of a chunk: %q", c.Text[i:])
		}
	}
}

func TestCutBlocksOverlapALittle(t *testing.T) {
	t.Parallel()
	x := read(t, "a.txt", paragraph(900, 5))
	chunks, err := chunk.Cut(t.Context(), x, wordCount{}, chunk.Config{Target: 120, Overlap: 20})
	if err != nil {
		t.Fatal(err)
	}
	checkCover(t, x, chunks)
	checkSize(t, x, chunks, 120)
	for i, c := range chunks[1:] {
		if c.Overlap == 0 {
			t.Errorf("chunk %d repeats nothing", i+1)
			continue
		}
		if lap := strings.TrimSpace(c.Text[:c.Overlap]); !strings.HasSuffix(chunks[i].Text, lap) {
			t.Errorf("chunk %d begins with %q, which does not end %q", i+1, lap, chunks[i].Text)
		}
	}
}

func TestTablesRepeatTheirHead(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	b.WriteString("| name | value |\n| --- | --- |\n")
	for i := range 100 {
		fmt.Fprintf(&b, "| row%d | %d |\n", i, i)
	}
	x := read(t, "t.md", b.String())
	chunks, err := chunk.Cut(t.Context(), x, wordCount{}, chunk.Config{Target: 120, Overlap: 20})
	if err != nil {
		t.Fatal(err)
	}
	checkCover(t, x, chunks)
	if len(chunks) < 3 {
		t.Fatalf("%d chunks", len(chunks))
	}
	for _, c := range chunks {
		if !strings.HasPrefix(c.Text, "| name | value |") {
			t.Errorf("no head: %.60q", c.Text)
		}
	}
}

func TestSourceCodeIsCutAtDeclarations(t *testing.T) {
	t.Parallel()
	src := "package a\n\nimport \"fmt\"\n\n"
	for i := range 6 {
		src += fmt.Sprintf("// F%d does %s\nfunc (t *T) F%d() {\n\tfmt.Println(1)\n%s}\n\n", i, paragraph(30, i), i, strings.Repeat("\tx := call(a, b)\n", 12))
	}
	x := read(t, "a/b.go", src)
	chunks, err := chunk.Cut(t.Context(), x, wordCount{}, chunk.Config{Target: 220})
	if err != nil {
		t.Fatal(err)
	}
	checkCover(t, x, chunks)
	checkSize(t, x, chunks, 220)
	found := false
	for _, c := range chunks {
		if strings.Contains(c.Symbol, "T.F3") && strings.HasPrefix(c.Text, "// F3 does") {
			found = true
			if c.Line < 4 {
				t.Errorf("line %d", c.Line)
			}
		}
	}
	if !found {
		t.Errorf("no chunk begins with the comment of T.F3: %v", chunks)
	}
}

func TestLongWordsAndLongLinesAreBounded(t *testing.T) {
	t.Parallel()
	for name, src := range map[string]string{
		"blob.txt": strings.Repeat("QUJD", 5000),
		"min.js":   "var a=" + strings.Repeat("f(x)+", 4000) + "1;",
		"cjk.txt":  strings.Repeat("漢字仮名交じり文", 400),
		"mixed.md": "# T\n\n" + strings.Repeat("QUJD", 2000) + " word " + paragraph(300, 9),
	} {
		x := read(t, name, src)
		for _, c := range []chunk.Counter{wordCount{}, chunk.Estimate{}} {
			chunks, err := chunk.Cut(t.Context(), x, c, chunk.Config{Target: 200})
			if err != nil {
				t.Fatal(err)
			}
			checkCover(t, x, chunks)
			checkSize(t, x, chunks, 200)
		}
	}
}

func TestRandomDocumentsLoseNothing(t *testing.T) {
	t.Parallel()
	for seed := range 400 {
		r := rand.New(rand.NewPCG(uint64(seed), 2))
		var b strings.Builder
		for range r.IntN(40) + 1 {
			switch r.IntN(8) {
			case 0:
				fmt.Fprintf(&b, "%s Head %d\n\n", strings.Repeat("#", r.IntN(6)+1), r.IntN(50))
			case 1:
				b.WriteString("```go\n" + strings.Repeat("a := b(c)\n\n", r.IntN(60)) + "```\n")
			case 2:
				b.WriteString("- " + strings.ReplaceAll(paragraph(r.IntN(300), seed), ". ", "\n- ") + "\n\n")
			case 3:
				b.WriteString("| a | b |\n|---|---|\n" + strings.Repeat("| x y | z |\n", r.IntN(90)) + "\n")
			case 4:
				b.WriteString(strings.Repeat("x", r.IntN(9000)) + "\n\n")
			default:
				b.WriteString(paragraph(r.IntN(500), seed) + "\n\n")
			}
		}
		x := read(t, "r.md", b.String()+"end")
		cfg := chunk.Config{Target: 60 + r.IntN(300), Least: r.IntN(100), Overlap: r.IntN(60)}
		chunks, err := chunk.Cut(t.Context(), x, wordCount{}, cfg)
		if err != nil {
			t.Fatal(err)
		}
		checkCover(t, x, chunks)
		checkSize(t, x, chunks, cfg.Target)
	}
}

func TestTooManyChunksAreRefused(t *testing.T) {
	t.Parallel()
	x := read(t, "a.txt", paragraph(5000, 1))
	_, err := chunk.Cut(t.Context(), x, wordCount{}, chunk.Config{Target: 60, Chunks: 5})
	if errs.KindOf(err) != errs.TooLarge {
		t.Fatalf("error %v", err)
	}
}

func TestCutStopsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	x := read(t, "a.txt", paragraph(5000, 1))
	cancel()
	if _, err := chunk.Cut(ctx, x, wordCount{}, chunk.Config{}); !errors.Is(err, context.Canceled) {
		t.Fatalf("error %v", err)
	}
}

func TestPrefixDoesNotRepeatTheTitle(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		title string
		path  []string
		want  string
	}{
		{"T", []string{"T", "A"}, "T > A"}, {"T", nil, "T"}, {"", []string{"A", "B"}, "A > B"}, {"", nil, ""},
	} {
		if got := chunk.Prefix(c.title, c.path); got != c.want {
			t.Errorf("Prefix(%q, %q) = %q, want %q", c.title, c.path, got, c.want)
		}
	}
}

func TestEstimateIsCautious(t *testing.T) {
	t.Parallel()
	for text, least := range map[string]int{"": 0, "the cat": 2, "a.b,c": 5, "漢字": 2, "1234": 2, "naïve": 1, "internationalization": 3} {
		if got := (chunk.Estimate{}).Count(text); got < least {
			t.Errorf("Count(%q) = %d, want at least %d", text, got, least)
		}
	}
}

func FuzzCutLosesNothing(f *testing.F) {
	f.Add("# A\n\ntext. more text.\n\n```\ncode\n", "a.md", 40)
	f.Add("func A() {\n}\n", "a.go", 60)
	f.Add("a\n\n\n\n b", "a.txt", 33)
	f.Fuzz(func(t *testing.T, src, name string, target int) {
		format, err := extract.Detect(name, "", []byte(src))
		if err != nil {
			return
		}
		x, err := extract.NewReader(extract.Config{}).Extract(t.Context(), format, name, []byte(src))
		if err != nil {
			t.Fatal(err)
		}
		chunks, err := chunk.Cut(t.Context(), x, chunk.Estimate{}, chunk.Config{Target: 32 + abs(target)%300})
		if err != nil {
			t.Fatal(err)
		}
		checkCover(t, x, chunks)
	})
}

func abs(n int) int {
	if n < 0 {
		return -(n + 1)
	}
	return n
}

func BenchmarkCut(b *testing.B) {
	var s strings.Builder
	for i := range 200 {
		fmt.Fprintf(&s, "## Section %d\n\n%s\n\n", i, paragraph(300, i))
	}
	x := read(b, "a.md", s.String())
	b.SetBytes(int64(s.Len()))
	for b.Loop() {
		if _, err := chunk.Cut(b.Context(), x, chunk.Estimate{}, chunk.Config{}); err != nil {
			b.Fatal(err)
		}
	}
}
