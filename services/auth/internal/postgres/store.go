package postgres

import (
	"time"

	"github.com/commandcenter/commandcenter/pkg/pg"
)

// InstanceTables are the tables without tenant. A test compares the list with
// the schema.
func InstanceTables() []string {
	return []string{"browser_sessions", "login_attempts", "password_resets", "refresh_tokens", "sessions", "signing_keys", "user_identities", "users"}
}

// Store is the database of the service. It is safe for concurrent use.
type Store struct{ db *pg.DB }

// New returns the store in db, whose schema must be migrated.
func New(db *pg.DB) *Store { return &Store{db: db} }

// The rooms of the store. They share one pool; they are apart because the nouns
// use the same short words for different things.
type (
	// Users keeps accounts and failed logins.
	Users struct{ *Store }
	// Sessions keeps sessions and refresh tokens.
	Sessions struct{ *Store }
	// Projects keeps projects and memberships.
	Projects struct{ *Store }
	// Members keeps who belongs to a project.
	Members struct{ *Store }
	// Invitations keeps who is invited to one.
	Invitations struct{ *Store }
	// Resets keeps who may choose a password anew.
	Resets struct{ *Store }
	// Quotas keeps the limits that projects have set.
	Quotas struct{ *Store }
)

// id32 is an id as events carry it; the sequences end at what fits.
func id32[N ~int64](n N) int32 { return int32(n) }

// utc gives a time the zone in which it is shown.
func utc(t *time.Time) *time.Time {
	if t == nil {
		return nil
	}
	u := t.UTC()
	return &u
}
