package natsd_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/commandcenter/commandcenter/pkg/natsd"
)

// stolen is a copy of a user's credentials.
func stolen(t *testing.T, s *natsd.Server, user string) string {
	t.Helper()
	b, err := os.ReadFile(s.Trust.CredsFile(user))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "copy.creds")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func enters(s *natsd.Server, creds string) error {
	nc, err := nats.Connect(s.ClientURL(), nats.UserCredentials(creds))
	if err == nil {
		nc.Close()
	}
	return err
}

func TestAUserThatIsGoneIsNotLetIn(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	with := append(slices.Clone(users), natsd.UserSpec{Name: "gone", Sub: []string{"x"}}, natsd.UserSpec{Name: "gone-hub", Account: natsd.AccountHub, Sub: []string{"x"}})
	s := start(t, natsd.Config{Dir: dir, Users: with, Addr: "127.0.0.1:0", NoSync: true})
	copies := []string{stolen(t, s, "gone"), stolen(t, s, "gone-hub")}
	stays := stolen(t, s, "alpha")
	for _, c := range append(copies, stays) {
		if err := enters(s, c); err != nil {
			t.Fatal(err)
		}
	}
	stop(t, s)
	for range 2 { // it stays so
		s = start(t, natsd.Config{Dir: dir, Users: users, Addr: "127.0.0.1:0", NoSync: true})
		for _, c := range copies {
			if err := enters(s, c); !errors.Is(err, nats.ErrAuthorization) && !errors.Is(err, nats.ErrAuthRevoked) {
				t.Errorf("a user that is gone: %v", err)
			}
		}
		if err := enters(s, stays); err != nil {
			t.Errorf("a user that stays: %v", err)
		}
		if _, err := os.Stat(s.Trust.CredsFile("gone")); err == nil {
			t.Error("the credentials are still there")
		}
		stop(t, s)
	}
	s = start(t, natsd.Config{Dir: dir, Users: with, Addr: "127.0.0.1:0", NoSync: true}) // it comes back, with another key
	if err := enters(s, s.Trust.CredsFile("gone")); err != nil {
		t.Errorf("a user that came back: %v", err)
	}
	if err := enters(s, copies[0]); err == nil {
		t.Error("its old credentials are good again")
	}
}

func TestAKeyThatWasReplacedIsNotLetIn(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := start(t, natsd.Config{Dir: dir, Users: users, Addr: "127.0.0.1:0", NoSync: true})
	old := stolen(t, s, "alpha")
	stop(t, s)
	if err := os.Remove(filepath.Join(dir, "keys", "alpha.nk")); err != nil { // what one does to rotate it
		t.Fatal(err)
	}
	s = start(t, natsd.Config{Dir: dir, Users: users, Addr: "127.0.0.1:0", NoSync: true})
	if err := enters(s, s.Trust.CredsFile("alpha")); err != nil {
		t.Errorf("the new key: %v", err)
	}
	if err := enters(s, old); err == nil {
		t.Error("the old key is let in")
	}
}
