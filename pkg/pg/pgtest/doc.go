// Package pgtest gives every test a PostgreSQL database of its own.
//
// The first call in a test process starts a private server (see pgserver) in
// the directory for temporary files; it ends, and its files go, when the
// process does, however that ends. Databases are copies of a template that has
// been migrated once, so that one costs some ten milliseconds, and tests may
// run in parallel.
//
// It works as root and as an ordinary user, needs no network where the machine
// has PostgreSQL, and never skips: a test that cannot have a database fails.
package pgtest
