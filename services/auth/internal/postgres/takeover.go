package postgres

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/commandcenter/commandcenter/pkg/outbox"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	platformv1 "github.com/commandcenter/commandcenter/proto-events/platform/v1"

	"github.com/commandcenter/commandcenter/services/auth/internal/key"
	"github.com/commandcenter/commandcenter/services/auth/internal/session"
	"github.com/commandcenter/commandcenter/services/auth/internal/signon"
)

// takeover ends what the account has opened while nobody vouched for its address:
// whoever had registered it may have been somebody else, and everything that still
// lets that one in has to go.
type takeover struct {
	tx    *sqlx.Tx
	user  int64
	owned []int64 // its projects, locked
	now   time.Time

	ended signon.Ended
	// touched are the projects whose audit logs have to say so.
	touched map[int64]*signon.Ended
}

// lockOwned locks the projects of the account of an address, before the account:
// so does whoever lets somebody into one.
func lockOwned(ctx context.Context, tx *sqlx.Tx, email string) (owned []int64, err error) {
	const q = `
		SELECT p.project_id FROM projects p JOIN users u ON u.id = p.owner_id
		WHERE  u.email = $1 AND p.deleted_at IS NULL ORDER BY p.project_id FOR UPDATE OF p`
	if err := tx.SelectContext(ctx, &owned, q, email); err != nil {
		return nil, fmt.Errorf("lock projects: %w", err)
	}
	return owned, nil
}

// all does everything. The caller holds the account's lock, and has given it
// another version and another password.
func (t *takeover) all(ctx context.Context) (signon.Ended, error) {
	t.touched = map[int64]*signon.Ended{}
	var err error
	if t.ended.Sessions, err = revokeAll(ctx, t.tx, t.user, uuid.Nil, t.now, session.PasswordReason); err != nil {
		return signon.Ended{}, err
	}
	for _, step := range []func(context.Context) error{t.accounts, t.keys, t.invitations, t.members, t.record} {
		if err := step(ctx); err != nil {
			return signon.Ended{}, err
		}
	}
	return t.ended, nil
}

// in counts for the project, and altogether.
func (t *takeover) in(project int64, count func(*signon.Ended)) {
	if t.touched[project] == nil {
		t.touched[project] = &signon.Ended{}
	}
	count(t.touched[project])
	count(&t.ended)
}

// accounts ends the service accounts that it has made, and all of its projects:
// their keys are known to whoever made them.
func (t *takeover) accounts(ctx context.Context) error {
	const q = `
		SELECT project_id, account_id FROM service_accounts
		WHERE  created_by = $1 OR project_id = ANY ($2) ORDER BY project_id, account_id`
	var found []struct {
		Project int64 `db:"project_id"`
		ID      int64 `db:"account_id"`
	}
	if err := t.tx.SelectContext(ctx, &found, q, t.user, pq.Int64Array(t.owned)); err != nil {
		return fmt.Errorf("find service accounts: %w", err)
	}
	for _, a := range found {
		keys, err := deleteAccount(ctx, t.tx, tenant.Project(a.Project), a.ID)
		if err != nil {
			return err
		}
		t.in(a.Project, func(e *signon.Ended) { e.ServiceAccounts++; e.Keys += keys })
	}
	return nil
}

// keys ends its own keys, and those that it has made for service accounts of
// others.
func (t *takeover) keys(ctx context.Context) error {
	const end = `
		UPDATE api_keys k SET revoked_at = $2, revoke_reason = $3, version = 2
		WHERE  (k.user_id = $1 OR k.created_by = $1) AND k.revoked_at IS NULL RETURNING ` + columnsOfKey
	var keys []apiKeyRow
	if err := t.tx.SelectContext(ctx, &keys, end, t.user, t.now, key.Revoked); err != nil {
		return fmt.Errorf("revoke keys: %w", err)
	}
	for _, k := range keys {
		t.in(k.Project, func(e *signon.Ended) { e.Keys++ })
	}
	return sayKeysRevoked(ctx, t.tx, keys)
}

// invitations takes back those that it has sent, and all into its projects.
func (t *takeover) invitations(ctx context.Context) error {
	const q = `
		UPDATE invitations SET revoked_at = $2
		WHERE  (invited_by = $1 OR project_id = ANY ($3)) AND accepted_at IS NULL AND revoked_at IS NULL AND expires_at > $2
		RETURNING project_id, id`
	var closed []struct {
		Project int64 `db:"project_id"`
		ID      int64 `db:"id"`
	}
	if err := t.tx.SelectContext(ctx, &closed, q, t.user, t.now, pq.Int64Array(t.owned)); err != nil {
		return fmt.Errorf("close invitations: %w", err)
	}
	for _, i := range closed {
		if err := sayRevoked(ctx, t.tx, tenant.Project(i.Project), i.ID, t.user); err != nil {
			return err
		}
		t.in(i.Project, func(e *signon.Ended) { e.Invitations++ })
	}
	return nil
}

// members ends the memberships of everybody else in its projects. Projects of
// others have an owner who sees who is in them.
func (t *takeover) members(ctx context.Context) error {
	const q = `
		SELECT project_id, user_id FROM memberships
		WHERE  project_id = ANY ($2) AND user_id <> $1 ORDER BY user_id, project_id`
	var found []struct {
		Project int64 `db:"project_id"`
		User    int64 `db:"user_id"`
	}
	if err := t.tx.SelectContext(ctx, &found, q, t.user, pq.Int64Array(t.owned)); err != nil {
		return fmt.Errorf("find members: %w", err)
	}
	for _, m := range found {
		if err := remove(ctx, t.tx, tenant.Project(m.Project), t.user, m.User, t.now); err != nil {
			return err
		}
		t.in(m.Project, func(e *signon.Ended) { e.Members++ })
	}
	return nil
}

// record tells the audit log of each project what has ended there: the call itself
// is of none, and is in that of the instance.
func (t *takeover) record(ctx context.Context) error {
	for p, e := range t.touched {
		id, err := uuid.NewV7()
		if err != nil {
			return fmt.Errorf("id of a record: %w", err)
		}
		m := &platformv1.CallRecorded{
			ProjectId: id32(p), CallId: id.String(), Version: 1, Service: "auth", Operation: "finishSignOn",
			Principal: key.Holder{User: t.user}.String(), Status: 303, AcceptedAt: timestamppb.New(t.now), Count: 1,
		}
		for _, n := range e.Named() {
			m.Target = append(m.Target, &platformv1.CallTarget{Name: n.Name, Value: strconv.Itoa(n.Count)})
		}
		if err := outbox.Add(ctx, t.tx, m, outbox.At(t.now)); err != nil {
			return err
		}
	}
	return nil
}
