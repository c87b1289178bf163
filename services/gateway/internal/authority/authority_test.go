package authority_test

import (
	"context"
	"crypto/sha256"
	"math"
	"reflect"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/bus/bustest"
	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	authv1 "github.com/commandcenter/commandcenter/proto-events/auth/v1"

	"github.com/commandcenter/commandcenter/services/gateway/internal/access"
	"github.com/commandcenter/commandcenter/services/gateway/internal/authority"
)

func TestKeysCrossTheBus(t *testing.T) {
	t.Parallel()
	env := bustest.New(t, "auth")
	until := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	auth := bus.NewServer(env.Bus("auth"), bus.ServerConfig{})
	bus.Internal(auth, "signingKeys", func(context.Context, *authv1.SigningKeysRequest) (*authv1.SigningKeysResponse, error) {
		return &authv1.SigningKeysResponse{Keys: []*authv1.SigningKey{
			{Kid: "new", PublicKey: []byte("n")}, {Kid: "old", PublicKey: []byte("o"), NotAfter: timestamppb.New(until)},
		}}, nil
	})
	env.Run(auth)
	keys, err := authority.Auth{Bus: env.Bus("gateway")}.SigningKeys(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(keys) != 2 || keys[0].ID != "new" || string(keys[0].Public) != "n" || !keys[0].NotAfter.IsZero() ||
		keys[1].ID != "old" || !keys[1].NotAfter.Equal(until) {
		t.Errorf("got %+v", keys)
	}
}

func TestStandingIsWhatAuthSays(t *testing.T) {
	t.Parallel()
	env := bustest.New(t, "auth")
	auth := bus.NewServer(env.Bus("auth"), bus.ServerConfig{})
	bus.Internal(auth, "resolveAccess", func(_ context.Context, r *authv1.ResolveAccessRequest) (*authv1.ResolveAccessResponse, error) {
		if r.GetUserId() != 7 {
			return &authv1.ResolveAccessResponse{}, nil
		}
		res := &authv1.ResolveAccessResponse{UserId: 7, Email: "ada@example.org", Active: true, SessionLive: r.GetSession() == "s", ProjectId: 3, Role: "member",
			Limits: []*authv1.ProjectLimit{{Class: "writes", Calls: 7, Seconds: 60, Raised: true}, {Class: "broken"}}}
		if r.GetProjectId() != 0 && r.GetProjectId() != 3 {
			res.ProjectId, res.Role, res.Limits = 0, "", nil
		}
		return res, nil
	})
	env.Run(auth)
	a := authority.Auth{Bus: env.Bus("gateway")}
	ada := access.Standing{Known: true, Email: "ada@example.org", Active: true, SessionLive: true, Project: 3, Role: tenant.Member,
		Limits: access.Limits{"writes": {Calls: 7, Per: time.Minute, Raised: true}}}
	outside := ada
	outside.Project, outside.Role, outside.Limits = tenant.Instance, tenant.NoRole, nil
	for name, c := range map[string]struct {
		user    int64
		project tenant.Project
		want    access.Standing
	}{
		"in the default project":             {7, 0, ada},
		"in a project that is named":         {7, 3, ada},
		"in a project of others":             {7, 4, outside},
		"in a project that cannot exist":     {7, math.MaxInt32 + 4, outside}, // 3, were it cut to 32 bits
		"of nobody":                          {8, 3, access.Standing{}},
		"of somebody who cannot exist":       {math.MaxInt32 + 8, 3, access.Standing{}},
		"of somebody whose id ends the same": {1<<32 + 7, 3, access.Standing{}},
	} {
		got, err := a.Standing(t.Context(), access.Question{User: c.user, Project: c.project, Session: "s"})
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: got %+v, %v", name, got, err)
		}
	}
}

func TestKeysOfProgramsCrossTheBusAsHashes(t *testing.T) {
	t.Parallel()
	env := bustest.New(t, "auth")
	until := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	hash := sha256.Sum256([]byte("a key"))
	auth := bus.NewServer(env.Bus("auth"), bus.ServerConfig{})
	bus.Internal(auth, "resolveKey", func(_ context.Context, r *authv1.ResolveKeyRequest) (*authv1.ResolveKeyResponse, error) {
		if string(r.GetHash()) != string(hash[:]) {
			return &authv1.ResolveKeyResponse{}, nil
		}
		return &authv1.ResolveKeyResponse{KeyId: "k", ProjectId: 3, ServiceAccountId: 5, Scopes: []string{"knowledge:read", "*:write"}, ExpiresAt: timestamppb.New(until)}, nil
	})
	bus.Internal(auth, "resolveAccess", func(_ context.Context, r *authv1.ResolveAccessRequest) (*authv1.ResolveAccessResponse, error) {
		return &authv1.ResolveAccessResponse{ServiceAccountId: r.GetServiceAccountId(), Active: true, SessionLive: true, ProjectId: r.GetProjectId(), Role: "admin"}, nil
	})
	env.Run(auth)
	a := authority.Auth{Bus: env.Bus("gateway")}
	want := access.APIKey{ID: "k", Project: 3, Account: 5, Scopes: access.Scopes{"knowledge": access.Read, "*": access.Write}, Expires: until}
	if k, found, err := a.APIKey(t.Context(), hash); err != nil || !found || !reflect.DeepEqual(k, want) {
		t.Errorf("got %+v, %v, %v", k, found, err)
	}
	if _, found, err := a.APIKey(t.Context(), sha256.Sum256([]byte("another"))); err != nil || found {
		t.Errorf("an unknown one: %v, %v", found, err)
	}
	got, err := a.Standing(t.Context(), access.Question{Account: 5, Project: 3})
	if err != nil || !reflect.DeepEqual(got, access.Standing{Known: true, Active: true, SessionLive: true, Project: 3, Role: tenant.Admin}) {
		t.Errorf("a service account stands as %+v, %v", got, err)
	}
}

func TestWithoutAuthNobodyStandsAnywhere(t *testing.T) {
	t.Parallel()
	env := bustest.New(t, "auth")
	a := authority.Auth{Bus: env.Bus("gateway")}
	if _, err := a.Standing(t.Context(), access.Question{User: 7, Project: 3, Session: "s"}); errs.KindOf(err) != errs.Unavailable {
		t.Errorf("standing: %v", err)
	}
	if _, err := a.SigningKeys(t.Context()); errs.KindOf(err) != errs.Unavailable {
		t.Errorf("keys: %v", err)
	}
}
