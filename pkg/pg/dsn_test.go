package pg_test

import (
	"strings"
	"testing"

	"github.com/lib/pq"

	"github.com/commandcenter/commandcenter/pkg/pg"
	"github.com/commandcenter/commandcenter/pkg/pg/pgtest"
)

func TestServiceDSNChangesTheRoleAndNothingElse(t *testing.T) {
	t.Parallel()
	secrets := func(role string) string { return `p'a\ss @/` + role }
	for _, dsn := range []string{
		"postgres://admin:secret@db.example:6432/cc?sslmode=disable",
		"postgresql://db.example:6432/cc?sslmode=disable&user=admin&password=secret",
		"host=db.example port=6432 user=admin password=secret dbname=cc sslmode=disable",
	} {
		got, err := pg.ServiceDSN(dsn, "auth", secrets)
		must(t, err)
		cfg, err := pq.NewConfig(got)
		must(t, err)
		if cfg.User != "auth_app" || cfg.Password != secrets("auth_app") || cfg.Host != "db.example" || cfg.Port != 6432 || cfg.Database != "cc" || cfg.SSLMode != "disable" {
			t.Errorf("%s: %+v", dsn, cfg)
		}
	}
	if _, err := pg.ServiceDSN("host=x", "no service", secrets); err == nil {
		t.Error("a name with a space was accepted")
	}
	if _, err := pg.ServiceDSN("postgres://user:secret@%zz", "auth", secrets); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("a broken URL: %v", err)
	}
}

func TestInstanceSecretsAreTheSameEveryTimeAndDifferByRole(t *testing.T) {
	t.Parallel()
	if _, err := pg.InstanceSecrets(make([]byte, 15)); err == nil {
		t.Fatal("a short secret was accepted")
	}
	a, err := pg.InstanceSecrets([]byte("0123456789abcdef"))
	must(t, err)
	b, err := pg.InstanceSecrets([]byte("0123456789abcdeg"))
	must(t, err)
	again, err := pg.InstanceSecrets([]byte("0123456789abcdef"))
	must(t, err)
	if a("auth_app") != again("auth_app") || a("auth_app") == a("knowledge_app") || a("auth_app") == b("auth_app") || len(a("x")) != 64 {
		t.Fatal(a("auth_app"), a("knowledge_app"), b("auth_app"))
	}
}

func TestANewSecretReplacesThePasswordAndIsNeverInAStatement(t *testing.T) {
	t.Parallel()
	dsn := pgtest.AdminDSN(t)
	schema := pg.Schema{Name: "rotated"}
	for _, password := range []string{"first-password", "second-password"} {
		secrets := func(string) string { return password }
		must(t, pg.Migrate(t.Context(), dsn, secrets, schema))
		service, err := pg.ServiceDSN(dsn, "rotated", secrets)
		must(t, err)
		db, err := pg.Open(t.Context(), pg.Config{DSN: service, Service: "rotated"})
		must(t, err)
		must(t, db.Close())
	}
	if err := pg.Migrate(t.Context(), dsn, func(string) string { return "" }, schema); err == nil {
		t.Fatal("an empty password was accepted")
	}
}
