// Package tenant carries who is calling, and for which project, through a
// context.
//
// The project is the tenant: it is part of every subject, every row and every
// cache key. The zero [Project] is the instance itself, which owns nothing of
// any tenant.
package tenant
