package query_test

import (
	"strings"
	"testing"

	"github.com/commandcenter/commandcenter/services/knowledge/internal/index/query"
)

func TestTextsAreUnderstood(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`retry policy "exactly once"`:        `retry policy "exactly once"`,
		`+retry -queue policy`:               `+retry -queue policy`,
		`retry AND queue`:                    `+(+retry +queue)`,
		`retry OR queue worker`:              `+(retry OR queue) worker`,
		`a OR b AND c`:                       `+(a OR (+b +c))`,
		`(a OR b) AND NOT c`:                 `+(+(a OR b) -c)`,
		`x NOT y`:                            `x -y`,
		`embed* retreival~1 sematic~`:        `embed* retreival~1 sematic~2`,
		`title:config symbol:"Parse Config"`: `title:config symbol:"Parse Config"`,
		`source:docs/* lang:go -path:vendor`: `source:docs/* lang:go -path:vendor`,
		`a && b || c`:                        `+((+a +b) OR c)`,
		`foo -(bar baz)`:                     `foo -(bar baz)`,
		`NOT NOT a b`:                        `+a b`,
		`a OR NOT b`:                         `+(a OR (-b))`,
		`"one" AND`:                          `"one"`,
		`) "one" ( two`:                      `"one" two`,
		`+"two words" three`:                 `"two words" three`,
		`+(a b) c`:                           `+(a b) c`,
	} {
		q := query.Parse(text)
		if got := q.String(); got != want || q.Plain {
			t.Errorf("%s is understood as %s (plain: %t), want %s", text, got, q.Plain, want)
		}
		if again := query.Parse(want).String(); again != want {
			t.Errorf("%s reads back as %s", want, again)
		}
	}
}

func TestSentencesStaySentences(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"what survives a kill -9", "why does it say \"not found", "C++ & $PATH <T> | ; a", "parse(x) fails", "HOW TO READ AND WRITE OR NOT",
		"std::vector and http://x/y", "title: of the page", "a - b + c", "--flag=3 of tar", "()", "AND", "OR NOT", "note: this", "* ~ :", `""`, "salt and pepper",
	} {
		q := query.Parse(text)
		if !q.Plain || q.Topic() != text || len(q.Root.Nodes) != 1 || q.Root.Nodes[0].Text != text {
			t.Errorf("%q is understood as %s", text, q)
		}
	}
}

func TestTopicLeavesConditionsAndExclusionsOut(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`retries -queue "exactly once" lang:go title:guide`: "retries exactly once guide",
		`category:a -b`:             "",
		`(a OR b) AND NOT (c OR d)`: "a b",
	} {
		if got := query.Parse(text).Topic(); got != want {
			t.Errorf("%s is about %q, want %q", text, got, want)
		}
	}
}

func TestQueriesAreBounded(t *testing.T) {
	t.Parallel()
	for _, text := range []string{strings.Repeat("+a ", 1000), strings.Repeat("(+a ", 1000), strings.Repeat("NOT ", 1000) + "a", strings.Repeat("ab* ", 1000)} {
		leaves, wild := 0, 0
		query.Parse(text).Root.Wanted(func(n query.Node) {
			if leaves++; n.Kind == query.Prefix {
				wild++
			}
		})
		if leaves > 2*query.MaxNodes || wild > query.MaxWild {
			t.Errorf("%.20s gives %d leaves, %d of them prefixes", text, leaves, wild)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{`a "b c" -d`, `(a OR b) AND NOT c~1`, `title:x* +(a -b)`, `"`, `((`, "ü* ~2 -\x00", "NOT NOT"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		q := query.Parse(text)
		if len(q.Root.Nodes) == 0 || q.Root.Kind != query.Group {
			t.Fatalf("%q gives no group", text)
		}
		if q.Plain && q.Topic() != text {
			t.Fatalf("%q is about %q", text, q.Topic())
		}
		_ = q.String()
	})
}

func TestNearIsTheEditDistance(t *testing.T) {
	t.Parallel()
	words := []string{""}
	for range 5 {
		for _, w := range words {
			if len(w) == len(words[len(words)-1]) {
				words = append(words, w+"a", w+"b", w+"ü")
			}
		}
	}
	full := func(a, b []rune) int {
		table := make([][]int, len(a)+1)
		for i := range table {
			table[i] = make([]int, len(b)+1)
			for j := range table[i] {
				switch {
				case i == 0 || j == 0:
					table[i][j] = i + j
				default:
					v := table[i-1][j-1]
					if a[i-1] != b[j-1] {
						v = min(v, table[i-1][j], table[i][j-1]) + 1
					}
					if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
						v = min(v, table[i-2][j-2]+1)
					}
					table[i][j] = v
				}
			}
		}
		return table[len(a)][len(b)]
	}
	for _, w := range []string{"aba", "abüb", "bbbbb", "a"} {
		for d := 1; d <= 2; d++ {
			near := query.Near(w, d)
			for _, s := range words {
				if want := full([]rune(w), []rune(s)) <= d; near(s) != want {
					t.Fatalf("%q and %q are within %d: %t", w, s, d, !want)
				}
			}
		}
	}
}
