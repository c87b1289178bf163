package user

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/commandcenter/commandcenter/pkg/errs"
)

// passwords is a hasher whose hash is the password with a mark.
type passwords struct {
	stale  bool
	broken error
	turns  int
	inTurn bool
}

func (p *passwords) InTurn(ctx context.Context, work func(context.Context) error) error {
	p.turns++
	p.inTurn = true
	defer func() { p.inTurn = false }()
	return work(ctx)
}

func (p *passwords) Hash(plain string) (string, error) { return "hash:" + plain, p.broken }

func (p *passwords) Verify(plain, stored string) (bool, bool, error) {
	match := stored == "hash:"+plain
	return match, match && p.stale, p.broken
}

func (p *passwords) Fault(plain string, near ...string) (string, string) {
	if len(plain) < 8 {
		return "string_too_short", "too short"
	}
	if slices.Contains(near, plain) {
		return "password_too_common", "too close"
	}
	return "", ""
}

// book keeps one account in memory.
type book struct {
	t        *testing.T
	p        *passwords
	taken    bool
	race     error
	cred     Credentials
	from     map[string]Attempts // by client
	asked    []string
	failed   []string
	loggedIn int
	rehash   string
	broken   error
	made     Draft
}

func (b *book) Registered(context.Context, string) (bool, error) { return b.taken, b.broken }

func (b *book) Create(_ context.Context, d Draft, now time.Time) (User, error) {
	b.made = d
	return User{ID: 7, Email: d.Email, FullName: d.FullName, Active: true, Superuser: d.Superuser, CreatedAt: now}, b.race
}

func (b *book) Credentials(_ context.Context, email, client string) (Credentials, error) {
	if !b.p.inTurn {
		b.t.Error("looked up outside of the turn: guesses at the same time would pass the lock")
	}
	b.asked = append(b.asked, email)
	c := b.cred
	c.Attempts = b.from[client]
	if email != b.cred.User.Email {
		c.User, c.Hash = User{}, ""
	}
	return c, b.broken
}

func (b *book) Failed(_ context.Context, email, client string, _ time.Time, next func(here, all Attempts) (Attempts, Attempts)) error {
	if !b.p.inTurn {
		b.t.Error("counted outside of the turn")
	}
	b.failed = append(b.failed, email)
	b.from[client], b.cred.Account = next(b.from[client], b.cred.Account)
	return b.broken
}

func (b *book) LoggedIn(_ context.Context, _ User, client string, _ time.Time, rehash string) error {
	b.loggedIn++
	b.rehash = rehash
	delete(b.from, client)
	b.cred.Account = Attempts{}
	return b.broken
}

func clockAt(at *time.Time) func() time.Time { return func() time.Time { return *at } }

func newAuthenticator(t *testing.T, active bool) (Authenticator, *book, *time.Time) {
	t.Helper()
	now := monday
	p := &passwords{}
	b := &book{t: t, p: p, from: map[string]Attempts{}, cred: Credentials{
		User: User{ID: 7, Email: "jo@example.org", Active: active}, Hash: "hash:right password",
	}}
	return Authenticator{Passwords: p, Accounts: b, Throttle: throttle, Ceiling: ceiling, Now: clockAt(&now)}, b, &now
}

func TestAuthenticateFindsTheAccountByAnySpelling(t *testing.T) {
	t.Parallel()
	a, b, _ := newAuthenticator(t, true)
	u, err := a.Authenticate(t.Context(), "  JO@Example.ORG ", "right password", "192.0.2.1")
	if err != nil || u.ID != 7 || b.loggedIn != 1 || b.rehash != "" {
		t.Fatalf("u = %+v, err = %v, logins noted: %d, rehash %q", u, err, b.loggedIn, b.rehash)
	}
}

func TestUnknownAddressAndWrongPasswordAreRefusedAlike(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ email, password string }{
		{"jo@example.org", "wrong password"}, {"nobody@example.org", "right password"}, {"no address", "right password"}, {"", ""},
	} {
		a, b, _ := newAuthenticator(t, true)
		_, err := a.Authenticate(t.Context(), c.email, c.password, "192.0.2.1")
		if !errors.Is(err, ErrIncorrect) || errs.As(err).Msg != ErrIncorrect.Msg {
			t.Errorf("%q: err = %v, want %v", c.email, err, ErrIncorrect)
		}
		if b.p.turns != 1 || b.loggedIn != 0 {
			t.Errorf("%q: turns %d, logins %d", c.email, b.p.turns, b.loggedIn)
		}
	}
}

func TestInactiveAccountIsToldOnlyToWhoKnowsThePassword(t *testing.T) {
	t.Parallel()
	a, _, _ := newAuthenticator(t, false)
	if _, err := a.Authenticate(t.Context(), "jo@example.org", "wrong password", "192.0.2.1"); !errors.Is(err, ErrIncorrect) {
		t.Errorf("wrong password: %v", err)
	}
	if _, err := a.Authenticate(t.Context(), "jo@example.org", "right password", "192.0.2.1"); !errors.Is(err, ErrInactive) {
		t.Errorf("right password: %v", err)
	}
}

func TestLockRefusesEvenTheRightPasswordUntilItOpens(t *testing.T) {
	t.Parallel()
	a, b, now := newAuthenticator(t, true)
	for range throttle.Failures {
		if _, err := a.Authenticate(t.Context(), "jo@example.org", "wrong password", "192.0.2.1"); !errors.Is(err, ErrIncorrect) {
			t.Fatal(err)
		}
	}
	*now = now.Add(5 * time.Minute)
	_, err := a.Authenticate(t.Context(), "jo@example.org", "right password", "192.0.2.1")
	if !errors.Is(err, ErrLocked) || errs.As(err).RetryAfter != 10*time.Minute {
		t.Fatalf("err = %v, retry after %v; want locked for 10m", err, errs.As(err).RetryAfter)
	}
	if len(b.failed) != throttle.Failures {
		t.Errorf("%d failures counted: a refusal by the lock is none", len(b.failed))
	}
	*now = now.Add(10 * time.Minute)
	if _, err := a.Authenticate(t.Context(), "jo@example.org", "right password", "192.0.2.1"); err != nil {
		t.Fatalf("after the lock: %v", err)
	}
	if len(b.from) > 0 || b.cred.Account != (Attempts{}) {
		t.Errorf("records after a login = %+v, %+v; want clean", b.from, b.cred.Account)
	}
}

func TestFailuresFromElsewhereDoNotLockTheAccountForItsOwner(t *testing.T) {
	t.Parallel()
	a, _, _ := newAuthenticator(t, true)
	for range 2 * throttle.Failures {
		_, _ = a.Authenticate(t.Context(), "jo@example.org", "wrong password", "203.0.113.7")
	}
	if _, err := a.Authenticate(t.Context(), "jo@example.org", "right password", "203.0.113.7"); !errors.Is(err, ErrLocked) {
		t.Errorf("from where it failed: %v", err)
	}
	if _, err := a.Authenticate(t.Context(), "jo@example.org", "right password", "198.51.100.1"); err != nil {
		t.Errorf("from elsewhere: %v", err)
	}
}

func TestFailuresFromVeryManyAddressesLockTheAccountForGrowingTimes(t *testing.T) {
	t.Parallel()
	a, _, now := newAuthenticator(t, true)
	for round, want := range []time.Duration{time.Minute, 2 * time.Minute, 4 * time.Minute} {
		for i := range ceiling.Failures {
			client := fmt.Sprintf("203.0.%d.%d", round, i)
			if _, err := a.Authenticate(t.Context(), "jo@example.org", "wrong password", client); !errors.Is(err, ErrIncorrect) {
				t.Fatalf("round %d, failure %d: %v", round, i, err)
			}
		}
		_, err := a.Authenticate(t.Context(), "jo@example.org", "right password", "198.51.100.1")
		if !errors.Is(err, ErrLocked) || errs.As(err).RetryAfter != want {
			t.Fatalf("round %d: %v after %v, want locked for %v", round, err, errs.As(err).RetryAfter, want)
		}
		*now = now.Add(want)
	}
	if _, err := a.Authenticate(t.Context(), "jo@example.org", "right password", "198.51.100.1"); err != nil {
		t.Errorf("after the lock: %v", err)
	}
}

func TestStaleHashIsReplacedAtLogin(t *testing.T) {
	t.Parallel()
	a, b, _ := newAuthenticator(t, true)
	b.p.stale = true
	if _, err := a.Authenticate(t.Context(), "jo@example.org", "right password", "192.0.2.1"); err != nil || b.rehash != "hash:right password" {
		t.Fatalf("rehash = %q, err = %v", b.rehash, err)
	}
}

func TestFaultsOfAuthenticationAreNoRefusals(t *testing.T) {
	t.Parallel()
	for name, breakIt := range map[string]func(*book){
		"database": func(b *book) { b.broken = errors.New("gone") },
		"hash":     func(b *book) { b.p.broken = errors.New("unreadable") },
	} {
		for _, password := range []string{"right password", "wrong password"} {
			a, b, _ := newAuthenticator(t, true)
			breakIt(b)
			if _, err := a.Authenticate(t.Context(), "jo@example.org", password, "192.0.2.1"); err == nil || errs.KindOf(err) != errs.Internal {
				t.Errorf("%s, %s: %v, want a fault", name, password, err)
			}
		}
	}
}

func newRegistrar(t *testing.T) (Registrar, *book) {
	t.Helper()
	now := monday
	p := &passwords{}
	b := &book{t: t, p: p}
	return Registrar{Passwords: p, Accounts: b, Now: clockAt(&now)}, b
}

func text(s string) *string { return &s }

func TestRegisterKeepsNormalFormsAndNoPassword(t *testing.T) {
	t.Parallel()
	r, b := newRegistrar(t)
	u, err := r.Register(t.Context(), Registration{Email: " Jo@Example.org", Password: "right password", FullName: text("  Jo Smith ")})
	if err != nil || u.Email != "jo@example.org" || *u.FullName != "Jo Smith" || u.Superuser {
		t.Fatalf("u = %+v, err = %v", u, err)
	}
	if b.made.Hash != "hash:right password" {
		t.Errorf("hash = %q", b.made.Hash)
	}
	if u, err := r.Superuser(t.Context(), Registration{Email: "root@example.org", Password: "right password", FullName: text(" ")}); err != nil || !u.Superuser || u.FullName != nil {
		t.Errorf("superuser = %+v, %v", u, err)
	}
}

func TestRegisterNamesEveryFieldAtFault(t *testing.T) {
	t.Parallel()
	long := make([]rune, 256)
	for i := range long {
		long[i] = 'é'
	}
	for _, c := range []struct {
		in   Registration
		want []string // fields
	}{
		{Registration{Email: "no address", Password: "short", FullName: text(string(long))}, []string{"email", "password", "full_name"}},
		{Registration{Email: "jo@example.org", Password: "short"}, []string{"password"}},
		{Registration{Email: "jo", Password: "right password"}, []string{"email"}},
		{Registration{Email: "jo@example.org", Password: "right password", FullName: text("a\x00b")}, []string{"full_name"}},
		{Registration{Email: "longenough@example.org", Password: "longenough"}, []string{"password"}},
		{Registration{Email: "jo@example.org", Password: "jo@example.org"}, []string{"password"}},
		{Registration{}, []string{"email", "password"}},
	} {
		r, b := newRegistrar(t)
		_, err := r.Register(t.Context(), c.in)
		e := errs.As(err)
		var got []string
		for _, f := range e.Fields {
			got = append(got, f.Loc[1].(string))
			if f.Loc[1] == "password" && f.Input != nil {
				t.Error("the answer repeats the password")
			}
		}
		if e.Kind != errs.Invalid || !slices.Equal(got, c.want) {
			t.Errorf("%+v: %v at %v, want invalid at %v", c.in, e.Kind, got, c.want)
		}
		if b.p.turns != 0 {
			t.Error("hashed before the fields were checked")
		}
	}
}

func TestRegisterRefusesATakenAddressBeforeItHashes(t *testing.T) {
	t.Parallel()
	r, b := newRegistrar(t)
	b.taken = true
	if _, err := r.Register(t.Context(), Registration{Email: "jo@example.org", Password: "right password"}); !errors.Is(err, ErrRegistered) || b.p.turns != 0 {
		t.Fatalf("err = %v, turns = %d", err, b.p.turns)
	}
	b.taken, b.race = false, ErrRegistered
	if _, err := r.Register(t.Context(), Registration{Email: "jo@example.org", Password: "right password"}); !errors.Is(err, ErrRegistered) {
		t.Fatalf("lost race: err = %v", err)
	}
}

func TestFaultsOfRegistrationAreNoRefusals(t *testing.T) {
	t.Parallel()
	r, b := newRegistrar(t)
	in := Registration{Email: "jo@example.org", Password: "right password"}
	b.broken = errors.New("gone")
	if _, err := r.Register(t.Context(), in); errs.KindOf(err) != errs.Internal {
		t.Errorf("database: %v", err)
	}
	b.broken, b.p.broken = nil, errors.New("no randomness")
	if _, err := r.Register(t.Context(), in); errs.KindOf(err) != errs.Internal {
		t.Errorf("hash: %v", err)
	}
}

// guests takes one secret, of one address.
type guests struct{}

func (guests) Check(_ context.Context, secret, email string) ([]byte, error) {
	if secret != "the secret" || email != "jo@example.org" {
		return nil, errs.New(errs.NotFound, "not valid")
	}
	return []byte("key"), nil
}

func TestWhoMayRegisterIsForTheInstanceToSay(t *testing.T) {
	t.Parallel()
	in := Registration{Email: " Jo@example.org", Password: "right password"}
	guest := in
	guest.Invitation = "the secret"
	impostor := guest
	impostor.Email = "al@example.org"
	for _, c := range []struct {
		mode Mode
		in   Registration
		want errs.Kind
	}{
		{"", in, ""}, {OpenToAll, in, ""}, {OpenToAll, guest, ""}, {OpenToAll, impostor, errs.NotFound},
		{ByInvitation, in, errs.Forbidden}, {ByInvitation, guest, ""}, {ByInvitation, impostor, errs.NotFound},
		{Closed, in, errs.Forbidden}, {Closed, guest, errs.Forbidden},
	} {
		r, b := newRegistrar(t)
		r.Mode, r.Invitations = c.mode, guests{}
		// Who is registered is told to guests only.
		b.taken = c.want != ""
		_, err := r.Register(t.Context(), c.in)
		if c.want == "" && (err != nil || (string(b.made.Invitation) == "key") != (c.in.Invitation != "")) || c.want != "" && (errs.KindOf(err) != c.want || b.p.turns != 0) {
			t.Errorf("%s, %+v: %v, want %q", c.mode, c.in, err, c.want)
		}
		if _, err := r.Superuser(t.Context(), in); err != nil {
			t.Errorf("%s: the first account: %v", c.mode, err)
		}
	}
	if len(Modes()) != 3 {
		t.Error(Modes())
	}
}
