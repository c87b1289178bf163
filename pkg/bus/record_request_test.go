package bus_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/jmoiron/sqlx"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/bus/bustest"
	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/outbox"
	"github.com/commandcenter/commandcenter/pkg/pg/pgtest"
	"github.com/commandcenter/commandcenter/pkg/tenant"
)

// keep serves "keep", a write that is a request: it changes a row, in a
// transaction of its own, and then does what step says.
func (w *world) keep(step func(ctx context.Context) error) {
	s := bus.NewServer(w.Bus("auth"), bus.ServerConfig{DB: w.db})
	bus.Request(s, "keep", func(ctx context.Context, r echoRequest) (echoAnswer, error) {
		if r.Text != "" {
			if err := w.count(ctx, r.Text); err != nil {
				return echoAnswer{}, err
			}
		}
		return echoAnswer{}, step(ctx)
	})
	w.Run(s)
}

func (w *world) ask(t *testing.T, text string, who tenant.Identity) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), bustest.Patience)
	defer cancel()
	ctx = bus.WithOrigin(ctx, bus.Origin{Writes: true, Address: "192.0.2.1"})
	_, err := w.Bus(bustest.Edge).Request(ctx, bus.Target{Service: "auth", Operation: "keep", Project: who.Project}, who, fmt.Appendf(nil, `{"text":%q}`, text))
	return err
}

// recorded are the records in the outbox, as "project actor outcome".
func (w *world) recorded(t *testing.T) (all []string) {
	t.Helper()
	err := pgtest.Admin(t, w.db).SelectContext(t.Context(), &all, `
		SELECT project_id || ' ' || coalesce(d ->> 'principal', '') || ' ' || coalesce(nullif(d ->> 'reason', ''), d ->> 'status', '')
		FROM   (SELECT id, project_id, convert_from(data, 'UTF8')::jsonb AS d FROM auth.outbox WHERE subject LIKE '%.call.recorded.v1') x ORDER BY id`)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func (w *world) promised(t *testing.T) (n int) {
	t.Helper()
	if err := pgtest.Admin(t, w.db).GetContext(t.Context(), &n, `SELECT count(*) FROM auth.outbox_promises`); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestAWriteThatWasCutOffBeforeItsRecordIsRecordedAllTheSame(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	admin := pgtest.Admin(t, w.db)
	w.keep(func(ctx context.Context) error {
		bus.ActedAs(ctx, "user:9")
		if err := w.count(ctx, "b"); err != nil {
			return err
		}
		if w.counted(t) != 2 || w.promised(t) != 1 {
			t.Errorf("committed: %d changes, %d promises", w.counted(t), w.promised(t))
		}
		// From here on nothing reaches the tables, as if the process were killed.
		_, err := admin.ExecContext(ctx, `
			CREATE FUNCTION auth.gone() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'killed'; END $$;
			CREATE TRIGGER gone BEFORE INSERT ON auth.outbox FOR EACH ROW EXECUTE FUNCTION auth.gone()`)
		return err
	})
	if err := w.ask(t, "a", alice); errs.KindOf(err) != errs.Internal {
		t.Errorf("answered %v", err)
	}
	if all := w.recorded(t); len(all) != 0 || w.counted(t) != 2 {
		t.Fatalf("recorded %q, %d changes", all, w.counted(t))
	}
	// The service is back, and time has passed.
	if _, err := admin.ExecContext(t.Context(), `DROP TRIGGER gone ON auth.outbox; UPDATE auth.outbox_promises SET due_at = now() - interval '1 second'`); err != nil {
		t.Fatal(err)
	}
	w.Run(outbox.NewRelay(w.db, w.Bus("auth"), nil))
	bustest.Eventually(w.Env, func() bool { return slices.Equal(w.recorded(t), []string{"42 user:9 interrupted"}) })
	if n := w.promised(t); n != 0 {
		t.Errorf("%d promises are left", n)
	}
}

func TestARecordTakesThePromiseBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	refuse := errs.New(errs.Conflict, "no")
	how := map[string]func(ctx context.Context) error{
		"fine":    func(context.Context) error { return nil },
		"refused": func(context.Context) error { return refuse },
		"named":   func(ctx context.Context) error { bus.ActedAs(ctx, "user:9"); return nil },
		"joined":  func(ctx context.Context) error { bus.ActedIn(ctx, 43); return nil },
		"not in":  func(ctx context.Context) error { bus.ActedIn(ctx, 43); return refuse },
	}
	var now string
	w.keep(func(ctx context.Context) error { return how[now](ctx) })
	for _, c := range []struct {
		now, text string
		who       tenant.Identity
		want      string
	}{
		{"fine", "a", alice, "42 user:7 200"},
		{"fine", "", alice, "42 user:7 200"}, // it changes nothing
		{"refused", "b", alice, "42 user:7 conflict"},
		{"named", "c", tenant.Identity{Project: 42}, "42 user:9 200"},
		{"refused", "d", tenant.Identity{Project: 42}, ""}, // nobody: for the edge to tell
		{"joined", "e", alice, "42 user:7 200|43 user:7 200"},
		{"not in", "f", alice, "42 user:7 conflict"},
	} {
		now = c.now
		before := len(w.recorded(t))
		if err := w.ask(t, c.text, c.who); err != nil && errs.KindOf(err) != errs.Conflict {
			t.Errorf("%s: %v", c.now, err)
		}
		if got := strings.Join(w.recorded(t)[before:], "|"); got != c.want || w.promised(t) != 0 {
			t.Errorf("%s %q: recorded %q, want %q; %d promises", c.now, c.text, got, c.want, w.promised(t))
		}
	}
}

func TestAChangeThatCannotBePromisedIsNotMade(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if _, err := pgtest.Admin(t, w.db).ExecContext(t.Context(), `ALTER TABLE auth.outbox_promises ADD CONSTRAINT none CHECK (false)`); err != nil {
		t.Fatal(err)
	}
	w.keep(func(context.Context) error { return nil })
	if err := w.ask(t, "a", alice); errs.KindOf(err) != errs.Internal || w.counted(t) != 0 {
		t.Errorf("answered %v, %d changes", err, w.counted(t))
	}
}

// What a handler left running behind its answer is no part of the call.
func TestWhatGoesOnBehindTheAnswerPromisesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	answered, done := make(chan struct{}), make(chan error, 1)
	w.keep(func(ctx context.Context) error {
		ctx = context.WithoutCancel(ctx)
		go func() {
			<-answered
			done <- w.db.InTenant(ctx, 42, func(ctx context.Context, tx *sqlx.Tx) error {
				_, err := outbox.Once(ctx, tx, "behind", "x")
				return err
			})
		}()
		return nil
	})
	if err := w.ask(t, "a", alice); err != nil {
		t.Fatal(err)
	}
	close(answered)
	if err := bustest.Await(w.Env, done); err != nil || w.promised(t) != 0 {
		t.Errorf("%v, %d promises", err, w.promised(t))
	}
}

// What was changed is in the record of a call that has changed it, each field once.
func TestARecordSaysWhatWasChanged(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var refusal error
	w.keep(func(ctx context.Context) error {
		bus.Changed(ctx, "role", "viewer", "member") // a try whose transaction failed
		bus.Changed(ctx, "role", "viewer", "admin")
		bus.Changed(ctx, "name", "same", "same")
		bus.Changed(ctx, "limit", "", "5/minute")
		bus.Changed(ctx, "model", "old", "")
		bus.Noted(ctx, "key_id", "7")
		bus.Touched(ctx, "description")
		bus.Touched(ctx, "description")
		return refusal
	})
	targets := func() (got string) {
		err := pgtest.Admin(t, w.db).GetContext(t.Context(), &got, `
			SELECT coalesce(string_agg((x ->> 'name') || '=' || (x ->> 'value'), ' '), '')
			FROM   (SELECT convert_from(data, 'UTF8')::jsonb AS d FROM auth.outbox WHERE subject LIKE '%.call.recorded.v1' ORDER BY id DESC LIMIT 1) o,
			       jsonb_array_elements(coalesce(d -> 'target', '[]')) x`)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	if err := w.ask(t, "a", alice); err != nil {
		t.Fatal(err)
	}
	if got, want := targets(), "key_id=7 role.before=viewer role.after=admin limit.after=5/minute model.before=old changed=description"; got != want {
		t.Errorf("recorded %q, want %q", got, want)
	}
	refusal = errs.New(errs.Conflict, "no")
	if err := w.ask(t, "b", alice); errs.KindOf(err) != errs.Conflict {
		t.Fatal(err)
	}
	if got, want := targets(), "key_id=7"; got != want {
		t.Errorf("of a call that changed nothing: %q, want %q", got, want)
	}
}

// Who came as nobody and is refused is the edge's to tell of, also when it is known by
// then who that was: the answer says what is known, and nothing is recorded twice.
func TestTheEdgeIsToldWhatIsKnownOfARefusalThatItRecords(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.keep(func(ctx context.Context) error {
		bus.Noted(ctx, "user", "user:9")
		bus.ActedAs(ctx, "user:9")
		return errs.New(errs.Unauthenticated, "no")
	})
	err := w.ask(t, "", tenant.Identity{})
	got := bus.AboutOf(fmt.Errorf("asked: %w", err))
	if errs.KindOf(err) != errs.Unauthenticated || got.Actor != "user:9" || !slices.Equal(got.Named, []bus.Named{{Name: "user", Value: "user:9"}}) || len(w.recorded(t)) != 0 {
		t.Errorf("%v about %+v, recorded %q", err, got, w.recorded(t))
	}
	if got := bus.AboutOf(w.ask(t, "", alice)); got.Actor != "" || got.Named != nil || len(w.recorded(t)) != 1 {
		t.Errorf("of somebody who is known: %+v, recorded %q", got, w.recorded(t))
	}
}
