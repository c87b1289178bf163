package stack

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/lib/pq"
	"github.com/nats-io/nats.go"
)

// How long is waited for what others run, when nobody says otherwise. Who
// typed `up` sits before it; the migrations may be started beside the servers
// that they are for; a part among other processes may be the first.
const (
	UpWait      = 15 * time.Second
	MigrateWait = time.Minute
	ServeWait   = 5 * time.Minute
)

// When it is said that something is waited for, the first time and again.
const (
	saidFirst = time.Second
	saidAgain = 5 * time.Second
)

// Waiting is something that is not there yet.
type Waiting struct {
	For  string        // what, and where
	Why  error         // what the last try met; nil when it has not ended yet
	Left time.Duration // until it is given up
}

// AbsentError says that something was waited for in vain.
type AbsentError struct {
	For    string
	Waited time.Duration
	Err    error // of the last try
}

func (e *AbsentError) Error() string {
	return fmt.Sprintf("waited %s for %s: %v", e.Waited, e.For, e.Err)
}

func (e *AbsentError) Unwrap() error { return e.Err }

// final is a failure that no waiting mends.
type final struct{ error }

func (f final) Unwrap() error { return f.error }

// await calls fn until it succeeds, fails for good, or the time is over, and
// returns the last failure. Meanwhile it says what it waits for.
func (e *Env) await(ctx context.Context, what string, within time.Duration, fn func(context.Context) error) error {
	began := time.Now()
	t := &teller{env: e, what: what, end: began.Add(within)}
	if within > 0 {
		defer t.start(ctx)()
	}
	for pause := 50 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		err := fn(ctx)
		var stop final
		switch {
		case err == nil:
			return nil
		case errors.As(err, &stop):
			return stop.error
		case within == 0:
			return err
		case time.Now().Add(pause).After(t.end):
			return &AbsentError{For: what, Waited: time.Since(began).Round(time.Second), Err: err}
		}
		t.saw(err)
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return context.Cause(ctx)
		}
	}
}

// teller says what is waited for, also while a try hangs.
type teller struct {
	env  *Env
	what string
	end  time.Time

	mu  sync.Mutex
	why error
}

func (t *teller) saw(err error) {
	t.mu.Lock()
	t.why = err
	t.mu.Unlock()
}

func (t *teller) start(ctx context.Context) (stop func()) {
	done := make(chan struct{})
	var talking sync.WaitGroup
	talking.Go(func() {
		next := time.NewTimer(saidFirst)
		defer next.Stop()
		for {
			select {
			case <-next.C:
				t.say(ctx)
				next.Reset(saidAgain)
			case <-done:
				return
			}
		}
	})
	return func() {
		close(done)
		talking.Wait()
	}
}

func (t *teller) say(ctx context.Context) {
	t.mu.Lock()
	w := Waiting{For: t.what, Why: t.why, Left: time.Until(t.end).Round(time.Second)}
	t.mu.Unlock()
	t.env.Log.WarnContext(ctx, "stack.waiting", "for", w.For, "err", w.Why, "left_s", int(w.Left.Seconds()))
	if t.env.Waiting != nil {
		t.env.Waiting(w)
	}
}

// tryWithin bounds one try to reach a server, so that one that never answers
// is told from one that does.
const tryWithin = 3 * time.Second

// reachDatabase looks whether the database that was given lets us in. What a
// try will never change is final.
func reachDatabase(ctx context.Context, dsn string) (err error) {
	ctx, cancel := context.WithTimeout(ctx, tryWithin)
	defer cancel()
	c, err := pq.NewConfig(dsn)
	if err != nil {
		return final{fmt.Errorf("--database-url (DATABASE_URL): %w", err)}
	}
	connector, err := pq.NewConnectorConfig(c)
	if err != nil {
		return final{fmt.Errorf("--database-url (DATABASE_URL): %w", err)}
	}
	db := sql.OpenDB(connector)
	defer func() { err = errors.Join(err, db.Close()) }()
	if err := db.PingContext(ctx); err != nil {
		return refusedBy(err)
	}
	return nil
}

// refusedBy tells a database that refuses from one that is not there yet.
func refusedBy(err error) error {
	var e *pq.Error
	switch {
	case errors.Is(err, pq.ErrSSLNotSupported):
		return final{fmt.Errorf("%w: add sslmode=disable to --database-url (DATABASE_URL), or enable it there", err)}
	case errors.Is(err, context.DeadlineExceeded):
		return errors.New("no answer")
	case !errors.As(err, &e):
		return err
	case e.Code.Class() == "28": // invalid authorization
		return final{fmt.Errorf("%w: mend user and password in --database-url (DATABASE_URL)", err)}
	case e.Code == "3D000": // no such database
		return final{fmt.Errorf("%w: create it, or mend --database-url (DATABASE_URL)", err)}
	}
	return err
}

// databaseAt is where a database is: the rest of its DSN may be secret.
func databaseAt(dsn string) string {
	c, err := pq.NewConfig(dsn)
	if err != nil {
		return "the database"
	}
	host := c.Host
	if !strings.HasPrefix(host, "/") {
		host = net.JoinHostPort(host, strconv.Itoa(int(c.Port)))
	}
	return "PostgreSQL at " + host
}

// natsAt is where the servers of NATS URLs are: the rest may be secret.
func natsAt(urls string) string { return "NATS at " + strings.Join(natsHosts(urls), ", ") }

func natsHosts(urls string) []string {
	var out []string
	for u := range strings.SplitSeq(urls, ",") {
		host := strings.TrimSpace(u)
		if p, err := url.Parse(host); err == nil && p.Host != "" {
			host = p.Host
		}
		if _, _, err := net.SplitHostPort(host); err != nil {
			host = net.JoinHostPort(host, "4222")
		}
		out = append(out, host)
	}
	return out
}

// unreachable says why nobody answers at a NATS URL, which the client keeps to
// itself.
func unreachable(ctx context.Context, urls string, err error) error {
	if !errors.Is(err, nats.ErrNoServers) && !errors.Is(err, nats.ErrTimeout) {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, tryWithin)
	defer cancel()
	var all []error
	for _, host := range natsHosts(urls) {
		c, dialErr := new(net.Dialer).DialContext(ctx, "tcp", host)
		if dialErr == nil {
			all = append(all, err, c.Close()) // somebody is there, and no NATS server
			continue
		}
		all = append(all, dialErr)
	}
	return errors.Join(all...)
}
