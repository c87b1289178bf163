package serve_test

import (
	"context"
	"testing"
	"time"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/bus/bustest"
	"github.com/commandcenter/commandcenter/pkg/errs"
	authv1 "github.com/commandcenter/commandcenter/proto-events/auth/v1"
)

func TestSigningKeysAreReplacedAtOnceAndSaySo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	root, jo := w.superuser("root@example.org"), w.member("jo@example.org")
	said := make(chan *authv1.SigningKeyRotated, 10)
	w.env.Run(bus.Follow(w.edge, func(_ context.Context, _ bus.Meta, e *authv1.SigningKeyRotated) { said <- e }))
	published := func() (ids []string) {
		res, err := bus.CallInternal[*authv1.SigningKeysResponse](t.Context(), w.edge, "auth", "signingKeys", &authv1.SigningKeysRequest{})
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range res.GetKeys() {
			ids = append(ids, k.GetKid())
		}
		return ids
	}
	refresh := w.login("jo@example.org", password).ok(200).str("refresh_token")
	first := published()
	w.command("rotateSigningKeys", "", instance(jo), obj{}).refused(errs.Forbidden, "superuser")

	w.clock.move(time.Minute)
	a := w.command("rotateSigningKeys", "", root, obj{}).ok(200)
	if e := bustest.Await(w.env, said); e.GetSigningKeyId() != a.str("signs") || e.GetRevoked() {
		t.Errorf("said %v", e)
	}
	if got := published(); len(got) != 2 || got[0] != a.str("signs") || got[1] != first[0] {
		t.Errorf("published %v", got)
	}
	w.clock.move(time.Minute)
	a = w.command("rotateSigningKeys", "", root, obj{"body": obj{"revoke": true}}).ok(200)
	if e := bustest.Await(w.env, said); !e.GetRevoked() {
		t.Errorf("said %v", e)
	}
	if got := published(); len(got) != 1 || got[0] != a.str("signs") {
		t.Errorf("published %v", got)
	}
	w.refresh(refresh).ok(200) // nobody is logged out
}

func TestAKeyThatAnotherReplicaHasRevokedIsToldNoMore(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	published := func() int {
		res, err := bus.CallInternal[*authv1.SigningKeysResponse](t.Context(), w.edge, "auth", "signingKeys", &authv1.SigningKeysRequest{})
		if err != nil {
			t.Fatal(err)
		}
		return len(res.GetKeys())
	}
	if n := published(); n != 1 {
		t.Fatalf("%d keys", n)
	}
	w.exec(`DELETE FROM signing_keys`) // and its fact has not come here yet
	if n := published(); n != 0 {
		t.Errorf("%d keys are still told", n)
	}
}
