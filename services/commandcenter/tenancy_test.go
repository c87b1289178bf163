package main_test

import (
	"testing"

	"github.com/commandcenter/commandcenter/pkg/pg/pgtest"
	"github.com/commandcenter/commandcenter/services/commandcenter/internal/stack"
)

// spanning are the places of our schemas that reach beyond one project, and why
// they may.
var spanning = map[string]string{
	"auth.projects_owner_name":     "a name is unique among the projects of its owner, who is the only one to be told",
	"auth.memberships_default":     "a person has one default project; the person alone sets it, and it is moved and not refused",
	"auth.invitations_secret_hash": "SHA-256 of 256 bits of chance, looked up before it is known of which project it is",
	"auth.api_keys_hash_key":       "SHA-256 of 256 bits of chance, looked up before it is known of which project it is",
	"auth.service_accounts_id":     "drawn from one sequence and given by nobody; a principal of the instance, `service-account:3`",
	"auth.audit_purge":             "removes the log of a project that has no row any more, which nobody else may; it refuses every other",
	"knowledge.trash_pkey":         "the bus makes the names: `<project>/<random UUID>`, of which nobody gives any part",
}

// everywhere are those of the tables that every service has.
var everywhere = map[string]string{
	"outbox_pkey": "always drawn from one sequence; the relay publishes in its order, whatever the project",
	"jobs_pkey":   "UUIDs that the service makes, random or of a command, whose id is made of its project",
}

// TestNoTableLetsAProjectReachAnother looks through the catalog of the database
// as the product migrates it: all schemas of the services that the binary lists,
// and whatever else there is.
func TestNoTableLetsAProjectReachAnother(t *testing.T) {
	t.Parallel()
	schemas := stack.Schemas()
	dbs := pgtest.NewAll(t, schemas...)
	for _, s := range schemas {
		for name, why := range everywhere {
			spanning[s.Name+"."+name] = why
		}
	}
	leaks, stale := pgtest.Unnamed(pgtest.Leaks(t, pgtest.Admin(t, dbs[schemas[0].Name])), spanning)
	for _, l := range leaks {
		t.Errorf("%s: mend it, or name it here with a reason", l)
	}
	for _, s := range stale {
		t.Errorf("%s is named here, and nothing is wrong with it", s)
	}
}
