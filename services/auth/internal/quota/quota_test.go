package quota_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	"github.com/commandcenter/commandcenter/services/auth/internal/quota"
)

// shelf holds one quota.
type shelf struct{ has *quota.Quota }

func (s *shelf) Put(_ context.Context, _ tenant.Identity, q quota.Quota, keep func(quota.Quota) error) error {
	if s.has != nil {
		if err := keep(*s.has); err != nil {
			return err
		}
	}
	s.has = &q
	return nil
}

func (s *shelf) Reset(_ context.Context, _ tenant.Identity, _ tenant.Project, _ string, keep func(quota.Quota) error) error {
	if s.has == nil {
		return quota.ErrNone
	}
	if err := keep(*s.has); err != nil {
		return err
	}
	s.has = nil
	return nil
}

func TestAnAdminSetsALimitThatNoSuperuserHasSet(t *testing.T) {
	t.Parallel()
	s := &shelf{}
	service := quota.Service{Quotas: s, Now: time.Now}
	admin := tenant.Identity{UserID: 7, Project: 3, Role: tenant.Admin}
	super := tenant.Identity{UserID: 1, Project: 3, Superuser: true}
	for _, limit := range []string{"5/second", "300/minute", "1/hour", "999999/day"} {
		q, err := service.Set(t.Context(), admin, "reads", limit)
		if err != nil || q.Limit() != limit || q.Raised || *s.has != q {
			t.Errorf("%s: %+v %v", limit, q, err)
		}
	}
	if q, err := service.Set(t.Context(), super, "reads", "2/minute"); err != nil || !q.Raised {
		t.Errorf("by a superuser: %+v %v", q, err)
	}
	if _, err := service.Set(t.Context(), admin, "reads", "3/minute"); errs.KindOf(err) != errs.Forbidden {
		t.Errorf("over a superuser's: %v", err)
	}
	if err := service.Reset(t.Context(), admin, "reads"); errs.KindOf(err) != errs.Forbidden {
		t.Errorf("reset of a superuser's: %v", err)
	}
	if err := service.Reset(t.Context(), super, "reads"); err != nil || s.has != nil {
		t.Errorf("reset: %v", err)
	}
	if err := service.Reset(t.Context(), super, "reads"); !errors.Is(err, quota.ErrNone) {
		t.Errorf("reset of none: %v", err)
	}
}

func TestALimitThatIsNoneIsRefused(t *testing.T) {
	t.Parallel()
	service := quota.Service{Quotas: &shelf{}, Now: time.Now}
	admin := tenant.Identity{UserID: 7, Project: 3, Role: tenant.Admin}
	for _, limit := range []string{"", "5", "0/minute", "-1/hour", "1000000/day", "5/week", "x/minute"} {
		if _, err := service.Set(t.Context(), admin, "writes", limit); errs.KindOf(err) != errs.Invalid {
			t.Errorf("%q: %v", limit, err)
		}
	}
	if _, err := service.Set(t.Context(), admin, "thoughts", "5/minute"); errs.KindOf(err) != errs.Invalid {
		t.Errorf("class: %v", err)
	}
	if err := service.Reset(t.Context(), tenant.Identity{Project: 3, Role: tenant.Member}, "reads"); errs.KindOf(err) != errs.Forbidden {
		t.Errorf("member: %v", err)
	}
	if err := service.Reset(t.Context(), tenant.Identity{Role: tenant.Admin}, "reads"); !errors.Is(err, quota.ErrNone) {
		t.Errorf("no project: %v", err)
	}
	if got := (quota.Quota{Calls: 5, Per: 2 * time.Minute}).Limit(); got != "5/2m0s" {
		t.Errorf("odd period: %s", got)
	}
}
