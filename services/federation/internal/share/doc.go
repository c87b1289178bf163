// Package share says which projects other instances may read: a project may be
// shared with a named instance, by its own admins.
package share
