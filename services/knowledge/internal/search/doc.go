// Package search answers questions from the documents of a project.
//
// An answer is ranked in memory and read from PostgreSQL: what leaves is what
// is committed at that moment, so a deleted document is gone at once, on every
// replica, whatever its index still believes. When the index turns out to be
// older than the database it is brought up to date and asked again.
package search
