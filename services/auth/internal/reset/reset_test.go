package reset

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/tenant"

	"github.com/commandcenter/commandcenter/services/auth/internal/user"
)

var monday = time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)

// desk keeps one reset, and counts.
type desk struct {
	draft          Draft
	inTurn         bool
	hashes, failed int
	record         user.Attempts
	used           string
	gone           bool // between looking and using
	err            error
}

func (d *desk) Issue(_ context.Context, draft Draft) (user.User, error) {
	d.draft = draft
	return user.User{ID: draft.UserID, Email: "jo@example.org"}, d.err
}

func (d *desk) Find(_ context.Context, key []byte, _ string, _ time.Time) (Found, error) {
	f := Found{Attempts: d.record}
	if string(key) == string(d.draft.Key) {
		f.User = user.User{ID: 7, Email: "jo@example.org"}
	}
	return f, d.err
}

func (d *desk) Failed(_ context.Context, _ string, _ time.Time, next func(user.Attempts) user.Attempts) error {
	d.failed++
	d.record = next(d.record)
	return nil
}

func (d *desk) Use(_ context.Context, _ []byte, _ user.User, _, hash string, _ time.Time) error {
	if d.gone {
		return ErrInvalid
	}
	d.used = hash
	return nil
}

func (d *desk) Fault(plain string, near ...string) (string, string) {
	for _, n := range append(near, "short") {
		if plain == n {
			return "password_too_common", "too common"
		}
	}
	return "", ""
}

func (d *desk) InTurn(ctx context.Context, work func(ctx context.Context) error) error {
	d.inTurn = true
	defer func() { d.inTurn = false }()
	return work(ctx)
}

func (d *desk) Hash(plain string) (string, error) {
	if !d.inTurn {
		return "", errors.New("out of turn")
	}
	d.hashes++
	return "hash:" + plain, nil
}

func service(d *desk) Service {
	return Service{
		Resets: d, Passwords: d, Life: time.Hour, Page: "https://cc.example.org/reset?a=1", Now: func() time.Time { return monday },
		Throttle: user.Throttle{Failures: 2, Window: time.Minute, Lock: time.Minute, MaxLock: time.Hour},
	}
}

func TestASecretThatIsNoneCostsAsMuchAsOneThatIs(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		secret func(good string) string
		gone   bool
		err    error
	}{
		"good":                  {func(s string) string { return s }, false, nil},
		"used by another":       {func(s string) string { return s }, true, ErrInvalid},
		"unknown":               {func(string) string { s, _, _ := newSecret(); return s }, false, ErrInvalid},
		"no secret":             {func(string) string { return "x" }, false, ErrInvalid},
		"without its beginning": {func(s string) string { return s[len(Prefix):] }, false, ErrInvalid},
	} {
		d := &desk{gone: c.gone}
		s := service(d)
		is, err := s.Issue(t.Context(), tenant.Identity{UserID: 1, Superuser: true}, 7, true)
		if err != nil || is.Link != "https://cc.example.org/reset?a=1#"+is.Secret || !d.draft.AddPassword || d.draft.By.UserID != 1 || !is.ExpiresAt.Equal(monday.Add(time.Hour)) {
			t.Fatalf("%+v, %+v, %v", is, d.draft, err)
		}
		shown, err := s.Show(t.Context(), c.secret(is.Secret), "192.0.2.2")
		if known := errors.Is(c.err, nil) || c.gone; known != (err == nil && shown.User.ID == 7) || known != (d.failed == 0) {
			t.Errorf("%s: shown %+v, %v", name, shown, err)
		}
		d.failed, d.record = 0, user.Attempts{}
		_, err = s.Use(t.Context(), c.secret(is.Secret), "fine", "192.0.2.1")
		if !errors.Is(err, c.err) || d.hashes != 1 || (d.failed == 1) != (c.err != nil) || (d.used == "hash:fine") != (c.err == nil) {
			t.Errorf("%s: %v, %+v", name, err, d)
		}
	}
}

func TestAPasswordThatIsRefusedLeavesTheReset(t *testing.T) {
	t.Parallel()
	d := &desk{}
	s := service(d)
	is, err := s.IssueHere(t.Context(), "operator:ada@host", 7, false)
	if err != nil || d.draft.By.UserID != 0 || d.draft.Operator != "operator:ada@host" {
		t.Fatalf("%+v, %v", d.draft, err)
	}
	for _, fresh := range []string{"short", "jo", "jo@example.org"} {
		if _, err := s.Use(t.Context(), is.Secret, fresh, ""); errs.KindOf(err) != errs.Invalid || d.used != "" || d.failed != 0 {
			t.Errorf("%q: %v, %+v", fresh, err, d)
		}
	}
	for range 2 {
		if _, err := s.Use(t.Context(), "x", "fine", ""); !errors.Is(err, ErrInvalid) {
			t.Error(err)
		}
	}
	if _, err := s.Use(t.Context(), is.Secret, "fine", ""); errs.KindOf(err) != errs.RateLimited || d.used != "" {
		t.Errorf("after too many: %v", err)
	}
	if _, err := s.Issue(t.Context(), tenant.Identity{UserID: 2}, 7, false); !errors.Is(err, user.ErrRank) {
		t.Errorf("by who is no superuser: %v", err)
	}
}
