// Package pg is the way to PostgreSQL: one schema per service, a trio of roles
// per schema, and no statement outside a transaction that says whose rows it
// may see.
//
// # Roles
//
// For a service "auth" [Migrate] keeps schema auth and three roles:
//
//   - auth_owner owns the schema and runs its migrations; nobody logs in as it;
//   - auth_app logs in and runs the service; row security binds it;
//   - auth_across sees all projects; nobody logs in as it, auth_app may become
//     it for one transaction.
//
// [Open] refuses to work as any role that row security does not bind.
//
// # Tenancy
//
// [DB.InTenant] runs a function with the project set for that transaction
// alone, [DB.AcrossProjects] runs one that may see all projects and has to say
// why. Policies compare project_id with the setting and fail closed: unset or
// empty shows nothing and accepts nothing. Migrations protect a table with
//
//	select platform.protect('notes');             -- rows of one project only
//	select platform.protect('notes', true);       -- and AcrossProjects
//	select platform.exempt('countries', 'reason') -- a table without tenant
//
// and [Migrate] fails when a table of a service is neither.
//
// # Transactions
//
// The context that InTenant passes to its function carries the transaction: a
// call below it with that context joins instead of opening a second one. A
// joined call is still all or nothing (a savepoint), sees its own project and
// gives the outer one back. [DB.Unit] makes a context in which everything joins
// one transaction that the caller commits. One transaction runs one call at a
// time; concurrent calls under one unit wait for each other.
//
// What must happen only after the commit is given to [OnCommit].
//
// # Alone in the cluster
//
// [DB.Lead] runs a function in one process at a time, under a session advisory
// lock on a connection of its own. Advisory locks and start-up parameters need
// a direct connection or a pooler in session mode.
package pg
