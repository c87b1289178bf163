package serve

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	authv1 "github.com/commandcenter/commandcenter/proto-events/auth/v1"

	"github.com/commandcenter/commandcenter/services/auth/internal/key"
)

type listKeysRequest struct {
	All *bool `json:"all"`
}

func (h *Handlers) listKeys(ctx context.Context, r listKeysRequest) ([]ApiKey, error) {
	caller, err := person(ctx)
	if err != nil {
		return nil, err
	}
	keys, err := h.Keys.List(ctx, caller, r.All != nil && *r.All)
	if err != nil {
		return nil, err
	}
	return h.apiKeys(ctx, keys)
}

// createdKey is the answer 201, which nobody may keep.
type createdKey struct{ ApiKeyCreated }

// StatusCode says that the key is new.
func (createdKey) StatusCode() int { return 201 }

// Headers keeps the key out of caches.
func (createdKey) Headers() map[string]string { return map[string]string{"Cache-Control": "no-store"} }

type createKeyRequest struct {
	// AccountID is not set where a person makes a key for itself.
	AccountID int64        `json:"account_id"`
	Body      ApiKeyCreate `json:"body"`
}

func (h *Handlers) createKey(ctx context.Context, r createKeyRequest) (createdKey, error) {
	r.AccountID = 0
	return h.makeKey(ctx, r)
}

func (h *Handlers) createServiceAccountKey(ctx context.Context, r createKeyRequest) (createdKey, error) {
	if r.AccountID <= 0 {
		return createdKey{}, key.ErrUnknownAccount
	}
	return h.makeKey(ctx, r)
}

func (h *Handlers) makeKey(ctx context.Context, r createKeyRequest) (createdKey, error) {
	caller, err := person(ctx)
	if err != nil {
		return createdKey{}, err
	}
	made, err := h.Keys.Create(ctx, caller, r.AccountID, key.Draft{Name: r.Body.Name, Scopes: r.Body.Scopes, Expires: r.Body.ExpiresAt})
	if err != nil {
		return createdKey{}, err
	}
	bus.Changed(ctx, "scopes", "", strings.Join(made.Key.Scopes, " "))
	return h.shown(ctx, made), nil
}

type keyRequest struct {
	KeyID string       `json:"key_id"`
	Body  ApiKeyRotate `json:"body"`
}

func (h *Handlers) revokeKey(ctx context.Context, r keyRequest) (gone, error) {
	caller, err := person(ctx)
	if err != nil {
		return gone{}, err
	}
	return gone{}, h.Keys.Revoke(ctx, caller, r.KeyID)
}

func (h *Handlers) rotateKey(ctx context.Context, r keyRequest) (createdKey, error) {
	caller, err := person(ctx)
	if err != nil {
		return createdKey{}, err
	}
	var overlap time.Duration
	if s := r.Body.OverlapSeconds; s != nil {
		overlap = time.Duration(*s) * time.Second
	}
	made, err := h.Keys.Rotate(ctx, caller, r.KeyID, overlap)
	if err != nil {
		return createdKey{}, err
	}
	return h.shown(ctx, made), nil
}

// shown is the only answer that has the secret, so it does not fail for want of
// a name.
func (h *Handlers) shown(ctx context.Context, s key.Secret) createdKey {
	out := createdKey{ApiKeyCreated{Secret: s.Plain.Reveal(), Key: apiKey(s.Key)}}
	if named, err := h.apiKeys(ctx, []key.Key{s.Key}); err == nil {
		out.Key = named[0]
	}
	return out
}

// apiKeys are keys, with the names of their holders.
func (h *Handlers) apiKeys(ctx context.Context, keys []key.Key) ([]ApiKey, error) {
	holders := make([]string, len(keys))
	for i, k := range keys {
		holders[i] = k.Holder.String()
	}
	names, err := h.Names.Names(ctx, tenant.From(ctx).Project, holders)
	if err != nil {
		return nil, err
	}
	out := make([]ApiKey, len(keys)) // never null
	for i, k := range keys {
		out[i] = apiKey(k)
		if name, ok := names[out[i].Holder]; ok {
			out[i].HolderName = &name
		}
	}
	return out, nil
}

func apiKey(k key.Key) ApiKey {
	return ApiKey{
		Id: k.ID.String(), Name: k.Name, Prefix: k.Prefix, Scopes: k.Scopes, ProjectId: int64(k.Project), Holder: k.Holder.String(),
		CreatedBy: userPrincipal(k.CreatedBy), CreatedAt: k.CreatedAt, ExpiresAt: k.Expires, LastUsedAt: k.LastUsed,
	}
}

func userPrincipal(id int64) string { return "user:" + strconv.FormatInt(id, 10) }

func (h *Handlers) listServiceAccounts(ctx context.Context, _ nothing) ([]ServiceAccount, error) {
	all, err := h.ServiceAccounts.List(ctx, tenant.From(ctx))
	if err != nil {
		return nil, err
	}
	out := make([]ServiceAccount, len(all)) // never null
	for i, a := range all {
		out[i] = serviceAccount(a)
	}
	return out, nil
}

// createdAccount is the answer 201.
type createdAccount struct{ ServiceAccount }

// StatusCode says that the account is new.
func (createdAccount) StatusCode() int { return 201 }

type createServiceAccountRequest struct {
	Body ServiceAccountCreate `json:"body"`
}

func (h *Handlers) createServiceAccount(ctx context.Context, r createServiceAccountRequest) (createdAccount, error) {
	caller, err := person(ctx)
	if err != nil {
		return createdAccount{}, err
	}
	role := tenant.Member
	if r.Body.Role != nil {
		role = tenant.Role(*r.Body.Role)
	}
	a, err := h.ServiceAccounts.Create(ctx, caller, r.Body.Name, role)
	if err != nil {
		return createdAccount{}, err
	}
	bus.Changed(ctx, "name", "", a.Name)
	bus.Changed(ctx, "role", "", string(a.Role))
	return createdAccount{serviceAccount(a)}, nil
}

type updateServiceAccountRequest struct {
	AccountID int64                `json:"account_id"`
	Body      ServiceAccountUpdate `json:"body"`
}

func (h *Handlers) updateServiceAccount(ctx context.Context, r updateServiceAccountRequest) (ServiceAccount, error) {
	caller, err := person(ctx)
	if err != nil {
		return ServiceAccount{}, err
	}
	a, err := h.ServiceAccounts.Update(ctx, caller, r.AccountID, key.Change{Name: r.Body.Name, Role: (*tenant.Role)(r.Body.Role)})
	if err != nil {
		return ServiceAccount{}, err
	}
	return serviceAccount(a), nil
}

type serviceAccountRequest struct {
	AccountID int64 `json:"account_id"`
}

func (h *Handlers) deleteServiceAccount(ctx context.Context, r serviceAccountRequest) (gone, error) {
	caller, err := person(ctx)
	if err != nil {
		return gone{}, err
	}
	return gone{}, h.ServiceAccounts.Delete(ctx, caller, r.AccountID)
}

func serviceAccount(a key.Account) ServiceAccount {
	return ServiceAccount{Id: a.ID, Name: a.Name, Role: string(a.Role), CreatedBy: userPrincipal(a.CreatedBy), CreatedAt: a.CreatedAt, UpdatedAt: a.UpdatedAt}
}

// resolveKey answers the gateway. That a key is none is no failure.
func (h *Handlers) resolveKey(ctx context.Context, r *authv1.ResolveKeyRequest) (*authv1.ResolveKeyResponse, error) {
	k, err := h.KeyReader.Resolve(ctx, r.GetHash())
	if errors.Is(err, key.ErrUnknown) {
		return &authv1.ResolveKeyResponse{}, nil
	}
	if err != nil {
		return nil, err
	}
	res := &authv1.ResolveKeyResponse{
		KeyId: k.ID.String(), ProjectId: id32(k.Project), UserId: id32(k.Holder.User), ServiceAccountId: id32(k.Holder.Account), Scopes: k.Scopes,
	}
	if k.Expires != nil {
		res.ExpiresAt = timestamppb.New(*k.Expires)
	}
	return res, nil
}
