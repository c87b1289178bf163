package pgserver

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/lib/pq"
)

// Config says where the cluster lives.
type Config struct {
	// DataDir belongs to this package alone: cluster, log, password. It is
	// made when missing.
	DataDir string
	// BinDir holds postgres and initdb. "" means $CC_PG_BIN, else the usual
	// places of the machine, else a bundle that is fetched once.
	BinDir string
	// CacheDir keeps fetched bundles. "" means the user's cache directory, or
	// /var/cache/commandcenter for root.
	CacheDir string
	// Log tells about choices, repairs and the end; nil means silence.
	Log *slog.Logger
	// MaxConnections of the server; 0 means 100.
	MaxConnections int
	// Unsafe trades durability for speed, for tests: a crash of the machine
	// may lose the cluster.
	Unsafe bool
	// Survive leaves the server running when the program dies; for tests that
	// share one between processes.
	Survive bool
}

// The administrator and the database that a new cluster gets.
const (
	adminUser = "commandcenter"
	database  = "commandcenter"
)

const (
	startWithin = 60 * time.Second // after recovery, which may take longer, has begun to show
	lockWithin  = 15 * time.Second // for the lock of a server that has died to be nobody's
	stopWithin  = 20 * time.Second // of a server that another process left behind
)

// Server is a running private PostgreSQL.
type Server struct {
	place   place
	version int
	dsn     string
	log     *slog.Logger
	failed  chan error

	proc *process

	mu      sync.Mutex
	stopped bool
}

// Start returns when the server answers; ctx bounds that, fetching the
// binaries included. When the directory is new it makes the cluster. It fails,
// and says what to do, when there are no binaries and none can be fetched, and
// when the cluster was made by another major version of PostgreSQL.
func Start(ctx context.Context, c Config) (*Server, error) {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.MaxConnections == 0 {
		c.MaxConnections = 100
	}
	s, err := start(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("private PostgreSQL: %w", err)
	}
	return s, nil
}

func start(ctx context.Context, c Config) (*Server, error) {
	began := time.Now()
	acc, err := chooseAccount()
	if err != nil {
		return nil, err
	}
	p, err := choosePlace(c, acc)
	if err != nil {
		return nil, err
	}
	bin, err := findBinaries(ctx, c, acc, p.clusterVersion())
	if err != nil {
		return nil, err
	}
	if have := p.clusterVersion(); have != 0 && have != bin.major {
		return nil, fmt.Errorf("the cluster in %s was made by PostgreSQL %d and there is only %d (%s): "+
			"install postgresql-%d, or dump the data there and restore it into a new data directory",
			p.cluster, have, bin.major, bin.dir, have)
	}
	if err := p.stopLeftover(ctx, c.Log); err != nil {
		return nil, err
	}
	password, err := p.password()
	if err != nil {
		return nil, err
	}
	fresh := p.clusterVersion() == 0
	if fresh {
		if err := p.initialise(ctx, bin, password, c); err != nil {
			return nil, err
		}
	}
	s := &Server{place: p, version: bin.major, log: c.Log, failed: make(chan error, 1)}
	s.dsn = fmt.Sprintf("host=%s port=%d user=%s dbname=%s password=%s sslmode=disable",
		quote(p.sockets), port, adminUser, database, quote(password))
	if err := s.launch(ctx, bin, c); err != nil {
		return nil, err
	}
	if err := s.ensureDatabase(ctx); err != nil {
		return nil, errors.Join(err, s.Stop(context.WithoutCancel(ctx)))
	}
	c.Log.Info("postgres.started", "version", bin.version, "binaries", bin.dir, "cluster", p.cluster,
		"account", acc.name, "new", fresh, "ms", time.Since(began).Milliseconds())
	return s, nil
}

// launch starts the process and waits until it accepts connections. A server
// that died together with its program may hold its shared memory for a moment,
// and its lock until init has taken note of its death; that is waited for.
func (s *Server) launch(ctx context.Context, bin binaries, c Config) error {
	ctx, cancel := context.WithTimeout(ctx, startWithin)
	defer cancel()
	locked := time.Now().Add(lockWithin)
	for {
		proc, err := startProcess(bin, s.place, c)
		if err != nil {
			return err
		}
		err = s.awaitReady(ctx, proc)
		if err == nil {
			s.proc = proc
			go s.watch()
			return nil
		}
		proc.kill()
		said := err.Error()
		lock := strings.Contains(said, lockExists) && time.Now().Before(locked)
		if !lock && !strings.Contains(said, "shared memory block") {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// lockExists is in the words of a server that finds the lock of another process.
const lockExists = `lock file "postmaster.pid" already exists`

// awaitReady looks at the status that the server writes into its lock file.
func (s *Server) awaitReady(ctx context.Context, proc *process) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-proc.exited:
			return fmt.Errorf("the server did not start: %w", s.place.lastWords(proc.err, proc.logStart))
		case <-ctx.Done():
			return fmt.Errorf("the server did not start in time: %w", s.place.lastWords(context.Cause(ctx), proc.logStart))
		case <-tick.C:
			if lock, err := readLock(s.place.cluster); err == nil && lock.pid == proc.pid && lock.ready {
				return nil
			}
		}
	}
}

// ensureDatabase makes the database of a new cluster; after a crash in the
// middle of the first start it is done by the second.
func (s *Server) ensureDatabase(ctx context.Context) (err error) {
	cfg, err := pq.NewConfig(s.dsn)
	if err != nil {
		return fmt.Errorf("own DSN: %w", err)
	}
	cfg.Database = "postgres"
	connector, err := pq.NewConnectorConfig(cfg)
	if err != nil {
		return fmt.Errorf("own DSN: %w", err)
	}
	db := sql.OpenDB(connector)
	defer func() { err = errors.Join(err, db.Close()) }()
	var present bool
	const q = `SELECT EXISTS (SELECT 1 FROM pg_database WHERE datname = $1)`
	if err := db.QueryRowContext(ctx, q, database).Scan(&present); err != nil {
		var e *pq.Error
		if errors.As(err, &e) && e.Code == "28P01" {
			return fmt.Errorf("the password in %s is not that of the cluster in %s", s.place.passwordFile, s.place.cluster)
		}
		return fmt.Errorf("first connection: %w", err)
	}
	if present {
		return nil
	}
	if _, err := db.ExecContext(ctx, `CREATE DATABASE `+database); err != nil {
		return fmt.Errorf("create the database: %w", err)
	}
	return nil
}

// AdminDSN is the connection string of the cluster's superuser. It contains
// the password.
func (s *Server) AdminDSN() string { return s.dsn }

// Version is PostgreSQL's major version.
func (s *Server) Version() int { return s.version }

// Dir is the directory of the cluster, for backups and for messages.
func (s *Server) Dir() string { return s.place.cluster }

// Failed receives an [*EndedError] when the server ends without having been
// stopped.
func (s *Server) Failed() <-chan error { return s.failed }

// EndedError says that the server ended by itself. The next [Start] recovers it.
type EndedError struct {
	Err error  // how the process ended
	Why string // what the server said last about that; "" when it said nothing
	Log string // the file with all that it said
}

func (e *EndedError) Error() string {
	s := "the private PostgreSQL server ended by itself"
	if e.Err != nil {
		s += " (" + e.Err.Error() + ")"
	}
	if e.Why != "" {
		s += ": " + e.Why
	}
	return s + "; the next start recovers it, its log is " + e.Log
}

func (e *EndedError) Unwrap() error { return e.Err }

func (s *Server) watch() {
	<-s.proc.exited
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.stopped {
		last := tail(s.place.logFile, s.proc.logStart, 2000)
		s.log.Warn("postgres.ended", "err", s.proc.err, "last", last)
		s.failed <- &EndedError{Err: s.proc.err, Why: why(last), Log: s.place.logFile}
	}
}

// why is the last word of the server on its end. Its sessions only say that it
// is gone, or what was wrong with them.
func why(log string) string {
	all := lastWord.FindAllStringSubmatch(log, -1)
	if len(all) == 0 {
		return ""
	}
	return all[len(all)-1][1]
}

// A session has its user before the level, the server itself has not.
var lastWord = regexp.MustCompile(`(?m)(?:\bPANIC|^[^\]\n]*\] FATAL):  (.*)$`)

// Stop shuts the server down fast, rolling back what runs, and returns when it
// has ended. When ctx ends first, the server is told to stop at once, which
// loses nothing that was committed and makes the next start a recovery.
func (s *Server) Stop(ctx context.Context) error {
	s.mu.Lock()
	s.stopped = true
	s.mu.Unlock()
	if s.proc == nil {
		return nil
	}
	s.proc.signal(syscall.SIGINT)
	select {
	case <-s.proc.exited:
		return nil
	case <-ctx.Done():
	}
	s.log.Warn("postgres.stop", "outcome", "not in time, stopping at once")
	s.proc.signal(syscall.SIGQUIT)
	select {
	case <-s.proc.exited:
	case <-time.After(5 * time.Second):
		s.proc.kill()
	}
	return fmt.Errorf("private PostgreSQL: a clean shutdown took too long: %w", context.Cause(ctx))
}

// lastWords adds the end of the log that was written since offset.
func (p place) lastWords(cause error, offset int64) error {
	words := tail(p.logFile, offset, 2000)
	if cause == nil {
		cause = errors.New("exit status 0")
	}
	if words == "" {
		return cause
	}
	return fmt.Errorf("%w; the end of %s:\n%s", cause, p.logFile, words)
}

// tail is the end of a file, at most size bytes and from offset on.
func tail(path string, offset, size int64) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return ""
	}
	from := max(offset, st.Size()-size)
	b := make([]byte, max(0, st.Size()-from))
	n, err := f.ReadAt(b, from)
	if err != nil && n == 0 {
		return ""
	}
	return strings.TrimSpace(string(b[:n]))
}

func quote(v string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(v) + "'"
}

// absolute makes sure that a path means the same after a change of directory.
func absolute(path string) (string, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", fmt.Errorf("directory %s: %w", path, err)
	}
	return abs, nil
}
