package stack

import (
	"context"
	"database/sql"
	"errors"

	_ "github.com/lib/pq" // the driver

	"github.com/commandcenter/commandcenter/services/commandcenter/internal/datadir"
	"github.com/commandcenter/commandcenter/services/commandcenter/internal/settings"
)

// Database is what can be seen of the database from outside.
type Database struct {
	Version        string
	Connections    int
	MaxConnections int
	Missing        []string // schemas that are not there
}

// InspectDatabase looks at the database as its administrator. It changes
// nothing.
func InspectDatabase(ctx context.Context, c settings.Config, d *datadir.Dir) (out Database, err error) {
	dsn := adminDSN(&Env{Config: c, Dir: d})
	if dsn == "" {
		return out, errors.New("nobody has said where the database is")
	}
	db, err := sql.Open("postgres", dsn)
	if err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	const q = `
		SELECT current_setting('server_version'), current_setting('max_connections')::int,
		       (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend')`
	if err := db.QueryRowContext(ctx, q).Scan(&out.Version, &out.MaxConnections, &out.Connections); err != nil {
		return out, err
	}
	for _, s := range Schemas() {
		var there bool
		const q = `SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1)`
		if err := db.QueryRowContext(ctx, q, s.Name).Scan(&there); err != nil {
			return out, err
		}
		if !there {
			out.Missing = append(out.Missing, s.Name)
		}
	}
	return out, nil
}
