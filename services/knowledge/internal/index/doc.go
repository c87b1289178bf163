// Package index searches the passages of one project in memory.
//
// An [Index] holds words, vectors and filters of a project, not its texts; it
// is a copy of what PostgreSQL knows up to a generation, and can be dropped
// and built again at any time. A [Library] builds indexes when they are asked
// for, brings them up to date, and drops the least recently used ones when
// memory runs short.
package index
