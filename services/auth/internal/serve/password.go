package serve

import (
	"context"

	"github.com/commandcenter/commandcenter/pkg/tenant"

	"github.com/commandcenter/commandcenter/services/auth/internal/user"
)

type changePasswordRequest struct {
	Body PasswordChange `json:"body"`
}

func (h *Handlers) changePassword(ctx context.Context, r changePasswordRequest) (MessageResponse, error) {
	caller, err := person(ctx)
	if err != nil {
		return MessageResponse{}, err
	}
	u, err := h.Accounts.Get(ctx, caller.UserID) // the address of now, not that of the token
	if err != nil {
		return MessageResponse{}, err
	}
	if err := h.Changer.Change(ctx, caller, u.Email, r.Body.OldPassword, r.Body.NewPassword); err != nil {
		return MessageResponse{}, err
	}
	return MessageResponse{Message: "Password changed; other sessions have ended"}, nil
}

type issuePasswordResetRequest struct {
	UserID int64                `json:"user_id"`
	Body   *PasswordResetCreate `json:"body"`
}

// issuedReset is the answer 201, which nobody may keep.
type issuedReset struct{ PasswordResetCreated }

// StatusCode says that the reset is new.
func (issuedReset) StatusCode() int { return 201 }

// Headers keeps the secret out of caches.
func (issuedReset) Headers() map[string]string { return map[string]string{"Cache-Control": "no-store"} }

func (h *Handlers) issuePasswordReset(ctx context.Context, r issuePasswordResetRequest) (issuedReset, error) {
	caller, err := person(ctx)
	if err != nil {
		return issuedReset{}, err
	}
	add := r.Body != nil && r.Body.AddPassword != nil && *r.Body.AddPassword
	is, err := h.Resets.Issue(ctx, caller, r.UserID, add)
	if err != nil {
		return issuedReset{}, err
	}
	out := PasswordResetCreated{UserId: is.User.ID, Email: user.Shown(is.User.Email), ExpiresAt: is.ExpiresAt, Token: is.Secret}
	if is.Link != "" {
		out.Link = &is.Link
	}
	return issuedReset{out}, nil
}

type showPasswordResetRequest struct {
	Body PasswordResetToken `json:"body"`
}

func (h *Handlers) showPasswordReset(ctx context.Context, r showPasswordResetRequest) (PasswordResetShown, error) {
	found, err := h.Resets.Show(ctx, r.Body.Token, tenant.From(ctx).Client)
	if err != nil {
		return PasswordResetShown{}, err
	}
	return PasswordResetShown{Email: user.Shown(found.User.Email), ExpiresAt: found.Expires}, nil
}

type resetPasswordRequest struct {
	Body PasswordReset `json:"body"`
}

func (h *Handlers) resetPassword(ctx context.Context, r resetPasswordRequest) (MessageResponse, error) {
	u, err := h.Resets.Use(ctx, r.Body.Token, r.Body.NewPassword, tenant.From(ctx).Client)
	if err != nil {
		return MessageResponse{}, err
	}
	acted(ctx, u.ID)
	return MessageResponse{Message: "Password changed; all sessions have ended"}, nil
}
