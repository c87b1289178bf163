// Package access answers who may act where, now.
//
// The project of a call is the one that it names; without one it is the user's
// default, else the oldest one. A superuser may act in every project as its
// owner, also without belonging to it. A project that is being deleted is none.
package access
