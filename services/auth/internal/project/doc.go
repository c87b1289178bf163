// Package project is about projects, which are the tenants, and who belongs to
// them.
//
// Whoever creates a project owns it; the name is unique among the projects of
// its owner. Each user has at most one default project. A project is deleted in
// three steps: it becomes invisible at once and says project.deleting; every
// service that keeps rows of it purges them and says project.purged; when the
// last one has, the project is gone and says project.deleted. An owner's last
// project is never deleted.
package project
