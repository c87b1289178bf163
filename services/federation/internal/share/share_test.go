package share_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	"github.com/commandcenter/commandcenter/services/federation/internal/share"
)

type shelf map[string]share.Share

func (s shelf) Of(context.Context, tenant.Project) (out []share.Share, err error) {
	for _, sh := range s {
		out = append(out, sh)
	}
	return out, nil
}
func (s shelf) Put(_ context.Context, sh share.Share) (share.Share, error) {
	s[sh.Instance] = sh
	return sh, nil
}
func (s shelf) Delete(_ context.Context, _ tenant.Project, instance string) (bool, error) {
	_, found := s[instance]
	delete(s, instance)
	return found, nil
}

type peers map[string]share.Peer

var errNobody = errs.New(errs.NotFound, "nobody")

func (p peers) Peer(_ context.Context, slug string) (share.Peer, error) {
	q, ok := p[slug]
	if !ok {
		return q, errNobody
	}
	return q, nil
}

func TestAProjectIsSharedWithWhoCanBeTold(t *testing.T) {
	t.Parallel()
	s := share.Service{Shares: shelf{}, Peers: peers{"north": {Admitted: true, Key: "U"}, "us": {Self: true, Admitted: true, Key: "U"}, "listed": {Key: "U"}, "plain": {Admitted: true}}}
	for slug, want := range map[string]errs.Kind{"north": "", "us": errs.Conflict, "listed": errs.Conflict, "plain": errs.Conflict, "nobody": errs.NotFound} {
		if _, err := s.Share(t.Context(), share.Share{Project: 7, Instance: slug}); errs.KindOf(err) != want {
			t.Errorf("%s: %v, want %s", slug, err, want)
		}
	}
	if sh, err := s.Share(t.Context(), share.Share{Project: 7, Instance: "north"}); err != nil || sh.Name != "project-7" {
		t.Errorf("%+v, %v", sh, err)
	}
	for _, name := range []string{"a\x1b[31m", strings.Repeat("x", 201)} {
		if _, err := s.Share(t.Context(), share.Share{Project: 7, Instance: "north", Name: name}); errs.KindOf(err) != errs.Invalid {
			t.Errorf("%q: %v", name, err)
		}
	}
	if err := s.Unshare(t.Context(), 7, "north"); err != nil {
		t.Error(err)
	}
	if err := s.Unshare(t.Context(), 7, "north"); !errors.Is(err, share.ErrNotFound) {
		t.Errorf("again: %v", err)
	}
}
