// Package postgres is the only SQL of the knowledge service.
//
// Every change of a project's documents ends with a rise of the project's
// generation, whose row stays locked until the commit: what a reader sees at
// generation g is every change up to g. Indexes are brought up to date by it.
package postgres
