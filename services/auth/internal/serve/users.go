package serve

import (
	"context"

	"github.com/commandcenter/commandcenter/pkg/tenant"

	"github.com/commandcenter/commandcenter/services/auth/internal/user"
)

type listUsersRequest struct {
	Search string `json:"search"`
	Active *bool  `json:"active"`
	Skip   *int   `json:"skip"`
	Limit  *int   `json:"limit"`
}

func (h *Handlers) listUsers(ctx context.Context, r listUsersRequest) (UserPage, error) {
	q := user.Query{Search: r.Search, Active: r.Active, Limit: user.DefaultLimit}
	if r.Skip != nil {
		q.Skip = *r.Skip
	}
	if r.Limit != nil {
		q.Limit = *r.Limit
	}
	found, total, err := h.Directory.List(ctx, tenant.From(ctx), q)
	if err != nil {
		return UserPage{}, err
	}
	page := UserPage{Items: make([]UserAccount, len(found)), Total: total, Skip: q.Skip, Limit: q.Limit}
	for i, u := range found {
		page.Items[i] = userAccount(u)
	}
	return page, nil
}

type userRequest struct {
	UserID int64 `json:"user_id"`
}

func (h *Handlers) getUser(ctx context.Context, r userRequest) (UserAccount, error) {
	u, err := h.Directory.Get(ctx, tenant.From(ctx), r.UserID)
	if err != nil {
		return UserAccount{}, err
	}
	return userAccount(u), nil
}

func (h *Handlers) deactivateUser(ctx context.Context, r userRequest) (UserAccount, error) {
	u, err := h.Directory.Deactivate(ctx, tenant.From(ctx), r.UserID)
	if err != nil {
		return UserAccount{}, err
	}
	return userAccount(u), nil
}

func (h *Handlers) reactivateUser(ctx context.Context, r userRequest) (UserAccount, error) {
	u, err := h.Directory.Reactivate(ctx, tenant.From(ctx), r.UserID)
	if err != nil {
		return UserAccount{}, err
	}
	return userAccount(u), nil
}

func userAccount(u user.User) UserAccount {
	return UserAccount{
		Id: u.ID, Email: user.Shown(u.Email), FullName: u.FullName, IsActive: u.Active, IsSuperuser: u.Superuser,
		CreatedAt: u.CreatedAt, UpdatedAt: u.UpdatedAt, LastLoginAt: u.LastLogin,
	}
}
