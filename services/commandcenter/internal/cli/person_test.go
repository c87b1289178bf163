package cli

import (
	"strings"
	"testing"
)

func TestAProgramIsShownInFewWords(t *testing.T) {
	t.Parallel()
	for agent, want := range map[string]string{
		"": "", "commandcenter/0.1.0": "commandcenter/0.1.0", "curl/8.5.0": "curl/8.5.0",
		"Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0":                                                            "Firefox 128, Linux",
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36 Edg/130.0.2849.68": "Edge 130, Windows",
		"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.4 Safari/605.1.15":             "Safari 17, macOS",
		"Mozilla/5.0 (Linux; Android 14) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Mobile Safari/537.36":                      "Chrome 131, Android",
		"Mozilla/5.0 (compatible) Firefox/": "Firefox",
		strings.Repeat("x", 100):            strings.Repeat("x", 39) + "…",
	} {
		if got := program(agent); got != want {
			t.Errorf("%q is shown as %q, want %q", agent, got, want)
		}
	}
}

func TestAnAddressIsKnownInEverySpelling(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		a, b string
		same bool
	}{
		{"jo@bücher.example", " Jo@xn--bcher-kva.example", true}, {"jo@BÜCHER.example", "jo@bücher.example", true}, {"jo@example.org", "JO@example.org", true},
		{"jo@example.org", "al@example.org", false}, {"jo", "jo@", true}, {"jo@a b", "jo@a b", true},
	} {
		if got := sameAddress(c.a, c.b); got != c.same {
			t.Errorf("%q and %q: %v", c.a, c.b, got)
		}
	}
}
