package serve

import "context"

func (h *Handlers) listSessions(ctx context.Context, _ nothing) ([]SessionResponse, error) {
	caller, err := person(ctx)
	if err != nil {
		return nil, err
	}
	live, err := h.Keeper.List(ctx, caller.UserID)
	if err != nil {
		return nil, err
	}
	out := make([]SessionResponse, 0, len(live))
	for _, s := range live {
		id := s.ID.String()
		out = append(out, SessionResponse{
			Id: id, CreatedAt: s.CreatedAt, UsedAt: s.UsedAt, ExpiresAt: s.ExpiresAt, Address: s.From.Address, Client: s.From.Client, Current: id == caller.Session,
		})
	}
	return out, nil
}

type endSessionRequest struct {
	SessionID string `json:"session_id"`
}

func (h *Handlers) endSession(ctx context.Context, r endSessionRequest) (gone, error) {
	caller, err := person(ctx)
	if err != nil {
		return gone{}, err
	}
	return gone{}, h.Keeper.End(ctx, caller.UserID, r.SessionID)
}

func (h *Handlers) endSessions(ctx context.Context, _ nothing) (sent, error) {
	caller, err := person(ctx)
	if err != nil {
		return sent{}, err
	}
	bye, err := h.farewell(ctx, caller, "Logged out everywhere")
	if err != nil {
		return sent{}, err
	}
	return bye, h.Keeper.EndAll(ctx, caller.UserID)
}
