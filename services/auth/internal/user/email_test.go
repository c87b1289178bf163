package user

import (
	"strings"
	"testing"
)

func TestNormaliseGivesOneFormPerAddress(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"jo@example.org":                   "jo@example.org",
		"  Jo.Smith@Example.ORG\t":         "jo.smith@example.org",
		"jo+tag@mail.example.org":          "jo+tag@mail.example.org",
		"JO@BÜCHER.example":                "jo@xn--bcher-kva.example",
		"jo@xn--bcher-kva.example":         "jo@xn--bcher-kva.example",
		"jo@bu\u0308cher.example":          "jo@xn--bcher-kva.example",
		"jose\u0301@example.org":           "josé@example.org",
		"JOSÉ@example.org":                 "josé@example.org",
		"owner@localhost":                  "owner@localhost",
		"o'brien@example.org":              "o'brien@example.org",
		"jo@例え.テスト":                        "jo@xn--r8jz45g.xn--zckzah",
		strings.Repeat("a", 64) + "@b.org": strings.Repeat("a", 64) + "@b.org",
	} {
		got, err := Normalise(in)
		if err != nil || got != want {
			t.Errorf("Normalise(%q) = %q, %v; want %q", in, got, err, want)
			continue
		}
		if again, err := Normalise(got); err != nil || again != got {
			t.Errorf("Normalise(%q) = %q, %v; want itself", got, again, err)
		}
	}
}

func TestNormaliseRefusesWhatIsNoAddress(t *testing.T) {
	t.Parallel()
	for _, in := range []string{
		"", "@", "jo", "jo@", "@example.org", "jo@@example.org", "jo@a@example.org", "jo@example", "jo@.org", "jo@example.",
		"jo@-example.org", "jo@exa mple.org", "jo smith@example.org", "jo\x00@example.org", "jo\n@example.org", ".jo@example.org",
		"jo.@example.org", "j..o@example.org", `"jo"@example.org`, "jo@[127.0.0.1]", "jo@127.0.0.1", "jo@1.2", "jo\u202e@example.org",
		"jo@exam_ple.org", strings.Repeat("a", 65) + "@example.org", "jo@" + strings.Repeat("a", 64) + ".org",
		"jo@" + strings.Repeat("abcdefg.", 32) + "org", "<script>@example.org", "jo@example.org\x00", "\xff@example.org",
	} {
		if got, err := Normalise(in); err == nil {
			t.Errorf("Normalise(%q) = %q, want an error", in, got)
		} else if in != "" && len(in) > 6 && strings.Contains(err.Error(), in) {
			t.Errorf("Normalise(%q): the message repeats the input", in)
		}
	}
}

func TestAnAddressIsShownAsPeopleWriteIt(t *testing.T) {
	t.Parallel()
	for stored, want := range map[string]string{
		"jo@example.org":                "jo@example.org",
		"jo@xn--bcher-kva.example":      "jo@bücher.example",
		"jo@mail.xn--bcher-kva.example": "jo@mail.bücher.example",
		"jo@xn--r8jz45g.xn--zckzah":     "jo@例え.テスト",
		"jo@xn--e1afmkfd.xn--p1ai":      "jo@пример.рф",
		"josé@xn--bcher-kva.example":    "josé@bücher.example",
		"xn--bcher-kva@example.org":     "xn--bcher-kva@example.org", // no domain
		"owner@localhost":               "owner@localhost",
		"no address":                    "no address",
		"jo@xn--pple-43d.com":           "jo@xn--pple-43d.com", // a Cyrillic letter among Latin ones
		"jo@xn--0.example":              "jo@xn--0.example",    // is none
		"jo@xn--example.example":        "jo@xn--example.example",
	} {
		if got := Shown(stored); got != want {
			t.Errorf("%q is shown as %q, want %q", stored, got, want)
		}
		if back, err := Normalise(want); strings.Contains(stored, "@xn") && err == nil && back != stored {
			t.Errorf("what is shown of %q is an address of its own: %q", stored, back)
		}
	}
	for text, want := range map[string]string{"Bücher": "xn--bcher-kva", "jo@BÜCHER.example": "jo@xn--bcher-kva.example", "josé": "xn--jos-dma", "r_s": "r_s", "100%": "100%", "": ""} {
		if got := searched(text); got != want {
			t.Errorf("%q is looked for as %q, want %q", text, got, want)
		}
	}
}
