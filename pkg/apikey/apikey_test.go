package apikey_test

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/commandcenter/commandcenter/pkg/apikey"
)

func TestAKeyIsReadAsItWasMade(t *testing.T) {
	t.Parallel()
	form := regexp.MustCompile(`^cc_[0-9A-Za-z]{8}_[0-9A-Za-z]{49}$`)
	seen := map[string]bool{}
	for range 1000 {
		k, err := apikey.New("cc")
		if err != nil {
			t.Fatal(err)
		}
		if !form.MatchString(k.Reveal()) || seen[k.Reveal()] || !strings.HasPrefix(k.Reveal(), "cc_"+k.Prefix()+"_") || !apikey.Is("cc", k.Reveal()) {
			t.Fatalf("made a key with prefix %q", k.Prefix())
		}
		seen[k.Reveal()] = true
		got, err := apikey.Parse("cc", k.Reveal())
		if err != nil || got != k || got.Hash() != k.Hash() {
			t.Fatalf("read as %v, %v", got, err)
		}
	}
}

func TestALookalikeIsNoKey(t *testing.T) {
	t.Parallel()
	k, err := apikey.New("cc")
	if err != nil {
		t.Fatal(err)
	}
	good := k.Reveal()
	other := map[bool]string{true: "1", false: "0"}[good[12] == '0']
	for name, text := range map[string]string{
		"nothing": "", "of another brand": "xx" + good[2:], "too short": good[:len(good)-1], "too long": good + "0", "mistyped": good[:12] + other + good[13:],
		"two swapped": good[:20] + swap(good[20:22]) + good[22:], "no underscore": strings.Replace(good, "_"+good[12:], "-"+good[12:], 1),
		"a foreign digit": good[:12] + "é" + good[14:], "another prefix": "cc_" + swap(good[3:5]) + good[5:], "a space": " " + good, "a line": good + "\n",
	} {
		if text == good {
			continue // the two were the same
		}
		if _, err := apikey.Parse("cc", text); !errors.Is(err, apikey.ErrForm) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func swap(s string) string { return s[1:] + s[:1] }

func TestAKeyIsNotPrinted(t *testing.T) {
	t.Parallel()
	k, err := apikey.New("cc")
	if err != nil {
		t.Fatal(err)
	}
	secret := k.Reveal()[12:]
	for _, verb := range []string{"%v", "%s", "%+v", "%#v", "%q"} {
		if out := fmt.Sprintf(verb, k); strings.Contains(out, secret) || !strings.Contains(out, k.Prefix()) {
			t.Errorf("%s shows it", verb)
		}
	}
}
