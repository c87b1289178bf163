// Package quota is about the limits of calls that a project sets for itself.
//
// A quota is so many calls of a class per period, for each user of the project.
// Gateways count and refuse; here it is said what holds. An admin may lower what
// the instance allows, a superuser may also raise it, and nobody below changes
// what a superuser has set.
package quota
