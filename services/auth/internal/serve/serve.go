package serve

import (
	"context"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/tenant"

	"github.com/commandcenter/commandcenter/services/auth/internal/access"
	"github.com/commandcenter/commandcenter/services/auth/internal/invitation"
	"github.com/commandcenter/commandcenter/services/auth/internal/key"
	"github.com/commandcenter/commandcenter/services/auth/internal/member"
	"github.com/commandcenter/commandcenter/services/auth/internal/project"
	"github.com/commandcenter/commandcenter/services/auth/internal/quota"
	"github.com/commandcenter/commandcenter/services/auth/internal/reset"
	"github.com/commandcenter/commandcenter/services/auth/internal/session"
	"github.com/commandcenter/commandcenter/services/auth/internal/signon"
	"github.com/commandcenter/commandcenter/services/auth/internal/token"
	"github.com/commandcenter/commandcenter/services/auth/internal/trail"
	"github.com/commandcenter/commandcenter/services/auth/internal/user"
)

// Handlers answers with the nouns of the service.
type Handlers struct {
	Registrar     user.Registrar
	Authenticator user.Authenticator
	Changer       user.Changer
	Accounts      accounts
	Sessions      session.Service
	Keeper        session.Keeper
	Projects      project.Service
	Census        project.Census
	Deletion      project.Deletion
	Deleting      func() // is told after a deletion has begun; it must not block
	Members       member.Service
	Invitations   invitation.Service
	Resolver      access.Resolver
	Quotas        quota.Service
	Issuer        token.Issuer
	State         state
	Resets        reset.Service

	Keys            key.Keeper
	ServiceAccounts key.Accounts
	KeyReader       key.Reader
	Directory       user.Directory
	Browsers        session.Browsers
	SignOn          signon.Login
	Rotator         token.Rotator
	PublicURL       string // address under which people reach the instance

	Trail   trail.Service
	Imports imports
	Names   names

	// LoggedIn, when set, is told how each login ended: "ok", or the kind of the
	// failure.
	LoggedIn func(outcome string)
}

type accounts interface {
	// Get returns an account, or [user.ErrGone].
	Get(ctx context.Context, id int64) (user.User, error)
}

type names interface {
	// Names returns how people know principals, by principal; whoever is gone is
	// not among them.
	Names(ctx context.Context, p tenant.Project, principals []string) (map[string]string, error)
}

type state interface {
	// Replay tells what there is as facts, see [bus.OnReplay].
	Replay(ctx context.Context, p tenant.Project, since time.Time, tell func(fact proto.Message, at time.Time) error) error
}

// Operations are the operations of the contract that the service answers.
func Operations() []string {
	return []string{
		"register", "login", "refreshToken", "getCurrentUserInfo", "logout", "changePassword", "resetPassword", "showPasswordReset", "listSessions", "endSession", "endSessions",
		"createProject", "importProject", "listProjects", "getProject", "updateProject", "deleteProject", "getProjectDeletion", "getProjectStats",
		"listMembers", "setMemberRole", "removeMember", "leaveProject", "setDefaultProject", "transferProject",
		"listInvitations", "inviteMember", "revokeInvitation", "acceptInvitation", "showInvitation",
		"setLimit", "resetLimit",
		"listKeys", "createKey", "revokeKey", "rotateKey",
		"listServiceAccounts", "createServiceAccount", "updateServiceAccount", "deleteServiceAccount", "createServiceAccountKey",
		"loginBrowser", "beginSignOn", "finishSignOn", "rotateSigningKeys",
		"listUsers", "getUser", "deactivateUser", "reactivateUser", "issuePasswordReset",
		"listAudit", "getAuditHead",
	}
}

// Register binds every operation and call to its handler.
func (h *Handlers) Register(s *bus.Server) {
	// What carries or makes a secret is a request: secrets enter no stream.
	bus.Request(s, "register", h.register)
	bus.Request(s, "login", h.login)
	bus.Request(s, "refreshToken", h.refreshToken)
	bus.Request(s, "getCurrentUserInfo", h.getCurrentUserInfo)
	bus.Request(s, "logout", h.logout)
	bus.Request(s, "changePassword", h.changePassword)
	bus.Request(s, "issuePasswordReset", h.issuePasswordReset)
	bus.Request(s, "resetPassword", h.resetPassword)
	bus.Request(s, "showPasswordReset", h.showPasswordReset)
	bus.Request(s, "listSessions", h.listSessions)
	bus.Request(s, "endSession", h.endSession)
	bus.Request(s, "endSessions", h.endSessions)

	bus.Request(s, "listProjects", h.listProjects)
	bus.Request(s, "getProject", h.getProject)
	bus.Request(s, "getProjectStats", h.getProjectStats)
	bus.Request(s, "getProjectDeletion", h.getProjectDeletion)
	bus.Command(s, "createProject", h.createProject)
	bus.Command(s, "importProject", h.importProject)
	bus.Request(s, "exportProject", h.exportProject) // of the edge, which writes the archive
	bus.Command(s, "updateProject", h.updateProject)
	bus.Command(s, "deleteProject", h.deleteProject)
	h.registerPeople(s)
	bus.Command(s, "setLimit", h.setLimit)
	bus.Command(s, "resetLimit", h.resetLimit)

	bus.Request(s, "listKeys", h.listKeys)
	bus.Request(s, "createKey", h.createKey)
	bus.Request(s, "revokeKey", h.revokeKey)
	bus.Request(s, "rotateKey", h.rotateKey)
	bus.Request(s, "listServiceAccounts", h.listServiceAccounts)
	bus.Request(s, "createServiceAccountKey", h.createServiceAccountKey)
	bus.Command(s, "createServiceAccount", h.createServiceAccount)
	bus.Command(s, "updateServiceAccount", h.updateServiceAccount)
	bus.Command(s, "deleteServiceAccount", h.deleteServiceAccount)

	bus.Request(s, "listUsers", h.listUsers)
	bus.Request(s, "getUser", h.getUser)
	bus.Command(s, "deactivateUser", h.deactivateUser)
	bus.Command(s, "reactivateUser", h.reactivateUser)

	bus.Request(s, "listAudit", h.listAudit)
	bus.Request(s, "getAuditHead", h.getAuditHead)
	bus.Command(s, "rotateSigningKeys", h.rotateSigningKeys)
	bus.Request(s, "loginBrowser", h.loginBrowser)
	bus.Request(s, "beginSignOn", h.beginSignOn)
	bus.Request(s, "finishSignOn", h.finishSignOn)

	bus.Internal(s, "resolveBrowser", h.resolveBrowser)
	bus.Internal(s, "resolveKey", h.resolveKey)
	bus.Internal(s, "resolveAccess", h.resolveAccess)
	bus.Internal(s, "signingKeys", h.signingKeys)
	bus.OnReplay(s, func(ctx context.Context, q bus.ReplayQuery, tell bus.Telling) error {
		return h.State.Replay(ctx, q.Project, q.Since, tell)
	})
}

var (
	errNobody   = errs.New(errs.Unauthenticated, "not authenticated")
	errNoPerson = errs.New(errs.Forbidden, "this is for persons: a service account is nobody's account")
)

// person returns the caller, who must be a person.
func person(ctx context.Context) (tenant.Identity, error) {
	id := tenant.From(ctx)
	if id.ServiceAccount != 0 {
		return id, errNoPerson
	}
	if id.UserID <= 0 {
		return id, errNobody
	}
	return id, nil
}

// nothing is the request of an operation without parameters.
type nothing struct{}

// gone is the answer 204.
type gone struct{}

// StatusCode is that of an answer without content.
func (gone) StatusCode() int { return 204 }
