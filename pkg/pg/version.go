package pg

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/lib/pq"
)

// Migrated returns [ErrNotMigrated] when the migrations of s, or of the tables
// that every service has, have still to be run here, or are running. A database
// of a newer program is fine: migrations only add.
func (db *DB) Migrated(ctx context.Context, s Schema) error {
	tables, err := newSource(tableFiles, "tables")
	if err != nil {
		return err
	}
	own, err := newSource(s.FS, s.Dir)
	if err != nil {
		return fmt.Errorf("schema %s: %w", s.Name, err)
	}
	for _, st := range []step{{tables, tableVersions}, {own, ownVersions}} {
		if st.files.last == 0 {
			continue
		}
		var at int64
		var dirty bool
		err := db.pool.QueryRowContext(ctx, `SELECT version, dirty FROM `+s.Name+`.`+st.versions).Scan(&at, &dirty)
		var e *pq.Error
		switch {
		case errors.Is(err, sql.ErrNoRows), errors.As(err, &e) && (e.Code == "42P01" || e.Code == "42501"):
			// No such table yet, or nobody has let us read it yet.
			return fmt.Errorf("schema %s: %w", s.Name, ErrNotMigrated)
		case err != nil:
			return fmt.Errorf("schema %s: read its version: %w", s.Name, classify(err))
		case dirty, at < st.files.last:
			return fmt.Errorf("schema %s is at version %d of %s, this program needs %d: %w", s.Name, at, st.versions, st.files.last, ErrNotMigrated)
		}
	}
	return nil
}

// Versions are how far this program brings the schema: by its own migrations,
// and by those of the tables that every service has.
func (s Schema) Versions() (own, common int64, err error) {
	tables, err := newSource(tableFiles, "tables")
	if err != nil {
		return 0, 0, err
	}
	files, err := newSource(s.FS, s.Dir)
	if err != nil {
		return 0, 0, fmt.Errorf("schema %s: %w", s.Name, err)
	}
	return files.last, tables.last, nil
}

// legible lets the application of a service read how far its schema is. A
// second start writes nothing to the catalog.
func (m *migrator) legible(service string) error {
	for _, table := range []string{tableVersions, ownVersions} {
		name, app := service+"."+table, roleApp(service)
		const look = `SELECT coalesce(NOT has_table_privilege($1, to_regclass($2), 'SELECT'), false)`
		var closed bool
		if err := m.conn.QueryRowContext(m.ctx, look, app, name).Scan(&closed); err != nil {
			return fmt.Errorf("look for the rights on %s: %w", name, err)
		}
		if !closed {
			continue
		}
		if _, err := m.conn.ExecContext(m.ctx, `BEGIN; SET LOCAL ROLE `+roleOwner(service)+`; GRANT SELECT ON `+name+` TO `+app+`; COMMIT`); err != nil {
			return fmt.Errorf("let %s read %s: %w", app, name, err)
		}
	}
	return nil
}
