package stack

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/commandcenter/commandcenter/pkg/pg/pgtest"
)

func quiet() *Env { return &Env{Log: slog.New(slog.NewTextHandler(io.Discard, nil))} }

func TestWhatIsWaitedForIsSaidSoonAndAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var said []Waiting
		var at []time.Duration
		began := time.Now()
		e := quiet()
		e.Waiting = func(w Waiting) { said, at = append(said, w), append(at, time.Since(began)) }
		refused := errors.New("refused")
		err := e.await(t.Context(), "the moon", 12*time.Second, func(context.Context) error { return refused })
		var absent *AbsentError
		if !errors.As(err, &absent) || !errors.Is(err, refused) || absent.For != "the moon" {
			t.Errorf("gave up with %v", err)
		}
		if took := time.Since(began); took > 12*time.Second || took < 10*time.Second {
			t.Errorf("it took %s", took)
		}
		if len(said) != 3 || at[0] != saidFirst || at[1] != saidFirst+saidAgain || said[0].For != "the moon" || !errors.Is(said[0].Why, refused) || said[0].Left != 11*time.Second {
			t.Errorf("said %+v at %v", said, at)
		}
	})
}

func TestATryThatHangsIsToldOfToo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		said := 0
		e := quiet()
		e.Waiting = func(w Waiting) {
			said++
			if w.Why != nil {
				t.Errorf("nothing has failed yet: %v", w.Why)
			}
		}
		err := e.await(t.Context(), "it", time.Minute, func(context.Context) error { <-time.After(8 * time.Second); return nil })
		if err != nil || said != 2 {
			t.Errorf("said %d times, %v", said, err)
		}
	})
}

func TestNobodyWaitsForWhatWillNotChangeOrWhenToldNotTo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		began, e := time.Now(), quiet()
		why := errors.New("no")
		if err := e.await(t.Context(), "x", time.Hour, func(context.Context) error { return final{why} }); !errors.Is(err, why) {
			t.Errorf("final: %v", err)
		}
		if err := e.await(t.Context(), "x", 0, func(context.Context) error { return why }); !errors.Is(err, why) {
			t.Errorf("no time: %v", err)
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("it took %s", took)
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Minute, func() { cancel(why) })
		if err := e.await(ctx, "x", time.Hour, func(context.Context) error { return errors.New("not yet") }); !errors.Is(err, why) {
			t.Errorf("stopped: %v", err)
		}
	})
}

func TestADatabaseThatRefusesIsToldFromOneThatIsNotThere(t *testing.T) {
	t.Parallel()
	dsn := pgtest.AdminDSN(t) // key=value pairs
	if err := reachDatabase(t.Context(), dsn); err != nil {
		t.Errorf("a good one: %v", err)
	}
	var stop final
	for name, bad := range map[string]string{
		"password": dsn + " password=wrong", "user": dsn + " user=nobody_knows", "database": dsn + " dbname=no_such", "text": "postgres://%zz",
		"sslmode": dsn + " sslmode=nonsense",
	} {
		if err := reachDatabase(t.Context(), bad); !errors.As(err, &stop) || !strings.Contains(err.Error(), "DATABASE_URL") {
			t.Errorf("%s: %v", name, err)
		}
	}
	err := reachDatabase(t.Context(), "postgres://u:hush@127.0.0.1:1/d")
	if err == nil || errors.As(err, &stop) || !strings.Contains(err.Error(), "refused") {
		t.Errorf("nobody there: %v", err)
	}
}

func TestAddressesAreShownWithoutTheirSecrets(t *testing.T) {
	t.Parallel()
	for dsn, want := range map[string]string{
		"postgres://u:hush@db.example.org:5433/d": "PostgreSQL at db.example.org:5433",
		"host=db user=u password=hush dbname=d":   "PostgreSQL at db:5432",
		"host=/run/pg user=u password=hush":       "PostgreSQL at /run/pg",
		"postgres://u:hush@%zz":                   "the database",
	} {
		if got := databaseAt(dsn); got != want {
			t.Errorf("%s: %q, want %q", dsn, got, want)
		}
	}
	if got := natsAt("nats://hush@a:4222, tls://u:hush@b"); got != "NATS at a:4222, b:4222" {
		t.Error(got)
	}
}

func TestTheReasonWhyNATSCannotBeReachedIsGiven(t *testing.T) {
	t.Parallel()
	err := unreachable(t.Context(), "nats://127.0.0.1:1", nats.ErrNoServers)
	if err == nil || !strings.Contains(err.Error(), "refused") {
		t.Errorf("refused: %v", err)
	}
	ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	if err := unreachable(t.Context(), "nats://"+ln.Addr().String(), nats.ErrTimeout); !errors.Is(err, nats.ErrTimeout) {
		t.Errorf("somebody else listens there: %v", err)
	}
	if err := unreachable(t.Context(), "", nats.ErrAuthorization); !errors.Is(err, nats.ErrAuthorization) {
		t.Errorf("another reason: %v", err)
	}
}
