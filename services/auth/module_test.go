package auth_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/commandcenter/commandcenter/pkg/app"
	"github.com/commandcenter/commandcenter/pkg/bus/bustest"
	"github.com/commandcenter/commandcenter/pkg/pg"
	"github.com/commandcenter/commandcenter/pkg/pg/pgtest"
	"github.com/commandcenter/commandcenter/pkg/secret"
	"github.com/commandcenter/commandcenter/pkg/secret/secrettest"
	"github.com/commandcenter/commandcenter/pkg/tenant"

	"github.com/commandcenter/commandcenter/services/auth"
)

func config() auth.Config {
	c := auth.DefaultConfig()
	c.Password.MemoryKiB, c.Password.Iterations = 64, 1
	return c
}

func count(t *testing.T, db *pg.DB, q string) (n int) {
	t.Helper()
	err := db.AcrossProjects(t.Context(), "test", func(ctx context.Context, tx *sqlx.Tx) error { return tx.GetContext(ctx, &n, q) })
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestDefaultsAreValidAndEveryFaultIsReported(t *testing.T) {
	t.Parallel()
	if err := auth.DefaultConfig().Validate(); err != nil {
		t.Error(err)
	}
	if th := auth.DefaultConfig().Throttle; th.Lock >= th.MaxLock || th.CeilingLock >= th.MaxLock {
		t.Errorf("a lock does not grow: %+v", th)
	}
	err := auth.Config{TenantHolders: []string{"No Name"}, RefreshGrace: -1}.Validate()
	for _, key := range []string{
		"issuer", "audience", "access_life", "refresh_grace", "housekeeping", "remind_purge", "tenant_holders",
		"password.memory_kib", "password.iterations", "password.parallelism", "password.concurrent",
		"throttle.failures", "throttle.window", "throttle.lock",
	} {
		if !strings.Contains(err.Error(), key+":") {
			t.Errorf("nothing said of %s", key)
		}
	}
	c := auth.DefaultConfig()
	c.SessionMax, c.RefreshLife, c.KeyAnnounce, c.Throttle.MaxLock = 0, time.Second, time.Minute, time.Second
	for _, key := range []string{"session_max", "refresh_life", "key_announce", "throttle.max_lock"} {
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), key+":") {
			t.Errorf("nothing said of %s", key)
		}
	}
}

func TestBootstrapMakesOneOwnerHoweverOftenItIsCalled(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, auth.Migrations)
	var made atomic.Int32
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			o, err := auth.Bootstrap(t.Context(), db, auth.First{Email: "Owner@Localhost", FullName: "Owner"}, config())
			if err != nil {
				t.Error(err)
				return
			}
			if o.Created {
				made.Add(1)
				if len(o.Password) < 26 {
					t.Errorf("random password of %d characters", len(o.Password))
				}
			} else if o.Password != "" {
				t.Error("a password that is not true")
			}
			if o.Email != "owner@localhost" || o.Project == tenant.Instance || o.UserID == 0 {
				t.Errorf("owner = %+v", o)
			}
		})
	}
	wg.Wait()
	if made.Load() != 1 || count(t, db, `SELECT count(*) FROM users`) != 1 || count(t, db, `SELECT count(*) FROM projects`) != 1 {
		t.Errorf("made %d times", made.Load())
	}
}

func TestBootstrapTakesAPasswordThatWasWrittenDownBefore(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, auth.Migrations)
	first := auth.First{Email: "owner@localhost", Password: auth.NewPassword()}
	o, err := auth.Bootstrap(t.Context(), db, first, config())
	if err != nil || !o.Created || o.Password != first.Password {
		t.Errorf("owner = %+v, %v", o, err)
	}
	weak := auth.First{Email: "owner@localhost", Password: "password1"}
	if _, err := auth.Bootstrap(t.Context(), pgtest.New(t, auth.Migrations), weak, config()); err == nil {
		t.Error("a common password was taken")
	}
	if _, err := auth.Bootstrap(t.Context(), db, first, auth.Config{}); err == nil {
		t.Error("settings that are not valid were taken")
	}
	if a, b := auth.NewPassword(), auth.NewPassword(); a == b {
		t.Error("two random passwords are equal")
	}
}

func TestNewRefusesWhatCannotWork(t *testing.T) {
	t.Parallel()
	env, db := bustest.New(t, "auth"), pgtest.New(t, auth.Migrations)
	good := auth.Deps{DB: db, Bus: env.Bus("auth"), Secrets: secrettest.Ring(t), Secret: make([]byte, 32)}
	for name, c := range map[string]struct {
		d auth.Deps
		c auth.Config
	}{
		"no database":  {auth.Deps{Bus: good.Bus, Secrets: good.Secrets, Secret: good.Secret}, config()},
		"no bus":       {auth.Deps{DB: db, Secrets: good.Secrets, Secret: good.Secret}, config()},
		"no ring":      {auth.Deps{DB: db, Bus: good.Bus, Secret: good.Secret}, config()},
		"short secret": {auth.Deps{DB: db, Bus: good.Bus, Secrets: good.Secrets, Secret: []byte("secret")}, config()},
		"no settings":  {good, auth.Config{}},
	} {
		if _, err := auth.New(c.d, c.c); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	good.Registerer = prometheus.NewRegistry()
	if _, err := auth.New(good, config()); err != nil {
		t.Fatal(err)
	}
	if _, err := auth.New(good, config()); err == nil {
		t.Error("metrics registered twice")
	}
}

func start(t *testing.T, p app.Part) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), bustest.Patience)
	defer cancel()
	err := p.Start(ctx)
	if err == nil {
		t.Cleanup(func() {
			ctx, cancel := context.WithTimeout(context.Background(), bustest.Patience)
			defer cancel()
			if err := p.Stop(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	return err
}

func TestReplicasStartTogetherAndOtherSealingKeysAreRefused(t *testing.T) {
	t.Parallel()
	env, db := bustest.New(t, "auth"), pgtest.New(t, auth.Migrations)
	module := func(ring *secret.Ring) *app.Module {
		m, err := auth.New(auth.Deps{
			DB: db, Bus: env.Connect(env.Config("auth")), Secrets: ring, Secret: make([]byte, 32), Log: slog.New(slog.DiscardHandler),
		}, config())
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	ring := secrettest.Ring(t)
	for range 2 {
		m := module(ring)
		for _, c := range m.Checks {
			if c.Name == "auth.signing_keys" && c.Check(t.Context()) == nil {
				t.Error("healthy before there is a key")
			}
		}
		if err := start(t, m.Part()); err != nil {
			t.Fatal(err)
		}
		for _, c := range m.Checks {
			if err := c.Check(t.Context()); err != nil {
				t.Errorf("%s: %v", c.Name, err)
			}
		}
	}
	if n := count(t, db, `SELECT count(*) FROM signing_keys`); n != 1 {
		t.Errorf("%d keys, want 1", n)
	}
	if err := start(t, module(secrettest.Ring(t)).Part()); err == nil || !strings.Contains(err.Error(), "do not open with the sealing keys") {
		t.Errorf("with other keys: %v", err)
	}
}

func TestHousekeepingSweepsAndReminds(t *testing.T) {
	t.Parallel()
	env, db := bustest.New(t, "auth", "knowledge"), pgtest.New(t, auth.Migrations)
	o, err := auth.Bootstrap(t.Context(), db, auth.First{Email: "owner@localhost"}, config())
	if err != nil {
		t.Fatal(err)
	}
	err = db.AcrossProjects(t.Context(), "test", func(ctx context.Context, tx *sqlx.Tx) error {
		for _, q := range []string{
			`INSERT INTO sessions (id, user_id, created_at, used_at, expires_at)
			 VALUES (gen_random_uuid(), $1, now() - interval '32 d', now(), now() - interval '31 d')`,
			`INSERT INTO projects (name, owner_id, created_at, updated_at, deleted_at, reminded_at)
			 VALUES ('old', $1, now(), now(), now() - interval '3 h', now() - interval '2 h')`,
			`INSERT INTO project_purges (project_id, service, asked_at) SELECT project_id, 'knowledge', now() FROM projects WHERE owner_id = $1 AND deleted_at IS NOT NULL`,
		} {
			if _, err := tx.ExecContext(ctx, q, o.UserID); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	c := config()
	c.Housekeeping = 20 * time.Millisecond
	m, err := auth.New(auth.Deps{DB: db, Bus: env.Bus("auth"), Secrets: secrettest.Ring(t), Secret: make([]byte, 32), Log: slog.New(slog.DiscardHandler)}, c)
	if err != nil {
		t.Fatal(err)
	}
	if err := start(t, m.Part()); err != nil {
		t.Fatal(err)
	}
	deadline, cancel := context.WithTimeout(t.Context(), bustest.Patience)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for count(t, db, `SELECT count(*) FROM sessions`) > 0 || count(t, db, `SELECT count(*) FROM outbox WHERE subject LIKE '%.project.deleting.v1'`) != 1 {
		select {
		case <-tick.C:
		case <-deadline.Done():
			t.Fatal(errors.New("nothing was swept, or nobody was reminded"))
		}
	}
}
