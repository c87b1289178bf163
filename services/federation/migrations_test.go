package federation_test

import (
	"os"
	"testing"

	"github.com/commandcenter/commandcenter/pkg/pg"
	"github.com/commandcenter/commandcenter/pkg/pg/pgtest"
	"github.com/commandcenter/commandcenter/services/federation"
)

func TestMigrationsGoDownAndUpAgain(t *testing.T) {
	t.Parallel()
	dsn := pgtest.AdminDSN(t)
	if err := pg.Migrate(t.Context(), dsn, pgtest.Secrets(), federation.Migrations); err != nil {
		t.Fatal(err)
	}
	admin := pgtest.Connect(t, dsn)
	for _, name := range []string{"000004_hot_rows", "000003_shares", "000002_catalog", "000001_instances"} {
		q, err := os.ReadFile("migrations/" + name + ".down.sql")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := admin.Exec("SET search_path = federation; " + string(q)); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	if _, err := admin.Exec("DELETE FROM federation.schema_migrations"); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := pg.Migrate(t.Context(), dsn, pgtest.Secrets(), federation.Migrations); err != nil {
			t.Fatal(err)
		}
	}
}
