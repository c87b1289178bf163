package natsd_test

import (
	"context"
	"encoding/json"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/commandcenter/commandcenter/pkg/natsd"
)

var users = []natsd.UserSpec{
	{Name: "alpha", Pub: []string{"a.>"}, Sub: []string{"_INBOX_alpha.>", "b.>"}},
	{Name: "beta", Pub: []string{"b.>"}, Sub: []string{"a.>"}, Replies: true},
	{Name: "mute"},
	{Name: "alpha-hub", Account: natsd.AccountHub, Pub: []string{"hub.>"}, Sub: []string{"hub.>"}},
}

func start(t *testing.T, c natsd.Config) *natsd.Server {
	t.Helper()
	s, err := tryStart(t, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, s) })
	return s
}

func tryStart(t *testing.T, c natsd.Config) (*natsd.Server, error) {
	t.Helper()
	if c.Dir == "" {
		c.Dir = t.TempDir()
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	return natsd.Start(ctx, c)
}

func stop(t *testing.T, s *natsd.Server) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := s.Stop(ctx); err != nil {
		t.Errorf("stop: %v", err)
	}
}

func connect(t *testing.T, s *natsd.Server, user string, opts ...nats.Option) *nats.Conn {
	t.Helper()
	opts = append([]nats.Option{nats.InProcessServer(s.InProcess()), nats.UserCredentials(s.Trust.CredsFile(user)), nats.CustomInboxPrefix("_INBOX_" + user)}, opts...)
	nc, err := nats.Connect("", opts...)
	if err != nil {
		t.Fatalf("connect as %s: %v", user, err)
	}
	t.Cleanup(nc.Close)
	return nc
}

func TestClientsOverThePortAndInTheProcessMeet(t *testing.T) {
	t.Parallel()
	s := start(t, natsd.Config{Addr: "127.0.0.1:0", Users: users, NoSync: true})
	if s.Port() == 0 || !strings.HasSuffix(s.ClientURL(), ":"+itoa(s.Port())) {
		t.Fatalf("url %q, port %d", s.ClientURL(), s.Port())
	}
	if _, err := nats.Connect(s.ClientURL()); err == nil {
		t.Error("over the port, without credentials: connected")
	}
	nc, err := nats.Connect(s.ClientURL(), nats.UserCredentials(s.Trust.CredsFile("alpha")), nats.CustomInboxPrefix("_INBOX_alpha"))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	inside := connect(t, s, "beta")
	sub, err := inside.Subscribe("a.question", func(m *nats.Msg) {
		if err := m.Respond([]byte("answer")); err != nil {
			t.Error(err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	defer sub.Unsubscribe() //nolint:errcheck // the connection ends anyway
	if err := inside.Flush(); err != nil {
		t.Fatal(err)
	}
	m, err := nc.Request("a.question", nil, 10*time.Second)
	if err != nil || string(m.Data) != "answer" {
		t.Errorf("answer %v, %v", m, err)
	}
	if st, err := s.Stats(); err != nil || st.Connections != 2 || st.MaxDisk == 0 {
		t.Errorf("stats %+v, %v", st, err)
	}
}

// It takes as long as the server waits for a client that does not read: the
// two ends of a pipe without a buffer.
func TestAConnectionInsideTheProcessNeedsCredentials(t *testing.T) {
	t.Parallel()
	s := start(t, natsd.Config{Users: users, NoSync: true})
	if _, err := nats.Connect("", nats.InProcessServer(s.InProcess())); err == nil {
		t.Error("connected without credentials")
	}
}

func itoa(n int) string { b, _ := json.Marshal(n); return string(b) }

func TestWhatNoListAllowsIsRefused(t *testing.T) {
	t.Parallel()
	s := start(t, natsd.Config{Users: users, NoSync: true})
	for _, c := range []struct{ user, pub, sub string }{
		{"alpha", "b.x", ""}, {"alpha", "", "a.x"}, {"alpha", "", "_INBOX_beta.>"}, {"alpha", "$JS.API.STREAM.CREATE.X", ""},
		{"mute", "a.x", ""}, {"mute", "", "a.x"}, {"alpha-hub", "a.x", ""}, {"beta", "_INBOX_alpha.1", ""},
	} {
		denied := make(chan error, 1)
		nc := connect(t, s, c.user, nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			select {
			case denied <- err:
			default:
			}
		}))
		if c.pub != "" {
			if err := nc.Publish(c.pub, nil); err != nil {
				t.Fatal(err)
			}
		} else if _, err := nc.SubscribeSync(c.sub); err != nil {
			t.Fatal(err)
		}
		select {
		case err := <-denied:
			if !strings.Contains(strings.ToLower(err.Error()), "permissions violation") {
				t.Errorf("%+v: %v", c, err)
			}
		case <-time.After(10 * time.Second):
			t.Errorf("%+v: not refused", c)
		}
	}
}

func TestNothingOfTheHubReachesTheInstance(t *testing.T) {
	t.Parallel()
	s := start(t, natsd.Config{Users: users, NoSync: true})
	admin, hub, hubAdmin := connect(t, s, natsd.UserAdmin), connect(t, s, "alpha-hub"), connect(t, s, natsd.UserHubAdmin)
	inside, err := admin.SubscribeSync(">")
	if err != nil {
		t.Fatal(err)
	}
	across, err := hubAdmin.SubscribeSync("hub.presence.*")
	if err != nil {
		t.Fatal(err)
	}
	for _, nc := range []*nats.Conn{admin, hubAdmin} {
		if err := nc.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	if err := hub.Publish("hub.presence.x", []byte("here")); err != nil {
		t.Fatal(err)
	}
	if m, err := across.NextMsg(10 * time.Second); err != nil || string(m.Data) != "here" {
		t.Fatalf("on the hub: %v, %v", m, err)
	}
	// The hub has it; had it crossed, it would be here after a round trip.
	if err := admin.Publish("fence", nil); err != nil {
		t.Fatal(err)
	}
	if m, err := inside.NextMsg(10 * time.Second); err != nil || m.Subject != "fence" {
		t.Errorf("inside the instance: %v, %v", m, err)
	}
}

func TestProvisioningAgainChangesNoFileAndKeepsEveryKey(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first, err := natsd.Provision(dir, users)
	if err != nil {
		t.Fatal(err)
	}
	before := snapshot(t, dir)
	second, err := natsd.Provision(dir, users)
	if err != nil {
		t.Fatal(err)
	}
	after := snapshot(t, dir)
	for name, content := range before {
		if after[name] != content {
			t.Errorf("%s changed", name)
		}
	}
	if len(before) != len(after) || len(before) < 20 {
		t.Errorf("%d files before, %d after", len(before), len(after))
	}
	loaded, err := natsd.LoadTrust(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, trust := range []*natsd.Trust{second, loaded} {
		if trust.Domain() != first.Domain() || trust.Issuers()["alpha"] != first.Issuers()["alpha"] {
			t.Error("another trust")
		}
	}
	if _, ok := first.Issuers()["alpha-hub"]; ok {
		t.Error("a user of the hub may sign identities")
	}
	if seed, err := loaded.SigningSeed("alpha"); err != nil || !strings.HasPrefix(string(seed), "SU") {
		t.Errorf("signing seed: %v", err)
	}
	if _, err := loaded.SigningSeed("nobody"); err == nil {
		t.Error("a signing seed of nobody")
	}
}

func TestAUserThatIsGoneSignsNoIdentitiesAnyMore(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if _, err := natsd.Provision(dir, append(slices.Clone(users), natsd.UserSpec{Name: "gone"})); err != nil {
		t.Fatal(err)
	}
	now, err := natsd.Provision(dir, users)
	if err != nil {
		t.Fatal(err)
	}
	loaded, err := natsd.LoadTrust(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, trust := range []*natsd.Trust{now, loaded} {
		issuers := trust.Issuers()
		if issuers["gone"] != "" || issuers["alpha"] == "" || issuers[natsd.UserAdmin] == "" {
			t.Errorf("issuers %v", issuers)
		}
	}
}

func TestChangedPermissionsAreIssuedToTheSameKey(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	read := func() *jwt.UserClaims {
		t.Helper()
		b, err := os.ReadFile(filepath.Join(dir, "keys", "alpha.jwt"))
		if err != nil {
			t.Fatal(err)
		}
		c, err := jwt.DecodeUserClaims(strings.TrimSpace(string(b)))
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	if _, err := natsd.Provision(dir, users); err != nil {
		t.Fatal(err)
	}
	was := read()
	if _, err := natsd.Provision(dir, []natsd.UserSpec{{Name: "alpha", Pub: []string{"z.>"}, PubDeny: []string{"z.not"}}}); err != nil {
		t.Fatal(err)
	}
	now := read()
	if now.Subject != was.Subject || !now.Permissions.Pub.Allow.Contains("z.>") || now.Permissions.Pub.Allow.Contains("a.>") || !now.Permissions.Pub.Deny.Contains("z.not") {
		t.Errorf("was %+v, is %+v", was.Permissions, now.Permissions)
	}
}

func snapshot(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(filepath.Join(dir, "keys"), func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if d.IsDir() {
			if info.Mode().Perm() != 0o700 {
				t.Errorf("%s has mode %o", path, info.Mode().Perm())
			}
			return nil
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %o", path, info.Mode().Perm())
		}
		b, err := os.ReadFile(path)
		out[path] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestATakenPortIsNamed(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() //nolint:errcheck // nothing was written
	_, err = tryStart(t, natsd.Config{Addr: l.Addr().String(), AddrSetting: "--port", NoSync: true})
	if err == nil || !strings.Contains(err.Error(), l.Addr().String()) || !strings.Contains(err.Error(), "taken") || !strings.Contains(err.Error(), "with --port") {
		t.Errorf("error %v", err)
	}
}

func TestAnAddressBeyondThisMachineNeedsTLS(t *testing.T) {
	t.Parallel()
	for addr, want := range map[string]string{"0.0.0.0:0": "without TLS", "example.org:4222": "without TLS", "127.0.0.1:x": "port", "127.0.0.1": "missing port", "127.0.0.1:70000": "port"} {
		if _, err := tryStart(t, natsd.Config{Addr: addr, NoSync: true}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", addr, err)
		}
		if _, err := tryStart(t, natsd.Config{LeafAddr: addr, NoSync: true}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("leaf %s: %v", addr, err)
		}
	}
	start(t, natsd.Config{Addr: "0.0.0.0:0", Plain: true, LeafAddr: "127.0.0.1:0", NoSync: true})
}

// stored makes a data directory with one stream of one message.
func stored(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	s, err := tryStart(t, natsd.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	js, err := jetstream.New(connect(t, s, natsd.UserAdmin))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "KEEP", Subjects: []string{"keep.>"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := js.Publish(t.Context(), "keep.this", []byte("x")); err != nil {
		t.Fatal(err)
	}
	stop(t, s)
	return dir
}

func TestARestartFindsWhatWasStored(t *testing.T) {
	t.Parallel()
	dir := stored(t)
	s := start(t, natsd.Config{Dir: dir})
	js, err := jetstream.New(connect(t, s, natsd.UserAdmin))
	if err != nil {
		t.Fatal(err)
	}
	st, err := js.Stream(t.Context(), "KEEP")
	if err != nil || st.CachedInfo().State.Msgs != 1 {
		t.Fatalf("stream %+v, %v", st, err)
	}
}

func TestADamagedOrUnknownStreamStopsTheStartAndIsLeftAlone(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(meta string) error{
		"damaged":  func(meta string) error { return os.WriteFile(meta, []byte("{}"), 0o600) },
		"missing":  os.Remove,
		"checksum": func(meta string) error { return os.Remove(strings.TrimSuffix(meta, "inf") + "sum") },
	} {
		dir := stored(t)
		found, err := filepath.Glob(filepath.Join(dir, "nats", "jetstream", "*", "streams", "KEEP", "meta.inf"))
		if err != nil || len(found) != 1 {
			t.Fatalf("%v, %v", found, err)
		}
		if err := spoil(found[0]); err != nil {
			t.Fatal(err)
		}
		_, err = tryStart(t, natsd.Config{Dir: dir})
		if err == nil || !strings.Contains(err.Error(), "cannot be loaded") || !strings.Contains(err.Error(), "back-up") {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := os.Stat(filepath.Dir(found[0])); err != nil {
			t.Errorf("%s: the stream's directory: %v", name, err)
		}
	}
}

func TestAStoreOfANewerServerIsRefused(t *testing.T) {
	t.Parallel()
	dir := stored(t)
	file := filepath.Join(dir, "nats", "VERSION")
	for content, want := range map[string]string{"99.1.0\n": "newer program", "rubbish": "does not hold a version"} {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := tryStart(t, natsd.Config{Dir: dir}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", content, err)
		}
	}
}

// onLine is called with every line of a log.
type onLine func()

func (f onLine) Write(p []byte) (int, error) { f(); return len(p), nil }

func TestAServerThatCannotMarkItsStoreIsShutDown(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // the same port again at once
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	inTheWay := filepath.Join(dir, "nats", "VERSION", "x")
	// The store was looked at before the server says its first word.
	log := slog.New(slog.NewTextHandler(onLine(func() {
		if err := os.MkdirAll(inTheWay, 0o700); err != nil {
			t.Error(err)
		}
	}), &slog.HandlerOptions{Level: slog.LevelDebug}))
	s, err := tryStart(t, natsd.Config{Dir: dir, Addr: addr, Log: log})
	if err == nil || s != nil {
		t.Fatalf("server %v, error %v", s, err)
	}
	l, err = net.Listen("tcp", addr) //nolint:noctx // as above
	if err != nil {
		t.Fatalf("the server holds the port: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(dir, "nats", "VERSION")); err != nil {
		t.Fatal(err)
	}
	stop(t, start(t, natsd.Config{Dir: dir}))
}

func TestAKeyFileWithoutAKeyIsNotReplaced(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if _, err := natsd.Provision(dir, users); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "keys", "CC.nk")
	if err := os.WriteFile(file, []byte("gone"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := natsd.Provision(dir, users); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("error %v", err)
	}
}

func TestBadUsersAreRefused(t *testing.T) {
	t.Parallel()
	for _, u := range []natsd.UserSpec{{Name: ""}, {Name: "../x"}, {Name: "x", Account: "NONE"}} {
		if _, err := natsd.Provision(t.TempDir(), []natsd.UserSpec{u}); err == nil {
			t.Errorf("%+v: no error", u)
		}
	}
	if _, err := natsd.LoadTrust(t.TempDir()); err == nil {
		t.Error("trust out of nothing")
	}
}

func TestAStockServerCanBeGivenTheTrust(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if _, err := natsd.Provision(dir, users); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(dir, "keys", "nats-trust.conf"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"operator: ey", "system_account: A", "max_control_line: 65536", "max_payload: 1048576", "resolver: MEMORY", "# CC", "# HUB"} {
		if !strings.Contains(string(b), want) {
			t.Errorf("no %q in\n%s", want, b)
		}
	}
}

func TestEveryMessageIsSyncedBeforeItIsAcknowledged(t *testing.T) {
	t.Parallel()
	s := start(t, natsd.Config{Users: users})
	if !s.SyncsAlways() {
		t.Error("the server does not sync always")
	}
	relaxed := start(t, natsd.Config{NoSync: true})
	if relaxed.SyncsAlways() {
		t.Error("NoSync syncs")
	}
}

func TestAStopInTheMiddleOfTheStartIsAnError(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s, err := natsd.Start(ctx, natsd.Config{Dir: t.TempDir(), NoSync: true, Log: slog.New(slog.DiscardHandler)})
	if err == nil { // it was faster than the select
		stop(t, s)
	}
}
