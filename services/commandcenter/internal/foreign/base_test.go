package foreign_test

import (
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/commandcenter/commandcenter/services/commandcenter/internal/foreign"
	"github.com/commandcenter/commandcenter/services/commandcenter/internal/ingest"
)

func text(t *testing.T, f ingest.File) string {
	t.Helper()
	r, err := f.Open()
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(r)
	if err != nil || int64(len(b)) != f.Size {
		t.Fatalf("%s: %d bytes of %d, %v", f.Name, len(b), f.Size, err)
	}
	return string(b)
}

func TestPiecesOfOneSourceBecomeItsDocumentAgain(t *testing.T) {
	t.Parallel()
	const whole = "The relay reads the outbox in order. It publishes what it reads, and marks it when the stream has it."
	b := foreign.Base{Name: "notes", Records: []foreign.Record{
		{ID: "b", Text: whole[30:], Meta: map[string]any{"source": "/docs/relay.md", "chunk_index": 10.0}},
		{ID: "lone", Text: "Alone.", Meta: map[string]any{"title": "On its own"}},
		{ID: "a", Text: whole[:60], Meta: map[string]any{"source": "/docs/relay.md", "chunk_index": "2"}},
		{ID: "none", Text: " \n"},
		{ID: "c", Text: "Nothing in common.", Meta: map[string]any{"source": "/docs/relay.md", "chunk_index": 11.0}},
	}}
	files, skipped := b.Documents()
	if len(files) != 2 || files[0].Name != "notes/docs/relay.md" || files[1].Name != "notes/lone.md" || files[1].Title != "On its own" {
		t.Fatalf("%+v", files)
	}
	if got := text(t, files[0]); got != whole+"\n\nNothing in common." {
		t.Errorf("%q", got)
	}
	if !slices.Equal(skipped, []ingest.Skipped{{Name: "notes/none.md", Reason: "has no text"}}) {
		t.Errorf("%+v", skipped)
	}
}

func TestASourceNameLeadsNowhereAndSaysWhatItIs(t *testing.T) {
	t.Parallel()
	for source, want := range map[string]string{
		"../../etc/passwd":                 "k/etc/passwd.md",
		`C:\docs\a.txt`:                    "k/C:/docs/a.txt",
		"https://example.org/guide/a.html": "k/example.org/guide/a.html.md",
		"main.go":                          "k/main.go",
		"report.PDF":                       "k/report.PDF.md",
		"line\nbreak\x00.md":               "k/line_break_.md",
		"bad\xffbytes":                     "k/bad_bytes.md",
	} {
		files, _ := foreign.Base{Name: "k", Records: []foreign.Record{{ID: "x", Text: "t", Meta: map[string]any{"path": source}}}}.Documents()
		if len(files) != 1 || files[0].Name != want {
			t.Errorf("%q became %+v, want %s", source, files, want)
		}
	}
	long := foreign.Base{Name: "a/b", Records: []foreign.Record{{ID: strings.Repeat("ü", 4000), Text: "t"}, {Text: "t"}}}
	files, _ := long.Documents()
	if len(files) != 2 || len(files[0].Name) > 1024 || !strings.HasPrefix(files[0].Name, "a_b/ü") || files[1].Name != "a_b/1.md" {
		t.Errorf("%+v", files)
	}
}

func TestATextThatIsTooLargeIsNamed(t *testing.T) {
	t.Parallel()
	files, skipped := foreign.Base{Name: "k", Records: []foreign.Record{{ID: "big", Text: strings.Repeat("x", ingest.MaxSize+1)}}}.Documents()
	if len(files) != 0 || len(skipped) != 1 || skipped[0].Name != "k/big.md" {
		t.Errorf("%d files, %+v", len(files), skipped)
	}
}
