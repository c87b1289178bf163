package serve

import (
	"context"
	"errors"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/commandcenter/commandcenter/pkg/tenant"
	authv1 "github.com/commandcenter/commandcenter/proto-events/auth/v1"

	"github.com/commandcenter/commandcenter/services/auth/internal/access"
	"github.com/commandcenter/commandcenter/services/auth/internal/key"
)

func (h *Handlers) resolveAccess(ctx context.Context, r *authv1.ResolveAccessRequest) (*authv1.ResolveAccessResponse, error) {
	var a access.Access
	var err error
	if account := int64(r.GetServiceAccountId()); account != 0 {
		a, err = h.Resolver.ResolveAccount(ctx, account, tenant.Project(r.GetProjectId()))
	} else {
		a, err = h.Resolver.Resolve(ctx, int64(r.GetUserId()), tenant.Project(r.GetProjectId()), r.GetSession())
	}
	if err != nil {
		return nil, err
	}
	res := &authv1.ResolveAccessResponse{
		UserId: id32(a.UserID), Email: a.Email, Active: a.Active, Superuser: a.Superuser, SessionLive: a.SessionLive,
		ProjectId: id32(a.Project), Role: string(a.Role), ServiceAccountId: id32(a.ServiceAccount),
	}
	if err := h.stateOfKey(ctx, r, res); err != nil {
		return nil, err
	}
	for _, q := range a.Quotas {
		res.Limits = append(res.Limits, &authv1.ProjectLimit{
			Class: q.Class, Calls: int32(q.Calls), Seconds: int32(q.Per / time.Second), Raised: q.Raised, //nolint:gosec // G115: columns of that width
		})
	}
	return res, nil
}

// stateOfKey adds what has become of the API key that a call was made with.
func (h *Handlers) stateOfKey(ctx context.Context, r *authv1.ResolveAccessRequest, res *authv1.ResolveAccessResponse) error {
	res.KeyId = r.GetKeyId()
	if res.KeyId == "" {
		return nil
	}
	k, err := h.KeyReader.ByID(ctx, res.GetKeyId())
	if errors.Is(err, key.ErrUnknown) {
		return nil
	}
	if err != nil {
		return err
	}
	theirs := k.Holder == key.Holder{User: int64(r.GetUserId()), Account: int64(r.GetServiceAccountId())}
	if here := tenant.Project(r.GetProjectId()); theirs && (here == tenant.Instance || here == k.Project) {
		res.KeyLive, res.KeyScopes = true, k.Scopes
	}
	return nil
}

// signingKeys tells what the database holds: a key that another replica has just
// revoked would be believed for minutes. A gateway that gets no answer goes on
// with the keys that it has.
func (h *Handlers) signingKeys(ctx context.Context, _ *authv1.SigningKeysRequest) (*authv1.SigningKeysResponse, error) {
	now := h.Issuer.Now()
	if err := h.Issuer.Keys.Read(ctx, now); err != nil {
		return nil, err
	}
	var out authv1.SigningKeysResponse
	for _, k := range h.Issuer.Keys.Published(now) {
		key := &authv1.SigningKey{Kid: k.ID, PublicKey: k.Public}
		if !now.Before(k.SignUntil) {
			key.NotAfter = timestamppb.New(k.VerifyUntil)
		}
		out.Keys = append(out.Keys, key)
	}
	return &out, nil
}

// id32 is an id as messages carry it; the sequences end at what fits.
func id32[N ~int64](n N) int32 { return int32(n) }
