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
