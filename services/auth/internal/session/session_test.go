package session

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/commandcenter/commandcenter/pkg/errs"
)

var (
	monday = time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	rules  = Rules{Refresh: 7 * 24 * time.Hour, Longest: 30 * 24 * time.Hour, Grace: 2 * time.Second}
)

func at(d time.Duration) *time.Time { t := monday.Add(d); return &t }

func TestJudge(t *testing.T) {
	t.Parallel()
	live := Stored{
		Session: Session{ExpiresAt: monday.Add(time.Hour)}, Active: true, TokenExpires: monday.Add(time.Hour),
	}
	for name, c := range map[string]struct {
		change func(*Stored)
		want   Verdict
	}{
		"fresh":                                   {func(*Stored) {}, Trade},
		"last moment":                             {func(s *Stored) { s.TokenExpires = monday.Add(1) }, Trade},
		"expired this moment":                     {func(s *Stored) { s.TokenExpires = monday }, Refuse},
		"session over":                            {func(s *Stored) { s.Session.ExpiresAt = monday }, Refuse},
		"account switched off":                    {func(s *Stored) { s.Active = false }, Refuse},
		"session revoked":                         {func(s *Stored) { s.RevokedAt = at(-time.Hour) }, Refuse},
		"traded a moment ago":                     {func(s *Stored) { s.TradedAt = at(-time.Second) }, Refuse},
		"traded at the edge of the grace":         {func(s *Stored) { s.TradedAt = at(-2 * time.Second) }, Refuse},
		"traded before the grace":                 {func(s *Stored) { s.TradedAt = at(-2*time.Second - 1) }, Revoke},
		"traded long ago and expired":             {func(s *Stored) { s.TradedAt, s.TokenExpires = at(-time.Hour), monday.Add(-1) }, Revoke},
		"traded long ago, account switched off":   {func(s *Stored) { s.TradedAt, s.Active = at(-time.Hour), false }, Revoke},
		"traded long ago, session revoked":        {func(s *Stored) { s.TradedAt, s.RevokedAt = at(-time.Hour), at(-time.Minute) }, Refuse},
		"traded long ago, session over by itself": {func(s *Stored) { s.TradedAt, s.Session.ExpiresAt = at(-time.Hour), monday }, Refuse},
	} {
		s := live
		c.change(&s)
		if got := rules.Judge(s, monday); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

func TestSessionEndsAtTheLatestAfterTheLongest(t *testing.T) {
	t.Parallel()
	for used, want := range map[time.Duration]time.Duration{
		0: 7 * 24 * time.Hour, 20 * 24 * time.Hour: 27 * 24 * time.Hour, 29 * 24 * time.Hour: 30 * 24 * time.Hour,
	} {
		if got := rules.expiry(monday, monday.Add(used)); !got.Equal(monday.Add(want)) {
			t.Errorf("used after %v: until %v, want %v", used, got, monday.Add(want))
		}
	}
}

func TestSecretsAreRandomRecognisableAndNotKept(t *testing.T) {
	t.Parallel()
	a, hashA, err := newSecret()
	if err != nil {
		t.Fatal(err)
	}
	b, hashB, err := newSecret()
	if err != nil {
		t.Fatal(err)
	}
	if a == b || bytes.Equal(hashA, hashB) || len(hashA) != 32 {
		t.Fatal("two secrets are equal")
	}
	if !strings.HasPrefix(a, "ccr_") || len(a) != 4+43 || checkForm(a) != nil {
		t.Errorf("token %q", a)
	}
	for _, bad := range []string{"", "ccr_", a[4:], a + "A", a[:len(a)-1], "ccr_" + strings.Repeat("!", 43), strings.ToUpper(a), a + "\n"} {
		if checkForm(bad) == nil {
			t.Errorf("%q passes for a token", bad)
		}
	}
}

// shelf is a store of functions.
type shelf struct {
	open   func(Session, Next) error
	trade  func(hash []byte, judge func(Stored) (Verdict, Next)) (Stored, Verdict, bool, error)
	revoke func(id uuid.UUID, userID int64, reason string) (bool, error)
}

func (s shelf) Open(_ context.Context, n Session, _ int64, first Next) error { return s.open(n, first) }

func (s shelf) Trade(_ context.Context, hash []byte, _ time.Time, judge func(Stored) (Verdict, Next)) (Stored, Verdict, bool, error) {
	return s.trade(hash, judge)
}

func (s shelf) Revoke(_ context.Context, id uuid.UUID, userID int64, _ time.Time, reason string) (bool, error) {
	return s.revoke(id, userID, reason)
}

type press struct{ err error }

func (p press) Issue(_ context.Context, _ int64, _, session string, _ time.Time) (string, time.Duration, error) {
	return "access:" + session, time.Minute, p.err
}

func (press) IsAccess(_ context.Context, text string) bool { return strings.HasPrefix(text, "access:") }

func newService(s shelf, p press) Service {
	return Service{Sessions: s, Tokens: p, Rules: rules, Now: func() time.Time { return monday }}
}

func TestOpenKeepsTheHashOfWhatItGives(t *testing.T) {
	t.Parallel()
	var kept Next
	var opened Session
	s := newService(shelf{open: func(n Session, first Next) error { opened, kept = n, first; return nil }}, press{})
	pair, err := s.Open(t.Context(), Login{UserID: 7, Email: "jo@example.org"})
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(kept.Hash, digest(pair.Refresh)) || bytes.Contains(kept.Hash, []byte(pair.Refresh)) {
		t.Error("what is kept is not the hash")
	}
	if opened.UserID != 7 || !opened.ExpiresAt.Equal(monday.Add(rules.Refresh)) || !kept.ExpiresAt.Equal(opened.ExpiresAt) {
		t.Errorf("opened %+v, first token until %v", opened, kept.ExpiresAt)
	}
	if pair.Access != "access:"+opened.ID.String() || pair.ExpiresIn != time.Minute {
		t.Errorf("pair = %+v", pair)
	}
}

func TestRefreshTradesAndNamesTheSameSession(t *testing.T) {
	t.Parallel()
	token, hash, err := newSecret()
	if err != nil {
		t.Fatal(err)
	}
	id := uuid.New()
	var next Next
	s := newService(shelf{trade: func(h []byte, judge func(Stored) (Verdict, Next)) (Stored, Verdict, bool, error) {
		if !bytes.Equal(h, hash) {
			t.Error("asked for another token")
		}
		old := Stored{
			Session: Session{ID: id, UserID: 7, CreatedAt: monday.Add(-29 * 24 * time.Hour), ExpiresAt: monday.Add(time.Hour)},
			Email:   "jo@example.org", Active: true, TokenExpires: monday.Add(time.Hour),
		}
		v, n := judge(old)
		next = n
		return old, v, true, nil
	}}, press{})
	pair, err := s.Refresh(t.Context(), token, Place{})
	if err != nil || pair.Refresh == token || pair.Holder != (Holder{7, "jo@example.org", id}) {
		t.Fatalf("pair = %+v, err = %v", pair, err)
	}
	if !bytes.Equal(next.Hash, digest(pair.Refresh)) || !next.ExpiresAt.Equal(monday.Add(24*time.Hour)) {
		t.Errorf("next until %v, want the end of the session", next.ExpiresAt)
	}
}

func TestRefreshRefusesAlikeWhateverIsWrong(t *testing.T) {
	t.Parallel()
	token, _, err := newSecret()
	if err != nil {
		t.Fatal(err)
	}
	answer := func(v Verdict, found bool) shelf {
		return shelf{trade: func([]byte, func(Stored) (Verdict, Next)) (Stored, Verdict, bool, error) {
			return Stored{Session: Session{UserID: 7}}, v, found, nil
		}}
	}
	stolen := 0
	for name, c := range map[string]struct {
		s     shelf
		token string
		want  *errs.Error
	}{
		"unknown":         {answer(0, false), token, ErrInvalid},
		"worthless":       {answer(Refuse, true), token, ErrInvalid},
		"stolen":          {answer(Revoke, true), token, ErrInvalid},
		"garbled":         {answer(Trade, true), "garbled", ErrInvalid},
		"empty":           {answer(Trade, true), "", ErrInvalid},
		"an access token": {answer(Trade, true), "access:x", ErrType},
	} {
		s := newService(c.s, press{})
		s.Stolen = func(context.Context, Session) { stolen++ }
		if pair, err := s.Refresh(t.Context(), c.token, Place{}); !errors.Is(err, c.want) || pair != (Pair{}) {
			t.Errorf("%s: %+v, %v; want %v", name, pair, err, c.want)
		}
	}
	if stolen != 1 {
		t.Errorf("told of %d thefts, want 1", stolen)
	}
	if _, err := newService(answer(Revoke, true), press{}).Refresh(t.Context(), token, Place{}); !errors.Is(err, ErrInvalid) {
		t.Errorf("nobody to tell: %v", err)
	}
}

func TestCloseEndsTheCallersSessionAndTwiceIsFine(t *testing.T) {
	t.Parallel()
	id := uuid.New()
	calls := 0
	s := newService(shelf{revoke: func(got uuid.UUID, userID int64, reason string) (bool, error) {
		calls++
		if got != id || userID != 7 || reason != "logout" {
			t.Errorf("revoke %v of %d for %q", got, userID, reason)
		}
		return calls == 1, nil
	}}, press{})
	for range 2 {
		if err := s.Close(t.Context(), 7, id.String()); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(t.Context(), 7, ""); !errors.Is(err, ErrEnded) {
		t.Errorf("without a session: %v", err)
	}
}

func TestFaultsAreNoRefusals(t *testing.T) {
	t.Parallel()
	gone := errors.New("gone")
	token, _, err := newSecret()
	if err != nil {
		t.Fatal(err)
	}
	broken := shelf{
		open: func(Session, Next) error { return gone },
		trade: func([]byte, func(Stored) (Verdict, Next)) (Stored, Verdict, bool, error) {
			return Stored{}, 0, false, gone
		},
		revoke: func(uuid.UUID, int64, string) (bool, error) { return false, gone },
	}
	s := newService(broken, press{})
	if _, err := s.Open(t.Context(), Login{UserID: 7}); !errors.Is(err, gone) {
		t.Error(err)
	}
	if _, err := s.Refresh(t.Context(), token, Place{}); !errors.Is(err, gone) {
		t.Error(err)
	}
	if err := s.Close(t.Context(), 7, uuid.NewString()); !errors.Is(err, gone) {
		t.Error(err)
	}
	unsigned := newService(shelf{open: func(Session, Next) error { return nil }}, press{err: gone})
	if _, err := unsigned.Open(t.Context(), Login{UserID: 7}); !errors.Is(err, gone) {
		t.Error(err)
	}
}
