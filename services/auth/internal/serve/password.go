package serve

import "context"

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
	if err := h.Changer.Change(ctx, u.Email, caller.Session, r.Body.OldPassword, r.Body.NewPassword); err != nil {
		return MessageResponse{}, err
	}
	return MessageResponse{Message: "Password changed; other sessions have ended"}, nil
}
