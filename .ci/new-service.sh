#!/bin/sh
# Writes the rooms of a new service, so that nobody copies a neighbour's:
#   make new-service NAME=radar [NOUN=blip]
# What it writes compiles, is tested, and keeps the arrows of the house. It says
# nothing and answers nothing yet: the steps that follow are printed.
set -eu
cd "$(dirname "$0")/.."
name=${1:-}
noun=${2:-entry}
for word in "$name" "$noun"; do
	case $word in
	'' | [!a-z]* | *[!a-z0-9]*)
		echo "new-service: want NAME (and NOUN) of lower-case letters and digits, got \"$word\"" >&2
		exit 2
		;;
	esac
done
case $name in
instance | platform | options | golden | public | commandcenter)
	echo "new-service: the name $name has a meaning already" >&2
	exit 2
	;;
esac
case $noun in
serve | inbox | postgres | util | utils | common | helper | helpers | type | types | model | models | "$name")
	echo "new-service: a noun says what the service is about, \"$noun\" does not" >&2
	exit 2
	;;
esac
dir=services/$name
if [ -e "$dir" ]; then
	echo "new-service: $dir is there already" >&2
	exit 1
fi
Noun=$(printf '%s' "$noun" | cut -c1 | tr '[:lower:]' '[:upper:]')$(printf '%s' "$noun" | cut -c2-)

# write FILE: standard input with the words put in.
write() {
	mkdir -p "$(dirname "$dir/$1")"
	sed -e "s/@name@/$name/g" -e "s/@noun@/$noun/g" -e "s/@Noun@/$Noun/g" >"$dir/$1"
}

write doc.go <<'EOF'
// Package @name@ is the service that keeps @noun@s.
//
// Owns: @noun@s.
//
// Hears: nothing yet.
//
// Says: nothing yet.
//
// Serves: nothing yet.
package @name@
EOF

write config.go <<'EOF'
package @name@

import "fmt"

// Config is what the service may be told. Begin with [DefaultConfig].
type Config struct {
	Workers int `config:"workers" usage:"operations that run at the same time"`
}

// DefaultConfig is right for an instance of any size.
func DefaultConfig() Config { return Config{Workers: 16} }

// Validate reports what is wrong with c.
func (c Config) Validate() error {
	if c.Workers < 1 {
		return fmt.Errorf("workers: %d, want at least 1", c.Workers)
	}
	return nil
}
EOF

write module.go <<'EOF'
package @name@

import (
	"embed"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/commandcenter/commandcenter/pkg/app"
	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/outbox"
	"github.com/commandcenter/commandcenter/pkg/pg"

	"github.com/commandcenter/commandcenter/services/@name@/internal/@noun@"
	"github.com/commandcenter/commandcenter/services/@name@/internal/postgres"
	"github.com/commandcenter/commandcenter/services/@name@/internal/serve"
)

// Name is the name of the service, of its schema and of its bus user.
const Name = "@name@"

//go:embed migrations/*.sql
var files embed.FS

// Migrations make the schema of the service.
var Migrations = pg.Schema{Name: Name, FS: files, Dir: "migrations"}

// Deps is what the service is built from. DB, Bus and Log are needed.
type Deps struct {
	DB         *pg.DB
	Bus        *bus.Bus
	Log        *slog.Logger
	Registerer prometheus.Registerer // nil keeps no metrics
	Now        func() time.Time      // time.Now when nil
}

// New wires the service. Nothing runs before its parts are started.
func New(d Deps, c Config) (*app.Module, error) {
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("@name@: %w", err)
	}
	if d.DB == nil || d.Bus == nil || d.Log == nil {
		return nil, errors.New("@name@: DB, Bus and Log are needed")
	}
	if d.Now == nil {
		d.Now = time.Now
	}
	log := d.Log.With("service", Name)
	book := @noun@.Book{Keeper: postgres.New(d.DB), Now: d.Now}
	checks := []app.Check{{Name: "database", Check: d.DB.Ping}}
	server := bus.NewServer(d.Bus, bus.ServerConfig{Service: Name, DB: d.DB, Workers: c.Workers, Checks: checks})
	serve.Register(server, book)
	return &app.Module{
		Name:       Name,
		Parts:      []app.Part{server, outbox.NewRelay(d.DB, d.Bus, log, outbox.Metrics(d.Registerer))},
		Checks:     checks,
		Operations: serve.Operations(),
	}, nil
}
EOF

write module_test.go <<'EOF'
package @name@_test

import (
	"testing"

	"github.com/commandcenter/commandcenter/services/@name@"
)

func TestAServiceWithoutItsPartsIsRefused(t *testing.T) {
	t.Parallel()
	if _, err := @name@.New(@name@.Deps{}, @name@.DefaultConfig()); err == nil {
		t.Error("no database, no bus: no error")
	}
	if _, err := @name@.New(@name@.Deps{}, @name@.Config{}); err == nil {
		t.Error("no workers: no error")
	}
}
EOF

write "migrations/000001_${noun}s.up.sql" <<'EOF'
CREATE TABLE IF NOT EXISTS @noun@s (
    project_id bigint      NOT NULL,
    id         bigint      GENERATED ALWAYS AS IDENTITY (MAXVALUE 2147483647),
    name       text        NOT NULL,
    -- Counts the changes; events carry it, readers drop what is older.
    version    integer     NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (project_id, id),
    CONSTRAINT @noun@s_name CHECK (btrim(name) <> '' AND char_length(name) <= 255)
);
SELECT platform.protect('@noun@s');
EOF

write "migrations/000001_${noun}s.down.sql" <<'EOF'
DROP TABLE IF EXISTS @noun@s;
EOF

write "internal/$noun/doc.go" <<'EOF'
// Package @noun@ holds what a @noun@ is and the rules about it.
package @noun@
EOF

write "internal/$noun/$noun.go" <<'EOF'
package @noun@

import (
	"context"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/tenant"
)

// MaxName is the longest name, in characters.
const MaxName = 255

// ErrNotFound says that the project has no such @noun@.
var ErrNotFound = errs.New(errs.NotFound, "@noun@ not found")

// @Noun@ is one @noun@ of a project.
type @Noun@ struct {
	ID        int64
	Name      string
	Version   int
	CreatedAt time.Time
}

// keeper keeps the @noun@s of a project.
type keeper interface {
	// Insert gives x an id and keeps it.
	Insert(ctx context.Context, p tenant.Project, x @Noun@) (@Noun@, error)
	// Get returns a @noun@, or [ErrNotFound].
	Get(ctx context.Context, p tenant.Project, id int64) (@Noun@, error)
}

// Book holds the @noun@s of every project; the caller's is the one of its
// context.
type Book struct {
	Keeper keeper
	Now    func() time.Time
}

// Add keeps a new @noun@. A name that is empty or longer than [MaxName] is
// refused.
func (b Book) Add(ctx context.Context, name string) (@Noun@, error) {
	name = strings.TrimSpace(name)
	if name == "" || utf8.RuneCountInString(name) > MaxName {
		return @Noun@{}, errs.InvalidField("string_length", "name has 1 to 255 characters", "body", "name")
	}
	return b.Keeper.Insert(ctx, tenant.From(ctx).Project, @Noun@{Name: name, Version: 1, CreatedAt: b.Now()})
}

// Get returns a @noun@ of the caller's project, or [ErrNotFound].
func (b Book) Get(ctx context.Context, id int64) (@Noun@, error) {
	return b.Keeper.Get(ctx, tenant.From(ctx).Project, id)
}
EOF

write "internal/$noun/${noun}_test.go" <<'EOF'
package @noun@_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/tenant"

	"github.com/commandcenter/commandcenter/services/@name@/internal/@noun@"
)

// shelf keeps the @noun@s of one test.
type shelf map[tenant.Project][]@noun@.@Noun@

func (s shelf) Insert(_ context.Context, p tenant.Project, x @noun@.@Noun@) (@noun@.@Noun@, error) {
	x.ID = int64(len(s[p]) + 1)
	s[p] = append(s[p], x)
	return x, nil
}

func (s shelf) Get(_ context.Context, p tenant.Project, id int64) (@noun@.@Noun@, error) {
	if id < 1 || id > int64(len(s[p])) {
		return @noun@.@Noun@{}, @noun@.ErrNotFound
	}
	return s[p][id-1], nil
}

func in(t *testing.T, p tenant.Project) context.Context {
	t.Helper()
	return tenant.With(t.Context(), tenant.Identity{Project: p})
}

func TestWhatWasAddedIsFoundInItsProjectOnly(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	b := @noun@.Book{Keeper: shelf{}, Now: func() time.Time { return now }}
	added, err := b.Add(in(t, 1), "  first ")
	if err != nil || added.Name != "first" || !added.CreatedAt.Equal(now) {
		t.Fatalf("added %+v, %v", added, err)
	}
	if got, err := b.Get(in(t, 1), added.ID); err != nil || got != added {
		t.Errorf("got %+v, %v", got, err)
	}
	if _, err := b.Get(in(t, 2), added.ID); !errors.Is(err, @noun@.ErrNotFound) {
		t.Errorf("another project: %v", err)
	}
}

func TestANameThatIsEmptyOrTooLongIsRefused(t *testing.T) {
	t.Parallel()
	b := @noun@.Book{Keeper: shelf{}, Now: time.Now}
	for _, name := range []string{"", "  ", strings.Repeat("é", @noun@.MaxName+1)} {
		if _, err := b.Add(in(t, 1), name); errs.KindOf(err) != errs.Invalid {
			t.Errorf("%q: %v", name, err)
		}
	}
	if _, err := b.Add(in(t, 1), strings.Repeat("é", @noun@.MaxName)); err != nil {
		t.Errorf("the longest name: %v", err)
	}
}
EOF

write internal/postgres/doc.go <<'EOF'
// Package postgres has all the SQL of the service. Columns are named, never "*";
// every statement runs in a transaction that says whose rows it may see.
package postgres
EOF

write "internal/postgres/${noun}s.go" <<'EOF'
package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/jmoiron/sqlx"

	"github.com/commandcenter/commandcenter/pkg/pg"
	"github.com/commandcenter/commandcenter/pkg/tenant"

	"github.com/commandcenter/commandcenter/services/@name@/internal/@noun@"
)

// Store is the database of the service. It is safe for concurrent use.
type Store struct{ db *pg.DB }

// New returns the store in db, whose schema must be migrated.
func New(db *pg.DB) *Store { return &Store{db: db} }

// Insert keeps x and returns it with its id.
func (s *Store) Insert(ctx context.Context, p tenant.Project, x @noun@.@Noun@) (@noun@.@Noun@, error) {
	const q = `
		INSERT INTO @noun@s (project_id, name, version, created_at)
		VALUES ($1, $2, $3, $4)
		RETURNING id`
	err := s.db.InTenant(ctx, p, func(ctx context.Context, tx *sqlx.Tx) error {
		return tx.GetContext(ctx, &x.ID, q, int64(p), x.Name, x.Version, x.CreatedAt)
	})
	if err != nil {
		return @noun@.@Noun@{}, fmt.Errorf("insert a @noun@: %w", err)
	}
	return x, nil
}

// Get returns a @noun@ of the project, or [@noun@.ErrNotFound].
func (s *Store) Get(ctx context.Context, p tenant.Project, id int64) (@noun@.@Noun@, error) {
	const q = `
		SELECT id, name, version, created_at
		FROM   @noun@s
		WHERE  project_id = $1 AND id = $2`
	x := @noun@.@Noun@{}
	err := s.db.InTenant(ctx, p, func(ctx context.Context, tx *sqlx.Tx) error {
		return tx.QueryRowxContext(ctx, q, int64(p), id).Scan(&x.ID, &x.Name, &x.Version, &x.CreatedAt)
	})
	if errors.Is(err, sql.ErrNoRows) {
		return @noun@.@Noun@{}, @noun@.ErrNotFound
	}
	if err != nil {
		return @noun@.@Noun@{}, fmt.Errorf("get @noun@ %d: %w", id, err)
	}
	return x, nil
}
EOF

write "internal/postgres/${noun}s_test.go" <<'EOF'
package postgres_test

import (
	"errors"
	"testing"
	"time"

	"github.com/commandcenter/commandcenter/pkg/pg/pgtest"

	"github.com/commandcenter/commandcenter/services/@name@"
	"github.com/commandcenter/commandcenter/services/@name@/internal/@noun@"
	"github.com/commandcenter/commandcenter/services/@name@/internal/postgres"
)

func TestAProjectSeesItsOwnRowsAndNobodyElses(t *testing.T) {
	t.Parallel()
	s := postgres.New(pgtest.New(t, @name@.Migrations))
	kept, err := s.Insert(t.Context(), 1, @noun@.@Noun@{Name: "first", Version: 1, CreatedAt: time.Unix(1, 0)})
	if err != nil {
		t.Fatal(err)
	}
	got, err := s.Get(t.Context(), 1, kept.ID)
	if err != nil || got.Name != "first" || !got.CreatedAt.Equal(kept.CreatedAt) {
		t.Errorf("got %+v, %v", got, err)
	}
	if _, err := s.Get(t.Context(), 2, kept.ID); !errors.Is(err, @noun@.ErrNotFound) {
		t.Errorf("another project: %v", err)
	}
}
EOF

write internal/serve/doc.go <<'EOF'
// Package serve answers the operations of the service. serve.go lists each of
// them; then there is a file per noun.
package serve
EOF

write internal/serve/serve.go <<'EOF'
package serve

import (
	"context"

	"github.com/commandcenter/commandcenter/pkg/bus"

	"github.com/commandcenter/commandcenter/services/@name@/internal/@noun@"
)

// book is what this room asks.
type book interface {
	Add(ctx context.Context, name string) (@noun@.@Noun@, error)
	Get(ctx context.Context, id int64) (@noun@.@Noun@, error)
}

// Operations are the operations of the contract that the service answers.
func Operations() []string { return nil }

// Register binds every operation to its handler: bus.Request for reads and for
// what carries a secret, bus.Command for every other write.
func Register(_ *bus.Server, _ book) {}
EOF

gofmt -l "$dir"
cat <<EOF
$dir is there: go test ./$dir/...

Next:
  1. services/gateway/openapi.yaml: operations with x-service: $name, and
     $dir/internal/serve/oapi.yaml (look at a neighbour's) for their types; make gen
  2. proto-events/$name/v1/${name}_events.proto: what it says; name it among the
     consumers of ProjectDeleting, purge in inbox/ by pkg/purge
  3. services/commandcenter/internal/stack: list the module
  4. docker-compose.yml and deployments/: one more container of the same image
EOF
