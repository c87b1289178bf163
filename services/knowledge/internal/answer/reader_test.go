package answer

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// readIn reads a text in pieces of n characters.
func readIn(n int, text string) (*reader, string) {
	r, shown := newReader(3), ""
	rest := []rune(text)
	for len(rest) > n {
		shown += r.write(string(rest[:n]))
		rest = rest[n:]
	}
	return r, shown + r.write(string(rest)) + r.close()
}

func TestMarksOfPassagesThatThereAreNotAreNeverShown(t *testing.T) {
	t.Parallel()
	for said, want := range map[string]string{
		"It is red [1].":                           "It is red [1].",
		"It is red [9].":                           "It is red.",
		"It is red[2][7] and blue [1, 4; 3].":      "It is red[2] and blue [1][3].",
		"All [1-3], or [^2], or [2–9]":             "All [1][2][3], or [2], or [2][3]",
		"[0] Nothing [0] [99999999999] before":     " Nothing [99999999999] before",
		"A link [here](x), a [list], a [":          "A link [here](x), a [list], a [",
		"It ends [1":                               "It ends [1",
		"In `a[7]` and\n```\nb[8] [1]\n``` [8] c":  "In `a[7]` and\n```\nb[8] [1]\n``` c",
		"An odd ` here [9]\nand [9] there [2]":     "An odd ` here [9]\nand there [2]",
		"Spaces   [4]   stay [1]  ":                "Spaces   stay [1]  ",
		"[" + strings.Repeat("1,", 60) + "1] [2]":  "[" + strings.Repeat("1,", 60) + "1] [2]",
		"As [passage 2] and [Sources 1, 3], [9th]": "As [2] and [1][3], [9th]",
		"As 【2†L3-L9】 and【7†source】, 【x】.":         "As [2] and, 【x】.",
		"A [pass] or [Passage] or [source":         "A [pass] or [Passage] or [source",
		"„Umlaute“ – ü [2–3]":                      "„Umlaute“ – ü [2][3]",
	} {
		for _, n := range []int{1, 2, 3, 7, 1000} {
			r, shown := readIn(n, said)
			if shown != want || r.text.String() != want {
				t.Errorf("%q by %d: shown %q, read %q, want %q", said, n, shown, r.text.String(), want)
			}
			for _, m := range r.marks {
				if !strings.HasPrefix(want[m.at:], fmt.Sprintf("[%d]", m.number)) {
					t.Errorf("%q: mark %+v", said, m)
				}
			}
		}
	}
	r, _ := readIn(4, "a [9] b [1, 8] `[7]` [2-5]")
	if !slices.Equal(r.invented, []int{9, 8, 4, 5}) || len(r.marks) != 3 {
		t.Errorf("invented %v, marks %v", r.invented, r.marks)
	}
}

func TestThatThereIsNoAnswerIsHeardBeforeAnythingIsShown(t *testing.T) {
	t.Parallel()
	for said, want := range map[string]struct {
		none bool
		text string
	}{
		"NO_ANSWER": {true, ""},
		"\n **NO_ANSWER**. The passages are of levers.": {true, ""},
		"<think>Perhaps [9]. No.</think>\n\nNO_ANSWER":  {true, ""},
		"<think>Levers [9].</think> Red [1].":           {false, "Red [1]."},
		"<think>endless":                                {false, ""},
		"NO_ONE knows [1].":                             {false, "NO_ONE knows [1]."},
		"NO":                                            {false, "NO"},
		"":                                              {false, ""},
		"<thin line> [1]":                               {false, "<thin line> [1]"},
	} {
		for _, n := range []int{1, 3, 1000} {
			r, shown := readIn(n, said)
			if r.none != want.none || shown != want.text {
				t.Errorf("%q by %d: none is %v, shown %q", said, n, r.none, shown)
			}
		}
	}
}

func FuzzWhatIsReadDoesNotDependOnThePieces(f *testing.F) {
	for _, s := range []string{"a [1][9] b", "`[4]` [5]", "<think>x</think>NO_ANSWER", "[1-3] – [2–3]", "``` [1", "  [^1 , 2]"} {
		f.Add(s, 2)
	}
	f.Fuzz(func(t *testing.T, text string, n int) {
		one, shown := readIn(1, text)
		other, all := readIn(1+n&15, text)
		if shown != all || one.none != other.none || !slices.Equal(one.invented, other.invented) || !slices.Equal(one.marks, other.marks) {
			t.Errorf("%q: %q %v, by %d %q %v", text, shown, one.marks, 1+n&15, all, other.marks)
		}
		for _, m := range one.marks {
			if m.number < 1 || m.number > 3 || !strings.HasPrefix(shown[m.at:], fmt.Sprintf("[%d]", m.number)) {
				t.Errorf("%q: %+v", text, m)
			}
		}
	})
}

func TestQuotationsAreThoseBeforeTheirMarks(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`It says "moves the world" [1]`: "moves the world", `It says "moves the world." [2][1]`: "moves the world.", `Er sagt „bewegt die Welt“ [1]`: "bewegt die Welt",
		`He said “a” and “b c”, [1]`: "b c", `no quotation [1]`: "", `"one" and then more [1]`: "", `«bouge» [1]`: "bouge", `half" [1]`: "", `**"bold"** [3, 1] [1]`: "bold",
		"\"over\n\nparagraphs\" [1]": "", `"` + strings.Repeat("long ", 400) + `" [1]`: "", `[1]`: "", "": "",
	} {
		if got := quoted(strings.TrimSuffix(text, "[1]")); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func TestAQuotationStandsWhereItsWordsDo(t *testing.T) {
	t.Parallel()
	const text = "A **lever** moves\n the world; it’s old – as `old_gates` are. Start here."
	for quote, want := range map[string]bool{
		"A lever moves the world": true, "a LEVER": true, "it's old - as old_gates are.": true, "lever … old gates": false, "lever ... are": true, "A lever [...] here": true,
		"are … lever": false, "art": false, "moves the words": false, "": false, "...": false, ".": false, "here": true, "the world": true, "worl": false,
	} {
		if got := stands(quote, text); got != want {
			t.Errorf("%q: %v", quote, got)
		}
	}
	if stands("art", "start art.") != true {
		t.Error("a word behind a longer one is not found")
	}
}
