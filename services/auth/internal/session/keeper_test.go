package session_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/commandcenter/commandcenter/services/auth/internal/session"
)

// drawer holds one live session of user 7.
type drawer struct {
	id  uuid.UUID
	err error
}

func (d *drawer) Live(_ context.Context, user int64, _ time.Time) ([]session.Live, error) {
	if user != 7 || d.id == uuid.Nil {
		return nil, d.err
	}
	return []session.Live{{ID: d.id}}, d.err
}

func (d *drawer) Revoke(_ context.Context, id uuid.UUID, user int64, _ time.Time, _ string) (bool, error) {
	if user != 7 || id != d.id || d.err != nil {
		return false, d.err
	}
	d.id = uuid.Nil
	return true, nil
}

func (d *drawer) RevokeAll(context.Context, int64, time.Time, string) (int, error) {
	d.id = uuid.Nil
	return 1, d.err
}

func TestSessionsAreEndedByTheirOwner(t *testing.T) {
	t.Parallel()
	d := &drawer{id: uuid.New()}
	k := session.Keeper{Sessions: d, Now: time.Now}
	id := d.id.String()
	for user, id := range map[int64]string{8: id, 7: "no uuid"} {
		if err := k.End(t.Context(), user, id); !errors.Is(err, session.ErrUnknown) {
			t.Errorf("%d ends %s: %v", user, id, err)
		}
	}
	if err := k.End(t.Context(), 7, id); err != nil {
		t.Error(err)
	}
	if live, err := k.List(t.Context(), 7); err != nil || len(live) != 0 {
		t.Errorf("still alive: %v, %v", live, err)
	}
	if err := k.EndAll(t.Context(), 7); err != nil {
		t.Error(err)
	}
	d.err = errors.New("no database")
	_, err := k.List(t.Context(), 7)
	for _, err := range []error{err, k.End(t.Context(), 7, id), k.EndAll(t.Context(), 7)} {
		if !errors.Is(err, d.err) {
			t.Errorf("the failure is lost: %v", err)
		}
	}
}
