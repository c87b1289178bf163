// Package auth is the service that knows who is who and who may enter where.
//
// Owns: users, their identities elsewhere, login attempts, sessions, refresh
// tokens, password resets, signing keys (of the instance); projects, memberships, invitations, service accounts, API keys,
// limits of calls, imports, deletions with their proof (of a project); the audit logs, of each project and of the
// instance.
//
// Hears: platform.v1.ProjectPurged, from every service that keeps rows of
// projects; platform.v1.CallRecorded, from every service and the gateway;
// SigningKeyRotated, from its other replicas.
//
// Says: auth.v1.UserRegistered, UserDeactivated, UserReactivated, ProjectCreated,
// ProjectUpdated, ProjectTransferred, ProjectDeleting, ProjectDeleted,
// MembershipChanged, MemberJoined, MemberRoleChanged, MemberRemoved,
// InvitationCreated, InvitationRevoked, SessionRevoked, ApiKeyCreated,
// ApiKeyRevoked, ServiceAccountChanged, SigningKeyRotated, LimitChanged,
// AuditAnchored.
//
// Serves: the operations of the tags auth, keys, users, projects and audit (requests
// where a secret travels, commands for other writes); the calls resolveAccess,
// resolveKey, resolveBrowser, signingKeys and exportPage; replay: projects and memberships.
//
// The main story, a login and what follows:
//
//  1. serve/accounts.go takes the request, user/login.go waits for its turn.
//  2. postgres/users.go reads account and failed attempts in one statement.
//  3. password/hasher.go compares; a failure is counted in the same turn.
//  4. session/service.go opens a session; postgres/sessions.go keeps it with the
//     hash of its first refresh token.
//  5. token/access.go signs an access token that names user and session.
//  6. The gateway verifies it with the keys of serve/calls.go and asks
//     access/access.go for the project and role of each caller.
//  7. A logout, or a refresh token that comes back after it was traded, ends the
//     session; session.revoked makes every gateway forget it.
package auth
