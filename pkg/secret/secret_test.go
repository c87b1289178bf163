package secret_test

import (
	"bytes"
	"encoding/gob"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/tink-crypto/tink-go/v2/core/registry"
	"github.com/tink-crypto/tink-go/v2/testing/fakekms"

	"github.com/commandcenter/commandcenter/pkg/secret"
	"github.com/commandcenter/commandcenter/pkg/secret/secrettest"
)

const hush = "ghp_0123456789abcdefWXYZ"

var home = secret.Place{Schema: "arena", Table: "providers", Column: "key", Project: 7, Row: "12"}

func seal(t *testing.T, r *secret.Ring, p secret.Place, plain string) []byte {
	t.Helper()
	sealed, err := r.Seal(p, []byte(plain))
	if err != nil {
		t.Fatal(err)
	}
	return sealed
}

func TestWhatWasSealedOpensAtItsPlace(t *testing.T) {
	t.Parallel()
	r := secrettest.Ring(t)
	for _, plain := range []string{"", "x", hush, strings.Repeat("long", 10000)} {
		sealed := seal(t, r, home, plain)
		if len(plain) > 3 && bytes.Contains(sealed, []byte(plain[:4])) {
			t.Error("lies in the clear")
		}
		if bytes.Equal(sealed, seal(t, r, home, plain)) {
			t.Error("equal secrets look equal")
		}
		if got, err := r.Open(home, sealed); err != nil || string(got.Reveal()) != plain {
			t.Errorf("%v, %v", got, err)
		}
	}
}

func TestASealedValueOpensNowhereElse(t *testing.T) {
	t.Parallel()
	r := secrettest.Ring(t)
	sealed := seal(t, r, home, hush)
	for name, move := range map[string]func(p *secret.Place){
		"schema":  func(p *secret.Place) { p.Schema = "webhooks" },
		"table":   func(p *secret.Place) { p.Table = "agents" },
		"column":  func(p *secret.Place) { p.Column = "token" },
		"project": func(p *secret.Place) { p.Project = 8 },
		"row":     func(p *secret.Place) { p.Row = "13" },
		"shifted": func(p *secret.Place) { p.Table, p.Column = "providersk", "ey" },
	} {
		p := home
		move(&p)
		if v, err := r.Open(p, sealed); !errors.Is(err, secret.ErrSealed) || v.Reveal() != nil {
			t.Errorf("another %s: %v", name, err)
		}
	}
}

func TestNoByteOfASealedValueCanBeChanged(t *testing.T) {
	t.Parallel()
	r := secrettest.Ring(t)
	sealed := seal(t, r, home, hush)
	for i := range sealed {
		bad := bytes.Clone(sealed)
		bad[i] ^= 1
		if _, err := r.Open(home, bad); err == nil {
			t.Fatalf("byte %d of %d", i, len(sealed))
		}
		if _, err := r.Open(home, sealed[:i]); err == nil {
			t.Fatalf("cut to %d bytes", i)
		}
	}
}

func TestAnotherRingOpensNothing(t *testing.T) {
	t.Parallel()
	sealed := seal(t, secrettest.Ring(t), home, hush)
	if _, err := secrettest.Ring(t).Open(home, sealed); !errors.Is(err, secret.ErrKey) {
		t.Error(err)
	}
}

func TestARingThatIsRotatedIsSeenByWhoeverHasItOpen(t *testing.T) {
	t.Parallel()
	src := secrettest.New(t)
	writer, reader := secrettest.Open(t, src), secrettest.Open(t, src)
	old := seal(t, writer, home, hush)
	first, err := secret.KeyOf(old)
	if err != nil {
		t.Fatal(err)
	}
	rotate := func(keep bool) uint32 {
		text, err := src.Keys()
		if err == nil {
			text, err = secret.Rotated(text, nil, func(uint32) bool { return keep })
		}
		if err != nil {
			t.Fatal(err)
		}
		src.Set(text, nil)
		id, err := writer.Primary()
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	second := rotate(false) // the key that was primary is kept, whatever is said
	fresh := seal(t, writer, home, hush)
	if id, _ := secret.KeyOf(fresh); id != second || id == first {
		t.Errorf("sealed under %08x; %08x was replaced by %08x", id, first, second)
	}
	for _, sealed := range [][]byte{old, fresh} {
		if v, err := reader.Open(home, sealed); err != nil || string(v.Reveal()) != hush {
			t.Error(err)
		}
	}
	rotate(true)
	if !secrettest.Open(t, src).Holds(first) {
		t.Error("a key that is to be kept is gone")
	}
	rotate(false)
	if _, err := secrettest.Open(t, src).Open(home, old); !errors.Is(err, secret.ErrKey) {
		t.Error("a key that nobody needs is still there:", err)
	}
}

func TestAnAnnouncedKeyOpensBeforeItSeals(t *testing.T) {
	t.Parallel()
	src := secrettest.New(t)
	text, _ := src.Keys()
	first, _ := secrettest.Open(t, src).Primary()
	given, err := secret.Announced(text, nil)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := secret.Announced(given, nil); err != nil || !bytes.Equal(again, given) {
		t.Error("announced twice:", err)
	}
	src.Set(given, nil)
	behind := secrettest.Open(t, src) // gets no later text
	if now, _ := behind.Primary(); now != first {
		t.Error("an announced key seals")
	}
	next, err := secret.Rotated(given, nil, func(uint32) bool { return false })
	if err != nil {
		t.Fatal(err)
	}
	ahead, err := secret.Open(secret.Text(next), nil)
	if err != nil {
		t.Fatal(err)
	}
	if now, _ := ahead.Primary(); now == first || !ahead.Holds(first) {
		t.Error("the announced key is not the one that seals")
	}
	if v, err := behind.Open(home, seal(t, ahead, home, hush)); err != nil || string(v.Reveal()) != hush {
		t.Error("whoever has the announced key cannot open what it sealed:", err)
	}
}

func TestARingThatCannotBeReadSealsNothingAndSaysNothing(t *testing.T) {
	t.Parallel()
	src := secrettest.New(t)
	r := secrettest.Open(t, src)
	sealed := seal(t, r, home, hush)
	text, _ := src.Keys()
	for name, damaged := range map[string][]byte{"empty": nil, "cut": text[:len(text)/2], "other": []byte(`{"key":"` + hush + `"}`)} {
		src.Set(damaged, nil)
		if _, err := r.Seal(home, []byte(hush)); err == nil || strings.Contains(err.Error(), hush) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := secret.Rotated(damaged, nil, func(uint32) bool { return true }); err == nil {
			t.Errorf("%s: rotated", name)
		}
		if _, err := secret.Open(secret.Text(damaged), nil); err == nil {
			t.Errorf("%s: opened", name)
		}
	}
	src.Set(nil, errors.New("no such file"))
	if _, err := r.Primary(); err == nil {
		t.Error("no error")
	}
	if v, err := r.Open(home, sealed); err != nil || string(v.Reveal()) != hush {
		t.Error("what it has read is still good:", err)
	}
}

func TestTheRingItselfMayBeSealedByAKMS(t *testing.T) {
	t.Parallel()
	if m, err := secret.Master(""); m != nil || err != nil {
		t.Error(m, err)
	}
	if _, err := secret.Master("no-such-kms://key"); err == nil {
		t.Error("a KMS that nobody knows")
	}
	uri, err := fakekms.NewKeyURI()
	if err != nil {
		t.Fatal(err)
	}
	client, err := fakekms.NewClient(uri)
	if err != nil {
		t.Fatal(err)
	}
	registry.RegisterKMSClient(client)
	master, err := secret.Master(uri)
	if err != nil {
		t.Fatal(err)
	}
	text, err := secret.NewKeys(master)
	if err == nil {
		text, err = secret.Rotated(text, master, func(uint32) bool { return true })
	}
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(text, []byte(`"keyData"`)) {
		t.Error("the keys lie in the clear")
	}
	if _, err := secret.Open(secret.Text(text), nil); err == nil {
		t.Error("opened without the KMS")
	}
	r, err := secret.Open(secret.Text(text), master)
	if err != nil {
		t.Fatal(err)
	}
	if v, err := r.Open(home, seal(t, r, home, hush)); err != nil || string(v.Reveal()) != hush {
		t.Error(err)
	}
}

func TestAValueIsPrintedNowhere(t *testing.T) {
	t.Parallel()
	v := secret.NewValue([]byte(hush))
	var out bytes.Buffer
	for _, h := range []slog.Handler{slog.NewJSONHandler(&out, nil), slog.NewTextHandler(&out, nil)} {
		log := slog.New(h)
		log.Info("x", "v", v, "p", &v, "in", struct{ V secret.Value }{v}, "list", []secret.Value{v}, slog.Group("g", "v", v))
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t"} {
		fmt.Fprintf(&out, verb+verb+verb, v, &v, struct{ V secret.Value }{v})
	}
	fmt.Fprint(&out, v, v.String(), v.GoString(), fmt.Errorf("no: %v", v))
	if err := json.NewEncoder(&out).Encode(map[string]any{"v": v, "p": &v}); err != nil {
		t.Fatal(err)
	}
	if err := gob.NewEncoder(&out).Encode(v); err != nil {
		t.Fatal(err)
	}
	if text, err := v.MarshalText(); err != nil || string(text) != "[secret]" {
		t.Error(string(text), err)
	}
	for _, form := range []string{hush, fmt.Sprintf("%x", hush), fmt.Sprintf("%X", hush), strings.Trim(fmt.Sprint([]byte(hush)), "[]")} {
		if strings.Contains(out.String(), form) {
			t.Errorf("printed as %s", form)
		}
	}
	if strings.Count(out.String(), "[secret]") < 30 {
		t.Error(out.String())
	}
}

func TestOnlyTheEndOfALongSecretIsShown(t *testing.T) {
	t.Parallel()
	for plain, want := range map[string]string{
		"": "", "short": "********", "fifteen-letters": "********", "sixteen-letters!": "********ers!", hush: "********WXYZ",
		"ключ-ключ-ключ-ключ": "********ключ", strings.Repeat("\xff", 32): "********",
	} {
		if got := secret.NewValue([]byte(plain)).Masked(); got != want {
			t.Errorf("%q is shown as %q, want %q", plain, got, want)
		}
	}
}
