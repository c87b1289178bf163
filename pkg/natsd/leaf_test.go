package natsd_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/commandcenter/commandcenter/pkg/natsd"
)

// guest is the user with which another instance joins.
var guest = natsd.UserSpec{Name: "guest", Account: natsd.AccountHub, Pub: []string{"hub.>"}, Sub: []string{"hub.>"}, Leaf: true}

const waits = 20 * time.Second

func leafAddr(t *testing.T, s *natsd.Server) string {
	t.Helper()
	addr, err := s.LeafAddr()
	if err != nil || addr == "" {
		t.Fatalf("leaf address %q, %v", addr, err)
	}
	return addr
}

// joined returns a hub and an instance that has joined it with the user.
func joined(t *testing.T, user string) (hub, spoke *natsd.Server) {
	t.Helper()
	hub = start(t, natsd.Config{LeafAddr: "127.0.0.1:0", Users: []natsd.UserSpec{guest, {Name: "open", Account: natsd.AccountHub, Pub: []string{">"}, Sub: []string{">"}, Leaf: true}}, NoSync: true})
	spoke = start(t, natsd.Config{NoSync: true, Remotes: []natsd.Remote{{Addr: leafAddr(t, hub), Credentials: hub.Trust.CredsFile(user), Deny: []string{"mine.>"}}}})
	meet(t, hub, spoke)
	return hub, spoke
}

// meet waits until what one says is heard by the other.
func meet(t *testing.T, hub, spoke *natsd.Server) {
	t.Helper()
	from, to := connect(t, spoke, natsd.UserHubAdmin), connect(t, hub, natsd.UserHubAdmin)
	sub, err := to.SubscribeSync("hub.meet")
	if err != nil {
		t.Fatal(err)
	}
	defer sub.Unsubscribe() //nolint:errcheck // the connection ends anyway
	for end := time.Now().Add(waits); time.Now().Before(end); {
		if err := errors.Join(to.Flush(), from.Publish("hub.meet", nil)); err != nil {
			t.Fatal(err)
		}
		if _, err := sub.NextMsg(50 * time.Millisecond); err == nil {
			return
		}
	}
	t.Fatal("the two never met")
}

// crossed publishes the subjects on one side, then a fence, and returns what
// was heard of them on the other.
func crossed(t *testing.T, from, to *natsd.Server, subjects ...string) []string {
	t.Helper()
	a, b := connect(t, from, natsd.UserHubAdmin), connect(t, to, natsd.UserHubAdmin)
	heard := make(chan string, 64)
	for _, s := range append(subjects, ">", "hub.fence") {
		if _, err := b.Subscribe(s, func(m *nats.Msg) { heard <- m.Subject }); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Flush(); err != nil {
		t.Fatal(err)
	}
	var got []string
	for end := time.Now().Add(waits); time.Now().Before(end); {
		for _, s := range append(subjects, "hub.fence") {
			if err := a.Publish(s, nil); err != nil {
				t.Fatal(err)
			}
		}
		// The interest of the other side may still be on its way.
		again := time.After(100 * time.Millisecond)
		for fenced := 0; again != nil; {
			select {
			case s := <-heard:
				if s != "hub.fence" {
					got = append(got, s)
				} else if fenced++; fenced == 2 { // it came to both subscriptions
					return got
				}
			case <-again:
				again = nil
				if fenced > 0 {
					return got
				}
			}
		}
	}
	t.Fatal("nothing crosses at all")
	return nil
}

var inner = []string{"a.b", "evt.p1.x", "mine.x", "$JS.API.INFO", "$SRV.PING", "_INBOX.x.1", "$KV.B.k", "hubris.x", "hub"}

func TestOnlyTheHubsSubjectsCrossALeafConnection(t *testing.T) {
	t.Parallel()
	hub, spoke := joined(t, "guest")
	if got := crossed(t, hub, spoke, inner...); len(got) > 0 {
		t.Errorf("from the hub to who joined it: %v", got)
	}
	// Servers of their own: what those above say to themselves about the calls
	// that they got may still be on its way.
	there, here := joined(t, "guest")
	if got := crossed(t, here, there, inner...); len(got) > 0 {
		t.Errorf("from who joined to the hub: %v", got)
	}
	for _, s := range []*natsd.Server{hub, spoke} {
		if st, err := s.Stats(); err != nil || st.Leafs != 1 {
			t.Errorf("stats %+v, %v", st, err)
		}
	}
}

// A hub may be anybody's: it grants itself everything.
func TestAHubThatIsGoneIsTold(t *testing.T) {
	t.Parallel()
	hub, spoke := joined(t, guest.Name)
	if err := errors.Join(hub.Joined(), spoke.Joined()); err != nil {
		t.Errorf("while they are joined: %v", err)
	}
	if err := hub.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(waits); spoke.Joined() == nil; {
		if time.Now().After(end) {
			t.Fatal("nobody notices")
		}
		runtime.Gosched()
	}
	if err := spoke.Joined(); err == nil || !strings.Contains(err.Error(), "0 of 1") {
		t.Errorf("error %v", err)
	}
}

func TestAHostileHubReachesNoStreamOfWhoJoinsIt(t *testing.T) {
	t.Parallel()
	hub, spoke := joined(t, "open")
	for _, s := range crossed(t, hub, spoke, inner...) {
		if s != "a.b" && s != "evt.p1.x" && s != "hubris.x" && s != "hub" { // nobody there listens to these
			t.Errorf("%s has crossed", s)
		}
	}
	for from, to := range map[*natsd.Server]*natsd.Server{hub: spoke, spoke: hub} {
		js, err := jetstream.NewWithDomain(connect(t, from, natsd.UserHubAdmin), to.Trust.Domain())
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		if _, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "EVIL", Subjects: []string{"hub.>"}}); err == nil {
			t.Error("one has made a stream in the other")
		}
		cancel()
		own, err := jetstream.New(connect(t, to, natsd.UserHubAdmin))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := own.Stream(t.Context(), "EVIL"); !errors.Is(err, jetstream.ErrStreamNotFound) {
			t.Errorf("the stream: %v", err)
		}
	}
}

func TestOnlyAUserForItJoinsAHub(t *testing.T) {
	t.Parallel()
	hub := start(t, natsd.Config{LeafAddr: "127.0.0.1:0", Users: append([]natsd.UserSpec{guest}, users...), NoSync: true})
	secret := filepath.Join(t.TempDir(), "login")
	if err := os.WriteFile(secret, []byte("somebody:correct-horse\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, creds := range map[string]string{
		"a service": hub.Trust.CredsFile("alpha"), "a service's user of the hub": hub.Trust.CredsFile("alpha-hub"), "the hub's administrator": hub.Trust.CredsFile(natsd.UserHubAdmin),
		"nobody": "", "a password": secret,
	} {
		var log lines
		refused := make(chan struct{})
		log.on("authorization violation", refused)
		ctx, cancel := context.WithTimeout(t.Context(), waits)
		s, err := natsd.Start(ctx, natsd.Config{Dir: t.TempDir(), NoSync: true, Log: slog.New(slog.NewTextHandler(&log, nil)), Remotes: []natsd.Remote{{Addr: leafAddr(t, hub), Credentials: creds}}})
		cancel()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		select {
		case <-refused:
		case <-time.After(waits):
			t.Errorf("%s was not refused:\n%s", name, log.String())
		}
		stop(t, s)
		if text := log.String(); !strings.Contains(text, "level=INFO") || strings.Contains(text, "correct-horse") || strings.Contains(text, "SEED") {
			t.Errorf("%s: a secret is in the log, or no word of the connection:\n%s", name, text)
		}
	}
	if st, err := hub.Stats(); err != nil || st.Leafs != 0 {
		t.Errorf("stats %+v, %v", st, err)
	}
}

func TestALeafConnectionIsSafeBeyondThisMachine(t *testing.T) {
	t.Parallel()
	server, client := certificates(t)
	hub := start(t, natsd.Config{LeafAddr: "127.0.0.1:0", LeafTLS: server, Users: []natsd.UserSpec{guest}, NoSync: true})
	creds := hub.Trust.CredsFile("guest")
	spoke := start(t, natsd.Config{NoSync: true, Remotes: []natsd.Remote{{Addr: leafAddr(t, hub), Credentials: creds, TLS: client}}})
	meet(t, hub, spoke)
	// One that does not know the certificate shows nothing to it.
	var log lines
	refused := make(chan struct{})
	log.on("certificate", refused)
	s, err := natsd.Start(t.Context(), natsd.Config{Dir: t.TempDir(), NoSync: true, Log: slog.New(slog.NewTextHandler(&log, nil)),
		Remotes: []natsd.Remote{{Addr: leafAddr(t, hub), Credentials: creds, TLS: &tls.Config{MinVersion: tls.VersionTLS13}}}})
	if err != nil {
		t.Fatal(err)
	}
	defer stop(t, s)
	select {
	case <-refused:
	case <-time.After(waits):
		t.Errorf("joined a hub whose certificate nobody knows:\n%s", log.String())
	}
	for addr, want := range map[string]string{"192.0.2.1:7422": "without TLS", "example.org:7422": "without TLS", "127.0.0.1": "missing port", ":7422": "without TLS", "127.0.0.1:0": "want host:port"} {
		if _, err := tryStart(t, natsd.Config{NoSync: true, Remotes: []natsd.Remote{{Addr: addr}}}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", addr, err)
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() //nolint:errcheck // nothing was written
	if _, err := tryStart(t, natsd.Config{LeafAddr: l.Addr().String(), LeafSetting: "--leaf-port", NoSync: true}); err == nil || !strings.Contains(err.Error(), "with --leaf-port") {
		t.Errorf("a taken port: %v", err)
	}
	if addr, err := spoke.LeafAddr(); err != nil || addr != "" {
		t.Errorf("a server that does not listen: %q, %v", addr, err)
	}
}

func TestCredentialsOfOthersAreReadFromOneFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := func(text string) string {
		path := filepath.Join(dir, "c")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	creds := "-----BEGIN NATS USER JWT-----\nx\n------END NATS USER JWT------\n"
	for text, want := range map[string]natsd.Credentials{
		creds:                  {File: filepath.Join(dir, "c")},
		"user:pass:word\n":     {User: "user", Password: "pass:word"},
		" s3cr3t-token \r\n\n": {Token: "s3cr3t-token"},
	} {
		if got, err := natsd.ReadCredentials(file(text)); err != nil || got != want {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "\n", "hush1\nhush2\n", ":hush", "hush:", strings.Repeat("hush", 20_000)} {
		if _, err := natsd.ReadCredentials(file(text)); err == nil || strings.Contains(err.Error(), "hush") {
			t.Errorf("%.20q: %v", text, err)
		}
	}
	if _, err := natsd.ReadCredentials(filepath.Join(dir, "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	if _, err := natsd.ReadCredentials(dir); err == nil {
		t.Error("a directory was read")
	}
	for _, creds := range []string{file("token"), filepath.Join(dir, "none")} {
		if _, err := tryStart(t, natsd.Config{NoSync: true, Remotes: []natsd.Remote{{Addr: "127.0.0.1:1", Credentials: creds}}}); err == nil || !strings.Contains(err.Error(), creds) {
			t.Errorf("%s: %v", creds, err)
		}
	}
	if _, err := natsd.Provision(t.TempDir(), []natsd.UserSpec{{Name: "x", Leaf: true}}); err == nil {
		t.Error("a user of the instance's own account may join by leaf")
	}
}

// lines is a log that tells when something is said.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
	word string
	said chan struct{}
}

func (l *lines) on(word string, said chan struct{}) { l.word, l.said = word, said }

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.said != nil && strings.Contains(strings.ToLower(string(p)), l.word) {
		close(l.said)
		l.said = nil
	}
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// certificates makes one for 127.0.0.1, and who trusts it.
func certificates(t *testing.T) (server, client *tls.Config) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "hub"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}, &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: pool}
}
