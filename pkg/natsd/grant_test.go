package natsd_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/commandcenter/commandcenter/pkg/natsd"
)

var billing = natsd.GrantSpec{Name: "billing", Hears: []string{"evt.p1.a"}, Asks: []natsd.Ask{{Subject: "ext.p1.x"}, {Subject: "ext.p1.long", As: "short"}}}

// grant makes it, tells the server, and keeps the credentials, if they are new.
func grant(t *testing.T, s *natsd.Server, dir string, spec natsd.GrantSpec, renew bool) (creds string) {
	t.Helper()
	g, err := natsd.Grant(dir, spec, renew)
	if err != nil {
		t.Fatal(err)
	}
	push(t, s, g)
	if g.Creds == nil {
		return ""
	}
	creds = filepath.Join(t.TempDir(), "team.creds")
	if err := os.WriteFile(creds, g.Creds, 0o600); err != nil {
		t.Fatal(err)
	}
	return creds
}

func push(t *testing.T, s *natsd.Server, g *natsd.Granted) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), waits)
	defer cancel()
	if err := natsd.Push(ctx, connect(t, s, natsd.UserSys), g); err != nil {
		t.Fatal(err)
	}
}

// team connects with credentials; closed is told when the server ends it.
func team(t *testing.T, s *natsd.Server, creds string) (nc *nats.Conn, closed <-chan struct{}) {
	t.Helper()
	c := make(chan struct{})
	nc, err := nats.Connect(s.ClientURL(), nats.UserCredentials(creds), nats.NoReconnect(), nats.ClosedHandler(func(*nats.Conn) { close(c) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc, c
}

// hears reports which of the subjects that one says the other hears; the last
// one it must.
func hears(t *testing.T, from, to *nats.Conn, subjects ...string) (got []string) {
	t.Helper()
	sub, err := to.SubscribeSync(">")
	if err != nil {
		t.Fatal(err)
	}
	defer sub.Unsubscribe() //nolint:errcheck // the connection ends anyway
	if err := to.Flush(); err != nil {
		t.Fatal(err)
	}
	for _, s := range subjects {
		if err := from.Publish(s, []byte("said")); err != nil {
			t.Fatal(err)
		}
	}
	for last := subjects[len(subjects)-1]; ; {
		m, err := sub.NextMsg(waits)
		if err != nil {
			t.Fatalf("%s was not heard: %v", last, err)
		}
		if string(m.Data) != "said" {
			continue // of the server itself
		}
		if got = append(got, m.Subject); m.Subject == last {
			return got
		}
	}
}

func TestAGrantHearsAndSaysWhatIsListedAndNothingElse(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := start(t, natsd.Config{Dir: dir, Users: users, Addr: "127.0.0.1:0", NoSync: true})
	creds := grant(t, s, dir, billing, false)
	outside, _ := team(t, s, creds)
	admin := connect(t, s, natsd.UserAdmin)
	in, err := outside.SubscribeSync("evt.p1.a") // what is imported is heard by its name
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := outside.SubscribeSync("evt.p2.a")
	if err != nil {
		t.Fatal(err)
	}
	if err := outside.Flush(); err != nil {
		t.Fatal(err)
	}
	for _, subject := range []string{"evt.p2.a", "evt.p1.a"} {
		if err := admin.Publish(subject, nil); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := in.NextMsg(waits); err != nil {
		t.Errorf("what was granted is not heard: %v", err)
	}
	if n, _, err := foreign.Pending(); n != 0 || err != nil {
		t.Errorf("%d of another project were heard, %v", n, err)
	}
	// ext.p1.x comes last, so that what must not have come would be there.
	if got := hears(t, outside, admin, "ext.p2.x", "evt.p1.a", "cmd.p1.x", "short", "ext.p1.x"); len(got) != 2 || got[0] != "ext.p1.long" {
		t.Errorf("heard inside: %v", got)
	}
	if again := grant(t, s, dir, billing, false); again != "" {
		t.Error("a change gave new credentials")
	}
}

func TestRenewedCredentialsTakeThePlaceOfTheEarlierOnes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := start(t, natsd.Config{Dir: dir, Users: users, Addr: "127.0.0.1:0", NoSync: true})
	first := grant(t, s, dir, billing, false)
	_, closed := team(t, s, first)
	second := grant(t, s, dir, billing, true)
	await(t, closed, "the connection of the earlier credentials ends")
	if enters(s, first) == nil {
		t.Error("the earlier credentials are let in")
	}
	if err := enters(s, second); err != nil {
		t.Errorf("the new credentials: %v", err)
	}
	grant(t, s, dir, billing, false) // what was revoked stays revoked
	if enters(s, first) == nil {
		t.Error("after a change the earlier credentials are let in")
	}
}

func TestARevokedGrantIsCutOffAndNotLetInAgain(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	conf := natsd.Config{Dir: dir, Users: users, Addr: "127.0.0.1:0", NoSync: true}
	s, err := tryStart(t, conf)
	if err != nil {
		t.Fatal(err)
	}
	creds := grant(t, s, dir, billing, false)
	_, closed := team(t, s, creds)
	g, err := natsd.Revoke(dir, "billing")
	if err != nil {
		t.Fatal(err)
	}
	push(t, s, g)
	await(t, closed, "the connection ends")
	if enters(s, creds) == nil {
		t.Error("revoked credentials are let in")
	}
	stop(t, s)
	s = start(t, conf)
	if enters(s, creds) == nil {
		t.Error("revoked credentials are let in after a restart")
	}
	if _, err := natsd.Revoke(dir, "billing"); err == nil {
		t.Error("revoked twice")
	}
	next := grant(t, s, dir, billing, false)
	if err := enters(s, next); err != nil {
		t.Errorf("a new grant of the name: %v", err)
	}
}

func TestAGrantEndsWithItsTimeAndItsNameIsAName(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := start(t, natsd.Config{Dir: dir, Users: users, Addr: "127.0.0.1:0", NoSync: true})
	over := billing
	over.Name, over.Expires = "over", time.Now().Add(-time.Minute)
	g, err := natsd.Grant(dir, over, false)
	if err != nil {
		t.Fatal(err)
	}
	creds := filepath.Join(t.TempDir(), "over.creds")
	if err := os.WriteFile(creds, g.Creds, 0o600); err != nil {
		t.Fatal(err)
	}
	if enters(s, creds) == nil {
		t.Error("credentials that have ended are let in")
	}
	for _, name := range []string{"", "../up", "A", "a b"} {
		if _, err := natsd.Grant(dir, natsd.GrantSpec{Name: name}, false); err == nil {
			t.Errorf("%q is taken for a name", name)
		}
	}
	if _, err := natsd.Grant(t.TempDir(), billing, false); err == nil {
		t.Error("granted where there is no instance")
	}
}

func await(t *testing.T, c <-chan struct{}, what string) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(waits):
		t.Fatalf("%s: not within %v", what, waits)
	}
}
