package natsd

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// MaxPayload is the largest message, headers included, in bytes.
const MaxPayload = 1 << 20

// maxControlLine is the longest line of the protocol, in bytes. A user shows
// its permissions when it connects, and those of a service are more than the
// 4096 that the server allows by itself. A stock server of this instance needs
// max_control_line 64KB as well.
const maxControlLine = 64 << 10

// Config says where the server keeps its state and who may use it.
type Config struct {
	Dir  string // data directory: trust in <Dir>/keys, streams in <Dir>/nats
	Addr string // "127.0.0.1:4222"; port 0 takes a free one; "" opens no port
	// AddrSetting, LeafSetting and MemberSetting are what a person sets to change
	// Addr, LeafAddr and Member.Addr, as the error says it when a port is taken.
	AddrSetting, LeafSetting, MemberSetting string

	Users []UserSpec
	Log   *slog.Logger // slog.Default() when nil

	MaxMemory int64 // bytes of memory streams; 128 MiB when 0
	MaxDisk   int64 // bytes of file streams; 16 GiB when 0

	TLS *tls.Config
	// Plain allows an address beyond loopback without TLS, for a network that
	// something else protects.
	Plain bool

	// LeafAddr opens a port for leaf connections of other instances; they bind
	// account HUB, as a user of it. "" opens none. LeafTLS is TLS when nil, and
	// LeafPlain is Plain for leaf connections, in either direction, alone.
	LeafAddr  string
	LeafTLS   *tls.Config
	LeafPlain bool
	// Remotes are hubs that this instance joins. They need not be there: the
	// server goes on trying.
	Remotes []Remote

	// Member makes the server one of a cluster; it is alone when nil. Users are
	// then those that were provisioned before.
	Member *Member

	// NoSync leaves fsync to the operating system. For tests: a message that
	// was acknowledged may then be lost.
	NoSync bool
}

// Server is a running server. Stop it.
type Server struct {
	Trust *Trust

	ns     *server.Server
	joins  int // hubs of others
	addr   string
	failed chan error
	stop   sync.Once
	log    *slog.Logger
	inside atomic.Bool // a member with a majority
	watch  func()      // ends the watching of a member, and waits for its end
}

// Start provisions the trust and returns when the server accepts connections
// and every stream on disk is loaded. A taken port, a store of a newer version
// and a damaged store are errors that say what to do.
func Start(ctx context.Context, c Config) (*Server, error) {
	if c.Log == nil {
		c.Log = slog.Default()
	}
	trust, err := c.trust()
	if err != nil {
		return nil, fmt.Errorf("nats trust: %w", err)
	}
	opts, err := options(c, trust)
	if err != nil {
		return nil, err
	}
	if err := checkKind(filepath.Join(c.Dir, "nats"), c.Member != nil); err != nil {
		return nil, err
	}
	if err := checkStore(opts.StoreDir); err != nil {
		return nil, err
	}
	if c.Member != nil {
		if err := c.Member.free(ctx, c.MemberSetting); err != nil {
			return nil, err
		}
	}
	ns, err := server.NewServer(opts)
	if err != nil {
		return nil, fmt.Errorf("nats server: %w", err)
	}
	s := &Server{Trust: trust, ns: ns, joins: len(c.Remotes), failed: make(chan error, 1), log: c.Log, watch: func() {}}
	var fatal []string
	starting := true
	log := &serverLog{log: c.Log, starting: true}
	var mu sync.Mutex
	log.fatal = func(msg string) {
		mu.Lock()
		defer mu.Unlock()
		if starting {
			fatal = append(fatal, msg)
			return
		}
		s.fail(errors.New("nats server: " + msg))
	}
	ns.SetLoggerV2(log, false, false, false)
	// An account that the server does not know yet gets its streams at the first
	// connection, and a second one that is faster finds them half made. A leaf
	// connection is made before anybody else comes.
	for _, name := range []string{AccountCC, AccountHub} {
		if _, err := ns.LookupAccount(trust.ids[name]); err != nil {
			ns.Shutdown()
			return nil, fmt.Errorf("nats server: account %s: %w", name, err)
		}
	}
	// Start returns when JetStream has loaded its streams and the listener of
	// clients is open, or after Fatalf: there is nothing to poll for.
	done := make(chan struct{})
	go func() { defer close(done); ns.Start() }()
	select {
	case <-done:
	case <-ctx.Done():
		<-done // the start of the server cannot be cut short, only undone
		ns.Shutdown()
		ns.WaitForShutdown()
		return nil, fmt.Errorf("nats server: not ready: %w", context.Cause(ctx))
	}
	mu.Lock()
	starting = false
	problems := fatal
	mu.Unlock()
	lost := log.started()
	if len(problems) > 0 || len(lost) > 0 {
		ns.Shutdown()
		ns.WaitForShutdown()
		return nil, startError(c, opts, problems, lost)
	}
	// The routes are opened beside the start.
	if c.Member != nil && !ns.ReadyForConnections(routesOpen) {
		ns.Shutdown()
		ns.WaitForShutdown()
		return nil, fmt.Errorf("nats cluster: nobody listens at %s after %s", c.Member.Addr, routesOpen)
	}
	if !opts.DontListen {
		s.addr = ns.ClientURL()
	}
	if err := markStore(opts.StoreDir); err != nil {
		ns.Shutdown()
		ns.WaitForShutdown()
		return nil, fmt.Errorf("nats store: %w", err)
	}
	if c.Member != nil {
		watch, end := context.WithCancel(context.WithoutCancel(ctx))
		var over sync.WaitGroup
		over.Go(func() { s.sendAway(watch, len(c.Member.Routes)) })
		s.watch = func() { end(); over.Wait() }
	}
	return s, nil
}

// routesOpen is how long a member may take to listen for the others.
const routesOpen = 10 * time.Second

func options(c Config, t *Trust) (*server.Options, error) {
	opts := &server.Options{
		ServerName: t.Domain(), NoSigs: true, NoLog: true, MaxPayload: MaxPayload, MaxControlLine: maxControlLine, DontListen: c.Addr == "",
		JetStream: true, StoreDir: filepath.Join(c.Dir, "nats"), JetStreamDomain: t.Domain(), SyncAlways: !c.NoSync,
		JetStreamMaxMemory: orDefault(c.MaxMemory, 128<<20), JetStreamMaxStore: orDefault(c.MaxDisk, 16<<30),
		SystemAccount: t.ids[AccountSys], TLSConfig: c.TLS, TLS: c.TLS != nil, TLSTimeout: 5,
		LameDuckDuration: 10 * time.Second, LameDuckGracePeriod: time.Second,
	}
	op, err := jwt.DecodeOperatorClaims(t.operator)
	if err != nil {
		return nil, fmt.Errorf("operator: %w", err)
	}
	opts.TrustedOperators = []*jwt.OperatorClaims{op}
	opts.AccountResolver = resolver{t}
	if c.Addr != "" {
		if opts.Host, opts.Port, err = split(c.Addr, c.TLS != nil || c.Plain); err != nil {
			return nil, fmt.Errorf("nats address: %w", err)
		}
	}
	return opts, errors.Join(c.leaf(opts, t), c.member(opts))
}

// trust is what the server believes: a member finds it made.
func (c Config) trust() (*Trust, error) {
	if c.Member != nil {
		return LoadTrust(c.Dir)
	}
	return Provision(c.Dir, c.Users)
}

// split parses an address for the server, where -1 is "any free port". One
// beyond this machine has to be safe.
func split(addr string, safe bool) (host string, port int, err error) {
	h, p, err := net.SplitHostPort(addr)
	if err != nil {
		return "", 0, err
	}
	if port, err = strconv.Atoi(p); err != nil || port < 0 || port > 65535 {
		return "", 0, fmt.Errorf("%q: want a port between 0 and 65535", addr)
	}
	if port == 0 {
		port = server.RANDOM_PORT
	}
	if !safe && !loopback(h) {
		return "", 0, fmt.Errorf("%q %w", addr, errPlain)
	}
	return h, port, nil
}

func orDefault(v, d int64) int64 {
	if v > 0 {
		return v
	}
	return d
}

func startError(c Config, opts *server.Options, fatal, lost []string) error {
	for _, msg := range fatal {
		if strings.Contains(msg, "address already in use") {
			addr, setting := c.Addr, c.AddrSetting
			if strings.Contains(strings.ToLower(msg), "leaf") {
				addr, setting = c.LeafAddr, c.LeafSetting
			}
			if setting != "" {
				setting = " with " + setting
			}
			return fmt.Errorf("nats: port %s is taken: stop the program that listens there, or choose another address%s", addr, setting)
		}
	}
	if len(fatal) > 0 {
		return fmt.Errorf("nats server: %s", strings.Join(fatal, "; "))
	}
	return fmt.Errorf("nats: %d stored streams or consumers under %s cannot be loaded, and nothing was changed: %s. Start the version that wrote them, restore the directory from a back-up, or move it away to begin with empty streams (events are published again from the database; commands that were answered 202 and not yet run are lost)",
		len(lost), opts.StoreDir, strings.Join(lost, "; "))
}

// fail reports the first failure after the start.
func (s *Server) fail(err error) {
	select {
	case s.failed <- err:
	default:
	}
}

// ClientURL is where clients of other processes connect, "" when no port is
// open.
func (s *Server) ClientURL() string { return s.addr }

// Port is the open port, 0 when there is none.
func (s *Server) Port() int {
	u, err := url.Parse(s.addr)
	if err != nil {
		return 0
	}
	p, err := strconv.Atoi(u.Port())
	if err != nil {
		return 0
	}
	return p
}

// InProcess connects clients of this process without a socket. They
// authenticate like any other.
func (s *Server) InProcess() nats.InProcessConnProvider { return s.ns }

// SyncsAlways reports whether JetStream calls fsync before it acknowledges.
func (s *Server) SyncsAlways() bool {
	c := s.ns.JetStreamConfig()
	return c != nil && c.SyncAlways
}

// Failed delivers an error when the server ends by itself.
func (s *Server) Failed() <-chan error { return s.failed }

// Stats are figures for health checks.
type Stats struct {
	Connections                   int
	Leafs                         int    // leaf connections, of either direction
	Memory, Disk                  uint64 // bytes in use by streams
	MaxMemory, MaxDisk            int64  // bytes allowed
	Streams, Consumers, APIErrors int
}

// Stats returns the server's figures now.
func (s *Server) Stats() (Stats, error) {
	j, err := s.ns.Jsz(nil)
	if err != nil {
		return Stats{}, fmt.Errorf("jetstream: %w", err)
	}
	return Stats{
		Connections: s.ns.NumClients(), Leafs: s.ns.NumLeafNodes(), Memory: j.Memory, Disk: j.Store, MaxMemory: j.Config.MaxMemory, MaxDisk: j.Config.MaxStore,
		Streams: j.Streams, Consumers: j.Consumers, APIErrors: int(j.API.Errors), //nolint:gosec // G115: a count
	}, nil
}

// Stop closes the store in order and ends the server. It waits until that is
// done or ctx ends. Stopping twice is fine.
func (s *Server) Stop(ctx context.Context) error {
	s.stop.Do(func() { s.watch(); s.ns.Shutdown() })
	done := make(chan struct{})
	go func() { defer close(done); s.ns.WaitForShutdown() }()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("nats server: not stopped: %w", context.Cause(ctx))
	}
}

// storeVersion is written beside the streams. The server reads stores of older
// versions and damages nothing of newer ones, but what it does not know it
// leaves out; so a newer store is refused as a whole.
const storeVersionFile = "VERSION"

func checkStore(dir string) error {
	b, err := os.ReadFile(filepath.Join(dir, storeVersionFile))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("nats store: %w", err)
	}
	was, ok := parseVersion(strings.TrimSpace(string(b)))
	if !ok {
		return fmt.Errorf("nats store: %s does not hold a version: restore it from a back-up", filepath.Join(dir, storeVersionFile))
	}
	now, _ := parseVersion(server.VERSION)
	if was[0] > now[0] || was[0] == now[0] && was[1] > now[1] {
		return fmt.Errorf("nats store %s was written by nats-server %s, this program holds %s: start the newer program, or restore an older back-up", dir, strings.TrimSpace(string(b)), server.VERSION)
	}
	return nil
}

func markStore(dir string) error {
	return writeFile(filepath.Join(dir, storeVersionFile), []byte(server.VERSION+"\n"))
}

func parseVersion(s string) (v [3]int, ok bool) {
	core, _, _ := strings.Cut(s, "-")
	parts := strings.Split(core, ".")
	if len(parts) != 3 {
		return v, false
	}
	for i, p := range parts {
		n, err := strconv.Atoi(p)
		if err != nil || n < 0 {
			return v, false
		}
		v[i] = n
	}
	return v, true
}
