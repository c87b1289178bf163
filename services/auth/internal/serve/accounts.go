package serve

import (
	"context"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/tenant"

	"github.com/commandcenter/commandcenter/services/auth/internal/session"
	"github.com/commandcenter/commandcenter/services/auth/internal/user"
)

type registerRequest struct {
	Body UserCreate `json:"body"`
}

// createdUser is the answer 201.
type createdUser struct{ UserResponse }

// StatusCode says that the account is new.
func (createdUser) StatusCode() int { return 201 }

func (h *Handlers) register(ctx context.Context, r registerRequest) (createdUser, error) {
	in := user.Registration{Email: r.Body.Email, Password: r.Body.Password, FullName: r.Body.FullName}
	if r.Body.Invitation != nil {
		in.Invitation = *r.Body.Invitation
	}
	u, err := h.Registrar.Register(ctx, in)
	if err != nil {
		return createdUser{}, err
	}
	acted(ctx, u.ID)
	if u.Joined != 0 {
		joined(ctx, u.Joined, u.JoinedBy)
	}
	return createdUser{userResponse(u)}, nil
}

type loginRequest struct {
	Body UserLogin `json:"body"`
}

// tokens is an answer that nobody may keep.
type tokens struct{ Token }

// Headers keeps the tokens out of caches.
func (tokens) Headers() map[string]string { return map[string]string{"Cache-Control": "no-store"} }

func (h *Handlers) login(ctx context.Context, r loginRequest) (tokens, error) {
	pair, err := h.logIn(ctx, r.Body)
	if h.LoggedIn != nil {
		h.LoggedIn(outcomeOf(err))
	}
	if err != nil {
		return tokens{}, err
	}
	return tokenPair(pair), nil
}

// outcomeOf is how a login ended, as it is counted.
func outcomeOf(err error) string {
	if err != nil {
		return string(errs.KindOf(err))
	}
	return "ok"
}

func (h *Handlers) logIn(ctx context.Context, in UserLogin) (session.Pair, error) {
	u, err := h.Authenticator.Authenticate(ctx, in.Email, in.Password, tenant.From(ctx).Client)
	if err != nil {
		return session.Pair{}, err
	}
	acted(ctx, u.ID)
	return h.Sessions.Open(ctx, letIn(ctx, u))
}

// letIn is what a session is opened for.
func letIn(ctx context.Context, u user.User) session.Login {
	return session.Login{UserID: u.ID, Email: u.Email, Version: u.Version, From: place(ctx)}
}

// place is where the caller is.
func place(ctx context.Context) session.Place {
	o := bus.CameFrom(ctx)
	return session.Place{Address: bus.Clean(o.Address), Client: bus.Clean(o.Agent)}
}

type refreshTokenRequest struct {
	Body RefreshTokenRequest `json:"body"`
}

func (h *Handlers) refreshToken(ctx context.Context, r refreshTokenRequest) (tokens, error) {
	pair, err := h.Sessions.Refresh(ctx, r.Body.RefreshToken, place(ctx))
	if err != nil {
		return tokens{}, err
	}
	acted(ctx, pair.Holder.UserID)
	return tokenPair(pair), nil
}

func (h *Handlers) getCurrentUserInfo(ctx context.Context, _ nothing) (UserResponse, error) {
	caller, err := person(ctx)
	if err != nil {
		return UserResponse{}, err
	}
	u, err := h.Accounts.Get(ctx, caller.UserID)
	if err != nil {
		return UserResponse{}, err
	}
	if !u.Active {
		return UserResponse{}, user.ErrInactive
	}
	return userResponse(u), nil
}

func (h *Handlers) logout(ctx context.Context, _ nothing) (sent, error) {
	caller, err := person(ctx)
	if err != nil {
		return sent{}, err
	}
	bye, err := h.farewell(ctx, caller, "Successfully logged out")
	if err != nil {
		return sent{}, err
	}
	return bye, h.Sessions.Close(ctx, caller.UserID, caller.Session)
}

func userResponse(u user.User) UserResponse {
	return UserResponse{
		Id: u.ID, Email: user.Shown(u.Email), FullName: u.FullName, IsActive: u.Active, IsSuperuser: u.Superuser,
		CreatedAt: u.CreatedAt, UpdatedAt: u.UpdatedAt,
	}
}

func tokenPair(p session.Pair) tokens {
	return tokens{Token{
		AccessToken: p.Access, RefreshToken: p.Refresh, TokenType: "bearer", ExpiresIn: int(p.ExpiresIn.Seconds()),
	}}
}
