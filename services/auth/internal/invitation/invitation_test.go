package invitation

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/tenant"

	"github.com/commandcenter/commandcenter/services/auth/internal/project"
)

const here tenant.Project = 42

var monday = time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)

// desk keeps one invitation.
type desk struct {
	inv     Invitation
	key     []byte
	revoked int64
	joined  int64
	err     error
}

func (d *desk) Create(_ context.Context, _ tenant.Identity, inv Invitation, key []byte) (Invitation, error) {
	inv.ID = 4
	d.inv, d.key = inv, key
	return inv, d.err
}

func (d *desk) List(context.Context, tenant.Project, time.Time) ([]Invitation, error) {
	return []Invitation{d.inv}, d.err
}

func (d *desk) Revoke(_ context.Context, _ tenant.Project, id int64, _ tenant.Identity, _ time.Time) error {
	d.revoked = id
	return d.err
}

func (d *desk) Open(_ context.Context, key []byte, _ time.Time) (Invitation, error) {
	if !bytes.Equal(key, d.key) {
		return Invitation{}, ErrInvalid
	}
	return d.inv, d.err
}

func (d *desk) Accept(_ context.Context, key []byte, by tenant.Identity, _ time.Time) (project.Mine, int64, error) {
	if !bytes.Equal(key, d.key) {
		return project.Mine{}, 0, ErrInvalid
	}
	d.joined = by.UserID
	return project.Mine{Role: d.inv.Role}, d.inv.ID, d.err
}

func service(d *desk) Service {
	return Service{Invitations: d, Life: 48 * time.Hour, Page: "https://cc.example.org/join?a=1", Now: func() time.Time { return monday }}
}

func caller(role tenant.Role) tenant.Identity {
	return tenant.Identity{Principal: "user:7", UserID: 7, Project: here, Role: role}
}

func ptr[T any](v T) *T { return &v }

func TestAnInvitationIsASecretOfWhichTheHashIsKept(t *testing.T) {
	t.Parallel()
	d := &desk{}
	s := service(d)
	inv, err := s.Create(t.Context(), caller(tenant.Admin), here, Draft{Role: tenant.Member, Email: ptr(" Jo@Example.org")})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(inv.Secret, Prefix) || len(d.key) != 32 || strings.Contains(inv.Secret, string(d.key)) {
		t.Errorf("secret %q, kept %x", inv.Secret, d.key)
	}
	if inv.Link != "https://cc.example.org/join?a=1#"+inv.Secret {
		t.Errorf("link %q", inv.Link)
	}
	if d.inv.InvitedBy != 7 || *d.inv.Email != "jo@example.org" || !d.inv.ExpiresAt.Equal(monday.Add(48*time.Hour)) {
		t.Errorf("kept %+v", d.inv)
	}
	if key, err := Key(" " + inv.Secret + "\n"); err != nil || !bytes.Equal(key, d.key) {
		t.Errorf("the secret has another key: %x, %v", key, err)
	}
	again, err := s.Create(t.Context(), caller(tenant.Admin), here, Draft{Role: tenant.Viewer, Days: ptr(1)})
	if err != nil || again.Secret == inv.Secret || !d.inv.ExpiresAt.Equal(monday.Add(24*time.Hour)) {
		t.Errorf("%+v, %v", again, err)
	}
	s.Page = ""
	if open, err := s.Create(t.Context(), caller(tenant.Admin), here, Draft{Role: tenant.Viewer}); err != nil || open.Link != "" {
		t.Errorf("a link to nowhere: %q, %v", open.Link, err)
	}
}

func TestWhatIsNoInvitationIsRefused(t *testing.T) {
	t.Parallel()
	for name, d := range map[string]Draft{
		"an owner": {Role: tenant.Owner}, "no role": {}, "a made-up role": {Role: "emperor"},
		"no day": {Role: tenant.Viewer, Days: ptr(0)}, "for ever": {Role: tenant.Viewer, Days: ptr(91)},
		"no address": {Role: tenant.Viewer, Email: ptr("jo")},
	} {
		if _, err := service(&desk{}).Create(t.Context(), caller(tenant.Owner), here, d); errs.KindOf(err) != errs.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAdminsInvite(t *testing.T) {
	t.Parallel()
	for who, want := range map[*tenant.Identity]error{
		ptr(caller(tenant.Admin)): nil, ptr(caller(tenant.Owner)): nil, {UserID: 1, Project: here, Superuser: true}: nil,
		ptr(caller(tenant.Member)): project.ErrForbidden, ptr(caller(tenant.Viewer)): project.ErrForbidden, ptr(caller(tenant.NoRole)): project.ErrNotFound,
		{UserID: 1, Project: 43, Role: tenant.Owner}: project.ErrNotFound,
	} {
		s := service(&desk{})
		_, create := s.Create(t.Context(), *who, here, Draft{Role: tenant.Viewer})
		_, list := s.List(t.Context(), *who, here)
		revoke := s.Revoke(t.Context(), *who, here, 4)
		for _, err := range []error{create, list, revoke} {
			if !errors.Is(err, want) {
				t.Errorf("%+v: %v, want %v", *who, err, want)
			}
		}
	}
}

func TestAnInviterMayGiveUpToItsOwnRole(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		who  Inviter
		role tenant.Role
		may  bool
	}{
		{Inviter{Active: true, Role: tenant.Admin}, tenant.Admin, true},
		{Inviter{Active: true, Role: tenant.Owner}, tenant.Admin, true},
		{Inviter{Active: true, Role: tenant.Member}, tenant.Viewer, false},
		{Inviter{Active: true, Role: tenant.Admin}, tenant.Owner, false},
		{Inviter{Active: true}, tenant.Viewer, false},
		{Inviter{Role: tenant.Owner}, tenant.Viewer, false},
		{Inviter{Active: true, Superuser: true}, tenant.Admin, true},
		{Inviter{Superuser: true}, tenant.Viewer, false},
	} {
		if got := c.who.May(c.role); got != c.may {
			t.Errorf("%+v may give %s: %v", c.who, c.role, got)
		}
	}
}

func TestASecretIsTakenForOneAddressOrForAll(t *testing.T) {
	t.Parallel()
	d := &desk{}
	s := service(d)
	inv, err := s.Create(t.Context(), caller(tenant.Admin), here, Draft{Role: tenant.Member, Email: ptr("jo@example.org")})
	if err != nil {
		t.Fatal(err)
	}
	if key, err := s.Check(t.Context(), inv.Secret, "jo@example.org"); err != nil || !bytes.Equal(key, d.key) {
		t.Errorf("%x, %v", key, err)
	}
	if p, id, err := s.Accept(t.Context(), tenant.Identity{UserID: 9}, inv.Secret); err != nil || d.joined != 9 || p.Role != tenant.Member || id != 4 {
		t.Errorf("%+v by %d, %v", p, id, err)
	}
	if shown, err := s.Show(t.Context(), inv.Secret); err != nil || shown.ID != d.inv.ID {
		t.Errorf("shown %+v, %v", shown, err)
	}
	wrong := Prefix + strings.Repeat("A", 43)
	for name, check := range map[string]func() error{
		"another address":    func() error { _, err := s.Check(t.Context(), inv.Secret, "al@example.org"); return err },
		"another secret":     func() error { _, err := s.Check(t.Context(), wrong, "jo@example.org"); return err },
		"shows another":      func() error { _, err := s.Show(t.Context(), wrong); return err },
		"shows none":         func() error { _, err := s.Show(t.Context(), ""); return err },
		"no secret":          func() error { _, err := s.Check(t.Context(), "x", "jo@example.org"); return err },
		"accepts another":    func() error { _, _, err := s.Accept(t.Context(), tenant.Identity{UserID: 9}, wrong); return err },
		"accepts none":       func() error { _, _, err := s.Accept(t.Context(), tenant.Identity{UserID: 9}, ""); return err },
		"without its prefix": func() error { _, err := Key(strings.TrimPrefix(inv.Secret, Prefix)); return err },
		"cut off":            func() error { _, err := Key(inv.Secret[:20]); return err },
		"another spelling":   func() error { _, err := Key(inv.Secret + "="); return err },
	} {
		if err := check(); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	d.err = errors.New("gone")
	if _, err := s.Create(t.Context(), caller(tenant.Admin), here, Draft{Role: tenant.Member}); err == nil {
		t.Error("a fault is no invitation")
	}
}
