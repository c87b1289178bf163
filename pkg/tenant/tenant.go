package tenant

import (
	"context"
	"fmt"
	"strconv"
	"strings"
)

// Project identifies a tenant. Zero is the instance.
type Project int64

// Instance is the project of what belongs to no tenant.
const Instance Project = 0

// Token is the project's form in subjects: "p42", or "instance".
func (p Project) Token() string {
	if p == Instance {
		return "instance"
	}
	return "p" + strconv.FormatInt(int64(p), 10)
}

// ParseToken is the inverse of [Project.Token].
func ParseToken(s string) (Project, error) {
	if s == "instance" {
		return Instance, nil
	}
	digits, ok := strings.CutPrefix(s, "p")
	n, err := strconv.ParseInt(digits, 10, 64)
	if !ok || err != nil || n <= 0 || Project(n).Token() != s {
		return 0, fmt.Errorf("project token %q: want \"instance\" or p<number>", s)
	}
	return Project(n), nil
}

// Role is a principal's standing in a project. Roles are ordered: a higher one
// may do all that a lower one may.
type Role string

// The roles, lowest first. NoRole is that of a caller without a project.
const (
	NoRole Role = ""
	Viewer Role = "viewer"
	Member Role = "member"
	Admin  Role = "admin"
	Owner  Role = "owner"
)

var rank = map[Role]int{Viewer: 1, Member: 2, Admin: 3, Owner: 4}

// Allows reports whether r includes the rights of want. An unknown role allows
// nothing but [NoRole].
func (r Role) Allows(want Role) bool {
	return rank[r] >= rank[want] && (want == NoRole || rank[want] > 0)
}

// Identity is the authenticated caller of one operation.
type Identity struct {
	Project   Project // of this call; Instance when the operation has none
	Principal string  // "user:7", "service-account:3", "service:knowledge"; "" for an anonymous call
	UserID    int64   // 0 unless a person
	Email     string  // of a person; for display, never for decisions
	Role      Role    // in Project; NoRole of a superuser that is no member
	Superuser bool
	Session   string // token family of a person's session; "" otherwise
	// ServiceAccount is that of a program which calls for nobody; 0 otherwise.
	ServiceAccount int64
	// Key is the id of the API key that the call came with; "" without one. What
	// its scopes forbid has been refused.
	Key    string
	Client string // network address of an anonymous caller, as the edge counts it; "" when it is not known
}

// Anonymous reports whether nobody is calling.
func (id Identity) Anonymous() bool { return id.Principal == "" }

// Allows reports whether id may do in Project what takes the role want: a
// superuser may, whatever its own role there.
func (id Identity) Allows(want Role) bool { return id.Superuser || id.Role.Allows(want) }

type identityKey struct{}

// With returns a context in which id is calling.
func With(ctx context.Context, id Identity) context.Context {
	return context.WithValue(ctx, identityKey{}, id)
}

// From returns the caller of ctx; the zero Identity when there is none, which
// may see nothing.
func From(ctx context.Context) Identity {
	id, _ := ctx.Value(identityKey{}).(Identity)
	return id
}
