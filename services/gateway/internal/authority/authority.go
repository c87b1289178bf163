package authority

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"math"
	"time"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	authv1 "github.com/commandcenter/commandcenter/proto-events/auth/v1"

	"github.com/commandcenter/commandcenter/services/gateway/internal/access"
)

// Auth is the auth service at the other end of the bus.
type Auth struct{ Bus *bus.Bus }

// SigningKeys returns the keys that verify access tokens.
func (a Auth) SigningKeys(ctx context.Context) ([]access.Key, error) {
	res, err := bus.CallInternal[*authv1.SigningKeysResponse](ctx, a.Bus, "auth", "signingKeys", &authv1.SigningKeysRequest{})
	if err != nil {
		return nil, err
	}
	keys := make([]access.Key, 0, len(res.GetKeys()))
	for _, k := range res.GetKeys() {
		key := access.Key{ID: k.GetKid(), Public: ed25519.PublicKey(k.GetPublicKey())}
		if k.GetNotAfter() != nil {
			key.NotAfter = k.GetNotAfter().AsTime()
		}
		keys = append(keys, key)
	}
	return keys, nil
}

// Standing returns how the user or service account stands in the project. Ids
// beyond the width of the contract's are nobody's and nothing's.
func (a Auth) Standing(ctx context.Context, q access.Question) (access.Standing, error) {
	if q.User > math.MaxInt32 || q.Account > math.MaxInt32 {
		return access.Standing{}, nil
	}
	req := &authv1.ResolveAccessRequest{UserId: int32(q.User), ServiceAccountId: int32(q.Account), Session: q.Session} //nolint:gosec // G115: looked at above
	missing := q.Project > math.MaxInt32
	if !missing {
		req.ProjectId = int32(q.Project) //nolint:gosec // G115: looked at above
	}
	res, err := bus.CallInternal[*authv1.ResolveAccessResponse](ctx, a.Bus, "auth", "resolveAccess", req)
	if err != nil {
		return access.Standing{}, err
	}
	s := access.Standing{
		Known: res.GetUserId() != 0 || res.GetServiceAccountId() != 0, Email: res.GetEmail(), Active: res.GetActive(), Superuser: res.GetSuperuser(), SessionLive: res.GetSessionLive(),
		Project: tenant.Project(res.GetProjectId()), Role: tenant.Role(res.GetRole()),
	}
	for _, l := range res.GetLimits() {
		if s.Limits == nil {
			s.Limits = access.Limits{}
		}
		if l.GetCalls() > 0 && l.GetSeconds() > 0 {
			s.Limits[l.GetClass()] = access.Limit{Calls: int(l.GetCalls()), Per: time.Duration(l.GetSeconds()) * time.Second, Raised: l.GetRaised()}
		}
	}
	if missing {
		s.Project, s.Role, s.Limits = tenant.Instance, tenant.NoRole, nil
	}
	return s, nil
}

// APIKey returns the live key with this hash.
func (a Auth) APIKey(ctx context.Context, hash [sha256.Size]byte) (access.APIKey, bool, error) {
	res, err := bus.CallInternal[*authv1.ResolveKeyResponse](ctx, a.Bus, "auth", "resolveKey", &authv1.ResolveKeyRequest{Hash: hash[:]})
	if err != nil || res.GetKeyId() == "" {
		return access.APIKey{}, false, err
	}
	k := access.APIKey{
		ID: res.GetKeyId(), Project: tenant.Project(res.GetProjectId()), User: int64(res.GetUserId()), Account: int64(res.GetServiceAccountId()),
		Scopes: access.ParseScopes(res.GetScopes()),
	}
	if res.GetExpiresAt() != nil {
		k.Expires = res.GetExpiresAt().AsTime()
	}
	return k, true, nil
}

// Browser returns the session of the cookie with this hash.
func (a Auth) Browser(ctx context.Context, hash [sha256.Size]byte) (access.Browser, bool, error) {
	res, err := bus.CallInternal[*authv1.ResolveBrowserResponse](ctx, a.Bus, "auth", "resolveBrowser", &authv1.ResolveBrowserRequest{Hash: hash[:]})
	if err != nil || res.GetSessionId() == "" {
		return access.Browser{}, false, err
	}
	return access.Browser{Session: res.GetSessionId(), User: int64(res.GetUserId()), Email: res.GetEmail()}, true, nil
}
