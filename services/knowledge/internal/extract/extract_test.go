package extract_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf16"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/extract"
)

func TestFormatIsDetected(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, declared, data string
		want                 extract.Format
	}{
		{"a.md", "", "x", extract.Format{Kind: extract.Markdown}},
		{"README.MARKDOWN", "text/plain", "x", extract.Format{Kind: extract.Markdown}},
		{"a.txt", "text/html", "x", extract.Format{Kind: extract.Plain}},
		{"a.htm", "", "x", extract.Format{Kind: extract.HTML}},
		{`c:\src\a.go`, "", "x", extract.Format{Kind: extract.Code, Language: "go"}},
		{"x/Dockerfile", "", "FROM a", extract.Format{Kind: extract.Code, Language: "dockerfile"}},
		{"a.tsx", "", "x", extract.Format{Kind: extract.Code, Language: "typescript"}},
		{"noext", "text/markdown; charset=utf-8", "x", extract.Format{Kind: extract.Markdown}},
		{"", "text/html", "x", extract.Format{Kind: extract.HTML}},
		{"noext", "application/json", "{}", extract.Format{Kind: extract.Code, Language: "json"}},
		{"noext", "application/yaml", "a: 1", extract.Format{Kind: extract.Code, Language: "yaml"}},
		{"noext", ";;", " <!DOCTYPE html><p>x", extract.Format{Kind: extract.HTML}},
		{"script", "", "#!/usr/bin/env python3\nx", extract.Format{Kind: extract.Code, Language: "python"}},
		{"script", "", "#!/usr/bin/node\nx", extract.Format{Kind: extract.Code, Language: "javascript"}},
		{"script", "", "#!/bin/sh\nx", extract.Format{Kind: extract.Code, Language: "shell"}},
		{"notes.unknown", "application/octet-stream", "hello", extract.Format{Kind: extract.Plain}},
	} {
		got, err := extract.Detect(c.name, c.declared, []byte(c.data))
		if err != nil || got != c.want {
			t.Errorf("Detect(%q, %q) = %v, %v; want %v", c.name, c.declared, got, err, c.want)
		}
	}
}

func TestWhatIsNotTextIsRefused(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, data string
		kind       errs.Kind
		says       string
	}{
		{"paper.pages", "PK\x03\x04", errs.Unsupported, "Markdown"},
		{"a.md", "a\x00b", errs.Unsupported, "offset 1"},
		{"a.docx", "PK", errs.Invalid, "a.docx is damaged or cut off"},
		{"a", "PK\x03\x04", errs.Unsupported, "ZIP"},
		{"a.txt", "\xff\xfea\x00b", errs.Invalid, "cut off"},
		{"a.txt", "\xff\xfe\x00\x00a\x00\x00\x00", errs.Unsupported, "UTF-32"},
		{"a.txt", "\xfe\xff\x00a\x00\x00", errs.Unsupported, "zero byte"},
		{"a.txt", "\xff\xfe \x00\n\x00", errs.Invalid, "empty"},
		{"a.txt", "ok \xc3\x28", errs.Invalid, "byte 3"},
		{"a.txt", "", errs.Invalid, "empty"},
		{"a.txt", "\xef\xbb\xbf \n\t ", errs.Invalid, "empty"},
	} {
		_, err := extract.Detect(c.name, "", []byte(c.data))
		if errs.KindOf(err) != c.kind || !strings.Contains(fmt.Sprint(err), c.says) {
			t.Errorf("Detect(%q, %q) = %v; want %s with %q", c.name, c.data, err, c.kind, c.says)
		}
	}
}

func TestTextInUTF16IsReadByItsMark(t *testing.T) {
	t.Parallel()
	const text = "# Überschrift\n\nEin Satz, ein Zeichen 🜁 und ein Ende.\n"
	for name, order := range map[string]binary.AppendByteOrder{"little": binary.LittleEndian, "big": binary.BigEndian} {
		var data []byte
		for _, u := range utf16.Encode([]rune("\ufeff" + text)) {
			data = order.AppendUint16(data, u)
		}
		for file, kind := range map[string]extract.Kind{"a.md": extract.Markdown, "a.txt": extract.Plain, "a.csv": extract.Code, "a": extract.Plain} {
			f, err := extract.Detect(file, "", data)
			if err != nil || f.Kind != kind {
				t.Errorf("%s, %s: %v, %v", name, file, f, err)
				continue
			}
			got, err := reader.Extract(t.Context(), f, file, data)
			if err != nil || !strings.Contains(fmt.Sprint(got.Blocks), "Ein Satz, ein Zeichen 🜁 und ein Ende.") || !strings.Contains(fmt.Sprint(got.Blocks), "Überschrift") {
				t.Errorf("%s, %s: %+v, %v", name, file, got, err)
			}
		}
	}
	if _, err := reader.Extract(t.Context(), extract.Format{Kind: extract.Plain}, "a", []byte("\xff\xfea")); errs.KindOf(err) != errs.Invalid {
		t.Errorf("cut off: %v", err)
	}
}

func TestTheContentTypeFollowsTheFormat(t *testing.T) {
	t.Parallel()
	for f, want := range map[extract.Format]string{
		{Kind: extract.Markdown}: "text/markdown", {Kind: extract.HTML}: "text/html", {Kind: extract.Plain}: "text/plain",
		{Kind: extract.Code, Language: "json"}: "application/json", {Kind: extract.Code, Language: "go"}: "text/x-go",
	} {
		if got := f.ContentType(); got != want {
			t.Errorf("%v: %q, want %q", f, got, want)
		}
	}
}

func blocks(t testing.TB, name, src string) *extract.Text {
	t.Helper()
	f, err := extract.Detect(name, "", []byte(src))
	if err != nil {
		t.Fatal(err)
	}
	x, err := reader.Extract(t.Context(), f, name, []byte(src))
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func show(x *extract.Text) string {
	var b strings.Builder
	for _, k := range x.Blocks {
		fmt.Fprintf(&b, "%d %s [%s] %q\n", k.Line, k.Kind, strings.Join(k.Path, "/"), k.Text)
	}
	return b.String()
}

func TestMarkdownKeepsItsStructure(t *testing.T) {
	t.Parallel()
	src := "---\ntitle: \"The Guide\"\n---\n<!-- c -->\n# Top `x`\n\nHello **you**.\n\n- a\n  - b\n\n- c\n\nSub\n---\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n```go\nfunc main() {}\n\n# no heading\n```\n\n> quoted\n\n[ref]: http://example.com\n\n### [Deep](http://x) one ###\ntext\n# Next\n~~~\nunclosed\n# still code\n"
	x := blocks(t, "g.md", src)
	if x.Title != "The Guide" {
		t.Errorf("title %q", x.Title)
	}
	want := `1 meta [] "---\ntitle: \"The Guide\"\n---"
4 paragraph [] "<!-- c -->"
5 heading [Top x] "# Top ` + "`x`" + `"
7 paragraph [Top x] "Hello **you**."
9 list [Top x] "- a\n  - b\n\n- c"
14 heading [Top x/Sub] "Sub\n---"
17 table [Top x/Sub] "| a | b |\n|---|---|\n| 1 | 2 |"
21 code [Top x/Sub] "` + "```go\\nfunc main() {}\\n\\n# no heading\\n```" + `"
27 quote [Top x/Sub] "> quoted"
29 paragraph [Top x/Sub] "[ref]: http://example.com"
31 heading [Top x/Sub/Deep one] "### [Deep](http://x) one ###"
32 paragraph [Top x/Sub/Deep one] "text"
33 heading [Next] "# Next"
34 code [Next] "~~~\nunclosed\n# still code"
`
	if got := show(x); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestTitleComesFromTheDocumentElseFromItsName(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, src, want string }{
		{"a.md", "# Hello\nx", "Hello"}, {"dir/notes.md", "just text", "notes"}, {"b.txt", "A Title\n\nbody text", "A Title"}, {"b.txt", "one", "b"},
		{"a.html", "<title> A  B </title><h1>C</h1>", "A B"}, {"a.html", "<h1>C</h1>", "C"}, {"dir/a.go", "package a", "dir/a.go"}, {"", "text", ""},
	} {
		if got := blocks(t, c.name, c.src).Title; got != c.want {
			t.Errorf("title of %q = %q, want %q", c.src, got, c.want)
		}
	}
}

func TestHTMLBecomesTextWithoutScripts(t *testing.T) {
	t.Parallel()
	src := `<html><head><title>T</title><style>p{}</style><script>alert(1)</script></head><body><nav>Menu</nav>
<h1>One</h1><p>Hello <b>big</b> <i>world</i>.<br>Next</p><div>bare <span>text</span></div>
<h2>Two</h2><ul><li>a <ul><li>a1</li></ul></li><li><p>b</p></li></ul><ol><li>first</li></ol>
<table><caption>Cap</caption><tr><th>h1</th><th>h2</th></tr><tr><td>1</td><td>2</td></tr></table>
<pre><code>x = 1
  y = 2</code></pre><blockquote>said</blockquote><img alt="a cat"><noscript>no</noscript><template>t</template>
<dl><dt>term</dt><dd>meaning</dd></dl>tail</body></html>`
	want := `0 paragraph [] "Menu"
0 heading [One] "# One"
0 paragraph [One] "Hello big world.\nNext"
0 paragraph [One] "bare text"
0 heading [One/Two] "## Two"
0 list [One/Two] "- a\n  - a1\n- b"
0 list [One/Two] "1. first"
0 table [One/Two] "Cap\n| h1 | h2 |\n| --- | --- |\n| 1 | 2 |"
0 code [One/Two] "x = 1\n  y = 2"
0 quote [One/Two] "said"
0 paragraph [One/Two] "a cat"
0 list [One/Two] "- term\n- meaning"
0 paragraph [One/Two] "tail"
`
	if got := show(blocks(t, "a.html", src)); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func symbols(x *extract.Text) string {
	var out []string
	for _, b := range x.Blocks {
		out = append(out, fmt.Sprintf("%d:%s", b.Line, strings.Join(b.Path, ".")))
	}
	return strings.Join(out, " ")
}

func TestSourceCodeIsCutAtDeclarations(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, src, want string }{
		{"a.go", "// Package a.\npackage a\n\nimport (\n\t\"fmt\"\n)\n\n// T is.\ntype T struct {\n\tx int\n}\n\n// F does.\nfunc (t *T) F(a int) error {\n\treturn nil\n}\n\nfunc g[K any]() {\n}\n\nvar x = 1\n",
			"1: 4:import 8:T 13:T.F 18:g 21:x"},
		{"a.py", "import os\n\n@deco\nclass A(B):\n    \"\"\"doc\"\"\"\n    x = 1\n\n    @property\n    def f(self):\n        def inner():\n            pass\n        return 1\n\n    async def g(self):\n        pass\n\nif __name__ == '__main__':\n    main()\n",
			"1: 3:A 8:A.f 14:A.g 17:"},
		{"A.java", "package p;\n\n/** Doc. */\n@Ann\npublic class A<T> extends B {\n    private int x;\n\n    /** M. */\n    public <U> List<U> m(int a) throws E {\n        if (x) {\n            return null;\n        }\n    }\n\n    A(int x) {\n    }\n}\n",
			"1: 3:A 8:A.m 15:A.A"},
		{"a.ts", "import x from 'y';\n\nexport interface I {\n  a: string;\n}\n\nexport const f = async (a: number) => {\n  return a;\n};\n\nexport default class C {\n  m(a: string): void {\n    for (;;) {\n    }\n  }\n}\n",
			"1: 3:I 7:f 11:C 12:C.m"},
		{"a.rs", "use std::fmt;\n\n#[derive(Debug)]\npub struct S {\n    a: u8,\n}\n\nimpl fmt::Display for S {\n    fn fmt(&self) -> R {\n    }\n}\n\npub fn run() {\n}\n",
			"1: 3:S 8:fmt::Display for S 9:fmt::Display for S.fmt 13:run"},
		{"a.cpp", "#include <x>\n\nnamespace n {\n\nclass A {\n  void m();\n};\n\n}\n\nint main(int argc, char** argv)\n{\n  return 0;\n}\n\nvoid A::m() {\n}\n",
			"1: 3:n 5:A 11:main 16:A::m"},
		{"a.rb", "module M\n  class C\n    def a?\n    end\n\n    def self.b\n    end\n  end\nend\n", "1:M 2:M.C 3:M.C.a? 6:M.C.self.b"},
		{"a.sh", "set -e\n\n# does\nrun() {\n  x\n}\n\nrun\n", "1: 3:run 8:"},
		{"a.sql", "CREATE TABLE IF NOT EXISTS a.b (\n  x int\n);\n\n-- idx\ncreate unique index i on a.b (x);\nselect 1;\n", "1:a.b 5:i 7:"},
		{"a.proto", "syntax = \"proto3\";\n\nmessage M {\n  enum E {\n  }\n}\n", "1: 3:M 4:M.E"},
		{"a.yaml", "a:\n  b: 1\nc: 2\n", "1:a 3:c"},
		{"a.tf", "resource \"aws_x\" \"y\" {\n}\n", "1:aws_x.y"},
		{"script.py", "print(1)\nprint(2)\n", "1:"},
		{"a.xml", "<a>\n\n<b/>\n\n  <c/>\n</a>\n", "1: 3:"},
	} {
		if got := symbols(blocks(t, c.name, c.src)); got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}

func squeeze(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) || r < 0x20 || r == 0x7f {
			return -1
		}
		return r
	}, s)
}

// lossless are names whose blocks must spell the document.
var lossless = []string{"a.md", "a.txt", "a.go", "a.py", "a.java", "a.json", "a.yaml", "a.sql"}

func FuzzNoTextIsLost(f *testing.F) {
	for _, s := range []string{"# a\n\nb", "---\nx\n---\n", "> > a\n- b\n\n      c", "func a() {\n}\n", "\n\n```\n", "a\r\nb\x0cc", "[a]: b\n", "<div>\n\n*x*\n", "a\n===\n\tb"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, src string) {
		for _, name := range lossless {
			format, err := extract.Detect(name, "", []byte(src))
			if err != nil {
				return
			}
			x, err := reader.Extract(t.Context(), format, name, []byte(src))
			if err != nil {
				t.Fatal(err)
			}
			var got strings.Builder
			for _, b := range x.Blocks {
				if strings.TrimSpace(b.Text) == "" {
					t.Fatalf("%s: blank block", name)
				}
				got.WriteString(squeeze(b.Text))
			}
			if want := squeeze(strings.TrimPrefix(src, "\ufeff")); got.String() != want {
				t.Fatalf("%s: got %q, want %q", name, got.String(), want)
			}
		}
	})
}

func FuzzHTMLKeepsWordsInOrder(f *testing.F) {
	f.Add("alpha", "beta", "gamma")
	f.Fuzz(func(t *testing.T, a, b, c string) {
		word := func(s string) string {
			return strings.Map(func(r rune) rune {
				if unicode.IsLetter(r) && r < 0x2000 {
					return r
				}
				return -1
			}, s) + "x"
		}
		a, b, c = word(a), word(b), word(c)
		src := "<div>" + a + "<table><tr><td>" + b + "</td></tr></table><ul><li><p>" + c + "</ul><script>zzzz</script>"
		x := blocks(t, "a.html", src)
		var got []string
		for _, k := range x.Blocks {
			got = append(got, k.Text)
		}
		if want := a + "|| " + b + " ||- " + c; strings.Join(got, "|") != want {
			t.Fatalf("got %q, want %q", strings.Join(got, "|"), want)
		}
	})
}

func TestHostileInputTakesLinearTime(t *testing.T) {
	t.Parallel()
	n := 200_000
	for name, src := range map[string]string{
		"quotes.md":   strings.Repeat(">", n),
		"quotes2.md":  strings.Repeat(strings.Repeat("> ", 30)+"x\n", n/60),
		"lists.md":    strings.Repeat("- ", n/2) + "x",
		"brackets.md": strings.Repeat("[", n) + "\n\n" + strings.Repeat("*a", n/2),
		"fences.md":   strings.Repeat("```\n", n/4),
		"rules.md":    strings.Repeat("|-", n/2) + "\n" + strings.Repeat("|-", n/2),
		"nest.html":   strings.Repeat("<div>", n/5) + "x",
		"lists.html":  strings.Repeat("<ul><li>", n/8) + "x",
		"bold.html":   strings.Repeat("<b>", n/3) + "x",
		"tables.html": strings.Repeat("<table><tr><td>", n/16) + "x",
		"line.go":     strings.Repeat("func a() ", n/9),
		"java.java":   strings.Repeat("public static ", n/14),
		"comments.go": strings.Repeat("// x\n", n/5),
	} {
		start := time.Now()
		x := blocks(t, name, src)
		if d := time.Since(start); d > 10*time.Second {
			t.Errorf("%s took %v", name, d)
		}
		if len(x.Blocks) == 0 && !strings.Contains(name, "brackets") {
			t.Errorf("%s: no blocks", name)
		}
	}
}

func TestExtractStopsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, f := range []extract.Format{{Kind: extract.Markdown}, {Kind: extract.HTML}, {Kind: extract.Plain}, {Kind: extract.Code, Language: "go"}} {
		if _, err := reader.Extract(ctx, f, "a", []byte("x")); !errors.Is(err, context.Canceled) {
			t.Errorf("%v: error %v", f, err)
		}
	}
}
