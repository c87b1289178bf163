package stack

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/jmoiron/sqlx"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/commandcenter/commandcenter/pkg/bus/bustest"
	"github.com/commandcenter/commandcenter/pkg/pg"
	"github.com/commandcenter/commandcenter/pkg/pg/pgtest"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	"github.com/commandcenter/commandcenter/services/gateway"
)

func TestEveryTableWithRowsOfProjectsHasItsPlaceInAnExport(t *testing.T) {
	t.Parallel()
	dbs := pgtest.NewAll(t, Schemas()...)
	plans := Plans()
	for _, s := range Schemas() {
		plan := plans[s.Name]
		if plan == nil {
			t.Errorf("%s has rows, and does not say what becomes of them when a project is exported", s.Name)
			continue
		}
		err := dbs[s.Name].InTenant(t.Context(), tenant.Instance, func(ctx context.Context, tx *sqlx.Tx) error {
			found, err := pg.Holdings(ctx, tx, s.Name)
			if err == nil {
				err = plan.Check(found)
			}
			for table, query := range plan.Queries { // whose columns the catalog does not tell
				names, qerr := columnsOf(ctx, tx, query)
				err = errors.Join(err, qerr)
				for _, c := range names {
					if !slices.Contains(plan.Columns[table], c) {
						t.Errorf("%s.%s has the column %s, which an import would refuse: name it in Columns", s.Name, table, c)
					}
				}
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
}

func columnsOf(ctx context.Context, tx *sqlx.Tx, query string) ([]string, error) {
	rows, err := tx.QueryxContext(ctx, "SELECT * FROM ("+query+") q LIMIT 0")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	return rows.Columns()
}

// An export asks every service of the contract; one without an operation would be
// forgotten.
func TestEveryServiceWithRowsIsAskedForAnExport(t *testing.T) {
	t.Parallel()
	may, err := gateway.Permissions()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range Schemas() {
		if !slices.Contains(may.Calls, s.Name+".exportPage") {
			t.Errorf("the gateway may not ask %s what it holds", s.Name)
		}
	}
}

// kept says of every stream and bucket what of a project it keeps, and why an
// export has it or not.
var kept = map[string]string{
	"OBJ_blobs":     "exported: bytes that rows refer to",
	"COMMANDS":      "what callers of this instance want done",
	"EVENTS":        "told again by who owns what they tell of",
	"JOBS":          "work of this instance",
	"DEAD":          "what was given up here",
	"LIVE":          "progress, for minutes",
	"SPILL":         "requests and answers on their way",
	"BODIES":        "bodies of commands on their way",
	"KV_OPERATIONS": "answers of calls to this instance, for a day",
}

func TestEveryStreamAndBucketHasItsPlaceInAnExport(t *testing.T) {
	t.Parallel()
	env := bustest.Start(t, Names())
	js, err := jetstream.New(env.Conn("admin"))
	if err != nil {
		t.Fatal(err)
	}
	names := js.StreamNames(t.Context())
	var seen []string
	for name := range names.Name() {
		seen = append(seen, name)
		if kept[name] == "" {
			t.Errorf("stream %s: say what an export makes of it", name)
		}
	}
	if names.Err() != nil || len(seen) < 5 {
		t.Errorf("%v, %v", seen, names.Err())
	}
}
