package serve

import (
	"context"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/tenant"
)

type rotateSigningKeysRequest struct {
	Body SigningKeysRotate `json:"body"`
}

func (h *Handlers) rotateSigningKeys(ctx context.Context, r rotateSigningKeysRequest) (SigningKeysRotated, error) {
	caller := tenant.From(ctx)
	if !caller.Superuser {
		return SigningKeysRotated{}, errs.New(errs.Forbidden, "this takes a superuser")
	}
	keys, err := h.Rotator.Rotate(ctx, caller, r.Body.Revoke != nil && *r.Body.Revoke)
	if err != nil {
		return SigningKeysRotated{}, err
	}
	out := SigningKeysRotated{Signs: keys[0].ID, Verify: make([]string, len(keys))}
	for i, k := range keys {
		out.Verify[i] = k.ID
	}
	return out, nil
}
