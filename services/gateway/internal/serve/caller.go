package serve

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/commandcenter/commandcenter/pkg/apikey"
	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	"github.com/commandcenter/commandcenter/services/gateway/internal/access"
	"github.com/commandcenter/commandcenter/services/gateway/internal/contract"
)

var (
	errForbidden = errs.New(errs.Forbidden, "Your role does not allow this")
	errNoKey     = errs.New(errs.Forbidden, "This takes the session of a person: an API key does not do")
	errSuperuser = errs.New(errs.Forbidden, "This takes a superuser")
	// errElsewhere is the answer for a project that is not there and for one
	// that is somebody else's alike.
	errElsewhere = errs.New(errs.NotFound, "Project not found")
)

// claims returns what the token of a call says. That costs nobody a question, but
// for an API key or a cookie that is seen for the first time in a minute.
func (s *Edge) claims(ctx context.Context, r *http.Request) (access.Claims, error) {
	token, err := bearer(r)
	if errors.Is(err, access.ErrNoToken) && r.Header.Get("Authorization") == "" {
		cookie, crossed := s.cookieOf(r)
		if crossed != nil {
			return access.Claims{}, crossed
		}
		if cookie != "" {
			if err := s.guessed(r, cookie); err != nil {
				return access.Claims{}, err
			}
			return s.guard.AuthenticateBrowser(ctx, cookie)
		}
	}
	if err != nil {
		return access.Claims{}, err
	}
	if err := s.guessed(r, token); err != nil {
		return access.Claims{}, err
	}
	return s.guard.Authenticate(ctx, token)
}

// principalOf names the caller in counters, logs and calls.
func principalOf(c access.Claims) string {
	if c.Key != nil && c.Key.Account != 0 {
		return "service-account:" + strconv.FormatInt(c.Key.Account, 10)
	}
	return "user:" + strconv.FormatInt(c.UserID, 10)
}

// caller finds out as whom principal calls in the project that it wants, and
// whether that is enough for the operation. Nothing else in the house checks
// x-permission, and the scopes of keys.
func (s *Edge) caller(ctx context.Context, op *contract.Operation, asked places, claims access.Claims, principal string) (tenant.Identity, access.Limits, error) {
	var none tenant.Identity
	want := asked.want
	if claims.Key != nil {
		if err := scoped(op, claims.Key); err != nil {
			return none, nil, err
		}
		if asked.named != 0 && asked.named != claims.Key.Project {
			return none, nil, errs.Newf(errs.Forbidden, "This API key is good in project %d alone, not in %d", claims.Key.Project, asked.named)
		}
		if want != 0 && want != claims.Key.Project {
			return none, nil, elsewhere(op, want)
		}
	}
	if asked.named != 0 && asked.named != want && claims.Key == nil {
		switch there, err := s.guard.Standing(ctx, claims, asked.named); {
		case err != nil:
			return none, nil, err
		case there.Project != asked.named:
			return none, nil, notYours(asked.named)
		}
	}
	standing, err := s.guard.Standing(ctx, claims, want)
	if err != nil {
		return none, nil, err
	}
	who := tenant.Identity{
		Principal: principal, UserID: claims.UserID,
		Email: standing.Email, Superuser: standing.Superuser, Session: claims.Session,
	}
	if claims.Key != nil {
		if standing.Project != claims.Key.Project {
			return none, nil, access.ErrKeyEnded // its holder has left the project
		}
		who.Key, who.ServiceAccount = claims.Key.ID, claims.Key.Account
		who.Superuser = who.Superuser && claims.Key.Scopes.Allow(op.Tag, access.Admin)
	}
	if asked.none {
		if claims.Key != nil {
			return none, nil, errKeyAlone
		}
		return who, nil, nil
	}
	if op.Project == contract.NoProject {
		if op.Permission == contract.Superuser && !who.Superuser {
			return none, nil, errSuperuser
		}
		return who, nil, nil
	}
	if err := inProject(op, want, standing); err != nil {
		return none, nil, err
	}
	who.Project, who.Role = standing.Project, standing.Role
	return who, standing.Limits, permit(op.Permission, who)
}

// callerNow is who makes a call that goes on, as things stand now. One that names
// no project goes on in the one that it began with: when the caller's default is
// another by now, its right has ended.
func (s *Edge) callerNow(ctx context.Context, r *http.Request, op *contract.Operation, path []string, began tenant.Project) (tenant.Identity, error) {
	claims, err := s.claims(ctx, r)
	if err != nil {
		return tenant.Identity{}, err
	}
	asked, err := projects(r, op, path)
	if err != nil {
		return tenant.Identity{}, err
	}
	who, _, err := s.caller(ctx, op, asked, claims, principalOf(claims))
	if err == nil && who.Project != began {
		err = errForbidden
	}
	return who, err
}

// places are the projects of a call, 0 where it says none.
type places struct {
	want  tenant.Project // in which the operation works; 0 for the caller's default, or for none
	none  bool           // the operation works in no project, as the call says, see [contract.Operation.Instance]
	named tenant.Project // in the header. Whoever names one has to belong to it, also where the operation works in another or in none.
}

// projects reads them.
func projects(r *http.Request, op *contract.Operation, path []string) (at places, err error) {
	if sent := r.Header[canonicalProject]; len(sent) > 0 {
		if at.named, err = projectID(strings.TrimSpace(sent[len(sent)-1]), "header", contract.HeaderProject); err != nil {
			return places{}, err
		}
	}
	switch op.Project {
	case contract.CurrentProject:
		if at.none = op.OfInstance(r.URL.Query()); at.none {
			break
		}
		at.want = at.named
	case contract.PathProject:
		for i, p := range op.PathParams {
			if p == "project_id" {
				at.want, err = projectID(path[i], "path", p)
			}
		}
	}
	return at, err
}

// projectID reads the number of a project.
func projectID(text, in, name string) (tenant.Project, error) {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		if isDigits(text) { // a number that no project has
			return tooFar, nil
		}
		e := errs.InvalidField("int_parsing", "Input should be a valid integer, unable to parse string as an integer", in, name)
		e.Fields[0].Input = short(text, 200)
		return 0, e
	}
	if n < 1 {
		e := errs.InvalidField("greater_than_equal", "Input should be greater than or equal to 1", in, name)
		e.Fields[0].Input = n
		return 0, e
	}
	return tenant.Project(n), nil
}

const (
	canonicalProject = "X-Project-Id"
	// tooFar stands for numbers beyond every project: ids are 32 bits wide.
	tooFar = tenant.Project(1<<31 - 1)
)

func isDigits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}

// inProject refuses callers who have no such project.
func inProject(op *contract.Operation, want tenant.Project, st access.Standing) error {
	switch {
	case st.Project != tenant.Instance && (want == 0 || st.Project == want):
		return nil
	case want == 0 && op.Project != contract.PathProject:
		return access.ErrNoProject
	}
	return elsewhere(op, want)
}

// elsewhere refuses a project that the caller has not.
func elsewhere(op *contract.Operation, want tenant.Project) error {
	if op.Project == contract.PathProject {
		return errElsewhere
	}
	return notYours(want)
}

// notYours refuses a project of the header, one that is not there as well.
func notYours(p tenant.Project) error {
	return errs.Newf(errs.Forbidden, "You do not belong to project %d", p)
}

// tools is the tag of the operation by which tools are called.
const tools = "mcp"

// scoped refuses a key that may not be used for the operation.
func scoped(op *contract.Operation, k *access.APIKey) error {
	if op.SessionOnly {
		return errNoKey
	}
	if op.Tag == tools {
		return nil // what the tool calls is asked for itself
	}
	if want := level(op); !k.Scopes.Allow(op.Tag, want) {
		return errs.Newf(errs.Forbidden, "The scopes of the API key do not allow this: it takes %s:%s", op.Tag, want)
	}
	return nil
}

// level is what the scopes of a key have to reach.
func level(op *contract.Operation) access.Level {
	return access.ParseLevel(op.Level())
}

func permit(want contract.Permission, who tenant.Identity) error {
	switch want {
	case contract.Authenticated:
		return nil
	case contract.Superuser:
		if who.Superuser {
			return nil
		}
		return errSuperuser
	}
	if who.Allows(tenant.Role(want)) {
		return nil
	}
	return errs.Newf(errs.Forbidden, "Your role, %s, does not allow this: it takes %s", who.Role, want)
}

// bearer takes the token out of the Authorization header. An API key may stand
// in X-API-Key.
func bearer(r *http.Request) (string, error) {
	h := r.Header.Get("Authorization")
	if h == "" {
		if k := r.Header.Get("X-Api-Key"); apikey.Is(access.Brand, k) {
			return k, nil
		}
		return "", access.ErrNoToken
	}
	scheme, token, ok := strings.Cut(h, " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") {
		return "", access.ErrNoToken
	}
	return strings.TrimSpace(token), nil
}
