// Package postgres holds the SQL of the auth service.
//
// Accounts, sessions, login attempts and signing keys are of the instance and
// have no project; projects, memberships and purges are protected by row
// security. What has to look across projects says why: logging in and asking
// for access (nobody's project is known before), creating a project (it does
// not exist yet), listing one's own, and deleting (defaults of members move).
//
// Each change and its events commit together. A method joins the transaction of
// its context, if there is one.
package postgres
