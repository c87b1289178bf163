package postgres_test

import (
	"errors"
	"testing"

	"github.com/google/uuid"

	"github.com/commandcenter/commandcenter/services/auth/internal/key"
	"github.com/commandcenter/commandcenter/services/auth/internal/postgres"
	"github.com/commandcenter/commandcenter/services/auth/internal/project"
	"github.com/commandcenter/commandcenter/services/auth/internal/session"
	"github.com/commandcenter/commandcenter/services/auth/internal/transfer"
	"github.com/commandcenter/commandcenter/services/auth/internal/user"
)

// An import may take hours: it goes on when the session ends that began it, and not
// when the API key or the account does.
func TestAnImportEndsWithItsKeyAndItsAccountAndNotWithItsSession(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	imports := postgres.Imports{Store: w.store}
	settle := func(name string, task transfer.Task) error {
		p, err := imports.Reserve(w.ctx(), uuid.New(), task.UserID, name, monday)
		w.must(err)
		_, err = imports.Settle(w.ctx(), p, task, project.Draft{Name: name}, nil, monday)
		return err
	}
	u, p := w.person("a@example.org")
	k, _ := w.apiKey(p, w.account(p), monday, nil)
	task := transfer.Task{UserID: u.ID, Key: k.ID.String()}
	w.must(settle("with a key", task))
	w.must(w.keys().End(w.ctx(), p, by(u.ID), k.ID, monday, func(key.Key) (key.Ending, error) {
		return key.Ending{Until: monday, Reason: key.Revoked}, nil
	}))
	if err := settle("without", task); !errors.Is(err, key.ErrEnded) {
		t.Errorf("after the key was revoked: %v", err)
	}
	task.Key = ""
	_, err := w.sessions.RevokeAll(w.ctx(), u.ID, monday, session.LogoutReason)
	w.must(err)
	w.must(settle("logged out", task))
	w.exec(`UPDATE users SET is_active = false WHERE id = $1`, u.ID)
	if err := settle("switched off", task); !errors.Is(err, user.ErrInactive) {
		t.Errorf("of an account that is switched off: %v", err)
	}
}
