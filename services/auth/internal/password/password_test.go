package password

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
)

var cheap = Params{MemoryKiB: 64, Iterations: 1, Parallelism: 1}

func newHasher(t *testing.T, p Params, concurrent int) *Hasher {
	t.Helper()
	h, err := New(p, concurrent, 100)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestHashMatchesItsOwnPasswordOnly(t *testing.T) {
	t.Parallel()
	h := newHasher(t, cheap, 1)
	hash, err := h.Hash("tr0ub4dor and friends")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(hash, "$argon2id$v=19$m=64,t=1,p=1$") {
		t.Fatalf("hash = %q, want PHC form", hash)
	}
	for plain, want := range map[string]bool{
		"tr0ub4dor and friends": true, "tr0ub4dor and friend": false, "": false, "TR0UB4DOR AND FRIENDS": false,
	} {
		match, stale, err := h.Verify(plain, hash)
		if err != nil || match != want || stale {
			t.Errorf("Verify(%q) = %v, %v, %v; want %v, false, nil", plain, match, stale, err, want)
		}
	}
	if again, _ := h.Hash("tr0ub4dor and friends"); again == hash {
		t.Error("two hashes of one password are equal: no fresh salt")
	}
}

func TestSamePasswordComposedDifferentlyMatches(t *testing.T) {
	t.Parallel()
	h := newHasher(t, cheap, 1)
	hash, err := h.Hash("cafe\u0301-au-lait")
	if err != nil {
		t.Fatal(err)
	}
	if match, _, err := h.Verify("caf\u00e9-au-lait", hash); err != nil || !match {
		t.Fatalf("match = %v, %v; want true", match, err)
	}
}

func TestHashOfOtherCostsMatchesAndIsStale(t *testing.T) {
	t.Parallel()
	old, now := newHasher(t, cheap, 1), newHasher(t, Params{MemoryKiB: 128, Iterations: 2, Parallelism: 1}, 1)
	hash, err := old.Hash("a long enough one")
	if err != nil {
		t.Fatal(err)
	}
	if match, stale, err := now.Verify("a long enough one", hash); !match || !stale || err != nil {
		t.Errorf("right: %v, %v, %v; want true, true, nil", match, stale, err)
	}
	if match, stale, err := now.Verify("another one", hash); match || stale || err != nil {
		t.Errorf("wrong: %v, %v, %v; want false, false, nil", match, stale, err)
	}
}

func TestNoStoredHashNeverMatches(t *testing.T) {
	t.Parallel()
	h := newHasher(t, cheap, 1)
	if match, stale, err := h.Verify("", ""); match || stale || err != nil {
		t.Fatalf("Verify = %v, %v, %v; want false, false, nil", match, stale, err)
	}
}

func TestUnreadableStoredHashIsAnErrorAndCostsNothing(t *testing.T) {
	t.Parallel()
	h := newHasher(t, cheap, 1)
	good, err := h.Hash("whatever it is")
	if err != nil {
		t.Fatal(err)
	}
	for _, stored := range []string{
		"plain text", "$2b$12$abcdefghijklmnopqrstuu", "$argon2i$v=19$m=64,t=1,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAA",
		strings.Replace(good, "m=64", "m=4294967295", 1), strings.Replace(good, "t=1", "t=0", 1),
		strings.Replace(good, "p=1", "p=1,x=2", 1), strings.Replace(good, "v=19", "v=16", 1),
		strings.Replace(good, "m=64", "m=064", 1), good + "=", good[:len(good)-40], good + "$",
		"$argon2id$v=19$m=64,t=1,p=1$AA$" + strings.Repeat("A", 43),
	} {
		if match, _, err := h.Verify("whatever it is", stored); match || err == nil {
			t.Errorf("Verify against %q = %v, %v; want an error", stored, match, err)
		}
	}
}

func TestNewRefusesImpossibleCosts(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		p Params
		n int
	}{
		{Params{MemoryKiB: 4, Iterations: 1, Parallelism: 1}, 1}, {Params{MemoryKiB: 64, Parallelism: 1}, 1},
		{Params{MemoryKiB: 64, Iterations: 1}, 1}, {Params{MemoryKiB: 2 << 20, Iterations: 1, Parallelism: 1}, 1}, {cheap, 0},
	} {
		if _, err := New(c.p, c.n, 0); err == nil {
			t.Errorf("New(%+v, %d) succeeded", c.p, c.n)
		}
	}
}

func TestNoMoreHashesAtATimeThanAllowed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHasher(t, cheap, 2)
		var now, most, ran atomic.Int32
		release := make(chan struct{})
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				err := h.InTurn(t.Context(), func(context.Context) error {
					if n := now.Add(1); n > most.Load() {
						most.Store(n)
					}
					<-release
					now.Add(-1)
					ran.Add(1)
					return nil
				})
				if err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		close(release)
		wg.Wait()
		if most.Load() != 2 || ran.Load() != 8 {
			t.Fatalf("at most %d at a time, %d in all; want 2 and 8", most.Load(), ran.Load())
		}
	})
}

func TestWhoGivesUpWaitingIsNotServed(t *testing.T) {
	t.Parallel()
	h := newHasher(t, cheap, 1)
	ctx, cancel := context.WithCancel(t.Context())
	err := h.InTurn(t.Context(), func(context.Context) error {
		cancel()
		return h.InTurn(ctx, func(context.Context) error { t.Error("ran"); return nil })
	})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("err = %v, want cancelled", err)
	}
	if err := h.InTurn(ctx, func(context.Context) error { t.Error("ran"); return nil }); !errors.Is(err, context.Canceled) {
		t.Fatalf("err = %v, want cancelled", err)
	}
}

func TestMoreThanMayWaitAreTurnedAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h, err := New(cheap, 1, 2)
		if err != nil {
			t.Fatal(err)
		}
		release := make(chan struct{})
		var served, busy atomic.Int32
		var wg sync.WaitGroup
		for range 6 {
			wg.Go(func() {
				err := h.InTurn(t.Context(), func(context.Context) error { <-release; served.Add(1); return nil })
				if errors.Is(err, ErrBusy) {
					busy.Add(1)
				} else if err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		close(release)
		wg.Wait()
		if served.Load() != 3 || busy.Load() != 3 {
			t.Fatalf("%d served, %d turned away; want 3 and 3", served.Load(), busy.Load())
		}
		if err := h.InTurn(t.Context(), func(context.Context) error { return nil }); err != nil {
			t.Errorf("afterwards: %v", err)
		}
	})
}

func TestPolicy(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		plain string
		near  []string
		want  string // type of the fault, "" for accepted
	}{
		{"short", nil, "string_too_short"},
		{"1234567", nil, "string_too_short"},
		{"éééaбв7", nil, "string_too_short"},
		{"xK4 long", nil, ""},
		{"пароль-мой", nil, ""},
		{strings.Repeat("Ab3!", 32), nil, ""},
		{strings.Repeat("Ab3!", 32) + "x", nil, "string_too_long"},
		{"password", nil, "password_too_common"},
		{"PassWord", nil, "password_too_common"},
		{"Password1!", nil, "password_too_common"},
		{"password2026!", nil, "password_too_common"},
		{"welcome123", nil, "password_too_common"},
		{"changeme!", nil, "password_too_common"},
		{"CommandCenter1", nil, "password_too_common"},
		{"12345678", nil, "password_too_common"},
		{"qwertyuiop", nil, "password_too_common"},
		{"aaaaaaaaaaaa", nil, "password_too_common"},
		{"abcabcabcabc", nil, "password_too_common"},
		{"dragon-8472910473", nil, ""},
		{"jo@example.org", []string{"jo@example.org", "jo"}, "password_too_common"},
		{"JO@example.ORG", []string{"jo@example.org"}, "password_too_common"},
		{"correct horse battery", []string{"", "jo"}, ""},
	} {
		got := ""
		if f := Check(c.plain, c.near...); f != nil {
			got = f.Type
			if len(c.plain) > MinLength && strings.Contains(f.Msg, c.plain) {
				t.Errorf("%q: the message repeats the password", c.plain)
			}
		}
		if got != c.want {
			t.Errorf("Check(%q) = %q, want %q", c.plain, got, c.want)
		}
	}
}

func TestEveryLineOfTheListIsFound(t *testing.T) {
	t.Parallel()
	lines := strings.Split(strings.TrimSuffix(common, "\n"), "\n")
	if !slices.IsSorted(lines) || len(lines) < 10000 {
		t.Fatalf("%d lines, sorted: %v; want 10000 or more, sorted by bytes", len(lines), slices.IsSorted(lines))
	}
	for _, line := range lines {
		if !listed(line) {
			t.Fatalf("%q is in the list and not found", line)
		}
		if listed(line + "\x01") {
			t.Fatalf("%q is not in the list and found", line+"\x01")
		}
	}
	for _, absent := range []string{"", "!", "~~~~~~~~~~", "\n", "zzzzzzzzzzzzz"} {
		if listed(absent) {
			t.Errorf("%q found", absent)
		}
	}
}

func BenchmarkHashOfDefaultCosts(b *testing.B) {
	h, err := New(Params{MemoryKiB: 19456, Iterations: 2, Parallelism: 1}, 1, 1)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := h.Hash("correct horse battery"); err != nil {
			b.Fatal(err)
		}
	}
}
