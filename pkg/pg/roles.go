package pg

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/lib/pq"
)

// groundwork makes what all schemas share: the schema of extensions, and
// pgvector where the server has it. Without pgvector, vectors are searched in
// the process, so its absence is no error.
func (m *migrator) groundwork() error {
	const q = `
		CREATE SCHEMA IF NOT EXISTS extensions;
		GRANT USAGE ON SCHEMA extensions TO PUBLIC;
		REVOKE CREATE ON SCHEMA public FROM PUBLIC;`
	if _, err := m.conn.ExecContext(m.ctx, q); err != nil {
		return fmt.Errorf("prepare the database: %w", err)
	}
	var wanted bool
	const vector = `
		SELECT EXISTS (SELECT 1 FROM pg_available_extensions WHERE name = 'vector' AND installed_version IS NULL)`
	if err := m.conn.QueryRowContext(m.ctx, vector).Scan(&wanted); err != nil {
		return fmt.Errorf("look for pgvector: %w", err)
	}
	if wanted {
		_, err := m.conn.ExecContext(m.ctx, `CREATE EXTENSION IF NOT EXISTS vector SCHEMA extensions`)
		if err != nil && !PolicyViolation(err) { // only a superuser may, on some servers
			return fmt.Errorf("create extension vector: %w", err)
		}
	}
	return nil
}

// roles makes the trio of a service and its schema. Roles belong to the
// cluster, not to the database whose lock we hold: a process that migrates
// another database may do the same at the same time, so losing the race to it
// is answered by looking again.
func (m *migrator) roles(service string) error {
	for attempt := 1; ; attempt++ {
		err := m.ensureRoles(service)
		if err == nil || attempt == 10 || !raced(err) {
			return err
		}
		select {
		case <-m.ctx.Done():
			return context.Cause(m.ctx)
		case <-time.After(time.Duration(attempt) * 10 * time.Millisecond):
		}
	}
}

// raced recognises what PostgreSQL says when two sessions create or change the
// same shared object.
func raced(err error) bool {
	var e *pq.Error
	if !errors.As(err, &e) {
		return false
	}
	switch e.Code {
	case "42710", "23505": // duplicate_object, unique_violation in a catalog
		return true
	case "XX000": // "tuple concurrently updated"
		return true
	}
	return false
}

func (m *migrator) ensureRoles(service string) error {
	owner, app, across := roleOwner(service), roleApp(service), roleAcross(service)
	platform := service == "platform"
	for _, role := range []string{owner, app, across} {
		if platform && role != owner {
			continue // nobody works in the platform schema
		}
		if err := m.ensureRole(role, role == app); err != nil {
			return err
		}
	}
	if !platform {
		if err := m.ensureMember(app, across); err != nil {
			return err
		}
	}
	q := `CREATE SCHEMA IF NOT EXISTS ` + service + ` AUTHORIZATION ` + owner + `;`
	if platform {
		q += `GRANT USAGE ON SCHEMA platform TO PUBLIC;` // its functions run with the caller's rights
	} else {
		q += `
		GRANT USAGE ON SCHEMA ` + service + ` TO ` + app + `, ` + across + `;
		ALTER DEFAULT PRIVILEGES FOR ROLE ` + owner + ` IN SCHEMA ` + service + ` GRANT USAGE ON SEQUENCES TO ` + app + `, ` + across + `;`
	}
	done, err := m.schemaReady(service, !platform)
	if err != nil || done {
		return err
	}
	if _, err := m.conn.ExecContext(m.ctx, q); err != nil {
		return fmt.Errorf("create schema: %w", err)
	}
	return nil
}

// schemaReady reports whether schema and grants are there, so that a second
// start writes nothing to the catalog.
func (m *migrator) schemaReady(service string, withRoles bool) (bool, error) {
	const q = `
		SELECT n.nspowner = (SELECT oid FROM pg_roles WHERE rolname = $2)
		       AND (NOT $3::boolean
		            OR EXISTS (SELECT 1 FROM pg_default_acl d WHERE d.defaclnamespace = n.oid AND d.defaclobjtype = 'S'))
		FROM   pg_namespace n WHERE n.nspname = $1`
	var ready bool
	err := m.conn.QueryRowContext(m.ctx, q, service, roleOwner(service), withRoles).Scan(&ready)
	if NoRows(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look for schema: %w", err)
	}
	return ready, nil
}

// ensureRole makes one role what it must be, and leaves it alone when it is.
func (m *migrator) ensureRole(role string, login bool) error {
	const look = `
		SELECT rolsuper OR rolbypassrls OR rolcreaterole OR rolcreatedb OR rolinherit OR rolreplication OR rolcanlogin <> $2,
		       pg_has_role(current_user, oid, 'MEMBER'),
		       (SELECT rolsuper FROM pg_roles WHERE rolname = current_user)
		FROM   pg_roles WHERE rolname = $1`
	var wrong, member, super bool
	err := m.conn.QueryRowContext(m.ctx, look, role, login).Scan(&wrong, &member, &super)
	missing := NoRows(err)
	if err != nil && !missing {
		return fmt.Errorf("look for role %s: %w", role, err)
	}
	if missing {
		if _, err := m.conn.ExecContext(m.ctx, `CREATE ROLE `+role+` NOINHERIT NOLOGIN`); err != nil {
			return fmt.Errorf("create role %s: %w", role, err)
		}
		if err := m.conn.QueryRowContext(m.ctx, look, role, login).Scan(&wrong, &member, &super); err != nil {
			return fmt.Errorf("look for role %s: %w", role, err)
		}
	}
	// To create the schema in its name and to run its migrations. A creator that
	// is no superuser counts as a member from PostgreSQL 16 on, yet may not
	// become the role before it grants itself that.
	if !member || missing && !super {
		if _, err := m.conn.ExecContext(m.ctx, `GRANT `+role+` TO CURRENT_USER`); err != nil {
			return fmt.Errorf("join role %s: %w", role, err)
		}
	}
	if !login {
		if wrong {
			return m.alterRole(role, super, "NOLOGIN")
		}
		return nil
	}
	return m.ensureLogin(role, wrong, super)
}

// ensureMember lets the application role become its across role. It inherits
// nothing from it: see NOINHERIT.
func (m *migrator) ensureMember(app, across string) error {
	var member bool
	if err := m.conn.QueryRowContext(m.ctx, `SELECT pg_has_role($1, $2, 'MEMBER')`, app, across).Scan(&member); err != nil {
		return fmt.Errorf("look for members of %s: %w", across, err)
	}
	if member {
		return nil
	}
	if _, err := m.conn.ExecContext(m.ctx, `GRANT `+across+` TO `+app); err != nil {
		return fmt.Errorf("let %s become %s: %w", app, across, err)
	}
	return nil
}

// ensureLogin gives an application role its password.
func (m *migrator) ensureLogin(role string, wrong, super bool) error {
	password := m.secrets(role)
	if password == "" {
		return fmt.Errorf("role %s: no password", role)
	}
	if !wrong && super && m.hasPassword(role, password) {
		return nil
	}
	verifier, err := scramVerifier(password)
	if err != nil {
		return err
	}
	return m.alterRole(role, super, `LOGIN PASSWORD `+pq.QuoteLiteral(verifier))
}

// alterRole sets all attributes that matter. Only a superuser may touch some of
// them, and only it could have given them; [Open] refuses what is left.
func (m *migrator) alterRole(role string, super bool, login string) error {
	q := `ALTER ROLE ` + role + ` NOINHERIT NOCREATEROLE ` + login
	if super {
		q = `ALTER ROLE ` + role + ` NOSUPERUSER NOBYPASSRLS NOREPLICATION NOINHERIT NOCREATEDB NOCREATEROLE ` + login
	}
	if _, err := m.conn.ExecContext(m.ctx, q); err != nil {
		return fmt.Errorf("alter role %s: %w", role, err)
	}
	return nil
}

// hasPassword spares a restart the change of a role that is right already.
func (m *migrator) hasPassword(role, password string) bool {
	var verifier string
	const q = `SELECT coalesce(rolpassword, '') FROM pg_authid WHERE rolname = $1`
	if err := m.conn.QueryRowContext(m.ctx, q, role).Scan(&verifier); err != nil {
		return false // not allowed to look: set it
	}
	return scramMatches(verifier, password)
}
