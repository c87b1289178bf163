package auth

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/commandcenter/commandcenter/pkg/archive"
	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/jobs"
	"github.com/commandcenter/commandcenter/pkg/outbox"
	"github.com/commandcenter/commandcenter/pkg/pg"
	"github.com/commandcenter/commandcenter/pkg/portable"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	platformv1 "github.com/commandcenter/commandcenter/proto-events/platform/v1"

	"github.com/commandcenter/commandcenter/services/auth/internal/serve"
	"github.com/commandcenter/commandcenter/services/auth/internal/transfer"
)

// Portable is what becomes of the service's tables when a project is exported.
var Portable = portable.Plan{
	Schema:   Migrations,
	Restored: []string{"projects", "project_quotas"},
	Evidence: map[string]string{
		"memberships":      "who belonged to the project, by address; an import lets in its owner alone",
		"service_accounts": "what belonged to it; without keys they are nobody",
		"audit_entries":    "the log of the project that was, in the form of the audit log's own export",
		"audit_heads":      "where that log ends",
	},
	LeftOut: map[string]string{
		"api_keys":          "digests of secrets, and rights of this instance",
		"invitations":       "digests of secrets, and rights of this instance",
		"project_purges":    "belongs to a deletion that is under way",
		"project_deletions": "proof of a deletion",
		"project_imports":   "belongs to an import that is under way",
	},
	Queries: map[string]string{
		"projects":    `SELECT p.name, p.description, u.email AS owner, p.created_at, p.updated_at FROM projects p JOIN users u ON u.id = p.owner_id WHERE p.deleted_at IS NULL`,
		"memberships": `SELECT m.user_id, u.email, u.full_name, m.role, m.created_at FROM memberships m JOIN users u ON u.id = m.user_id`,
		"audit_entries": `SELECT project_id, seq, call_id AS id, recorded_at, accepted_at, last_at, count, service, operation, actor, key_id,
			status, reason, address, request_id, trace_id, target, prev, hash FROM audit_entries`,
		"audit_heads": `SELECT project_id, seq, hash FROM audit_heads`,
	},
	Columns: map[string][]string{
		"projects":         {"name", "description", "owner", "created_at", "updated_at"},
		"project_quotas":   {"class", "calls", "seconds", "raised", "version", "set_by", "set_at"},
		"memberships":      {"user_id", "email", "full_name", "role", "created_at"},
		"service_accounts": {"account_id", "name", "role", "version", "created_by", "created_at", "updated_at"},
		"audit_entries": {
			"project_id", "seq", "id", "recorded_at", "accepted_at", "last_at", "count", "service", "operation", "actor", "key_id",
			"status", "reason", "address", "request_id", "trace_id", "target", "prev", "hash",
		},
		"audit_heads": {"project_id", "seq", "hash"},
	},
	Values: map[string]func(row []byte) error{"projects": transfer.CheckProject, "project_quotas": transfer.CheckLimit},
}

// stepTake bounds what a service does with one part of an archive.
const stepTake = time.Minute

// parts hands parts of an archive to the other services.
type parts struct{ b *bus.Bus }

func (p parts) ask(ctx context.Context, service string, to transfer.To, q *platformv1.RestorePartRequest) (*platformv1.RestorePart, error) {
	ctx, cancel := context.WithTimeout(ctx, stepTake)
	defer cancel()
	q.ProjectId, q.UserId = int32(to.Project), int32(to.Task.UserID) //nolint:gosec // G115: MAXVALUE of the sequences
	q.Principal, q.Shares = to.Task.Principal, to.Task.Shares
	return bus.CallInternal[*platformv1.RestorePart](ctx, p.b, service, "restorePart", q)
}

// Begin refuses what the service cannot read.
func (p parts) Begin(ctx context.Context, service string, to transfer.To, s archive.Schemas) error {
	_, err := p.ask(ctx, service, to, &platformv1.RestorePartRequest{Step: "begin", SchemaVersion: int32(min(s.Own, 1<<30)), CommonVersion: int32(min(s.Common, 1<<30))}) //nolint:gosec // G115: bounded
	return err
}

// Rows hands rows of a table on.
func (p parts) Rows(ctx context.Context, service string, to transfer.To, l transfer.Lines) (taken, left int64, err error) {
	res, err := p.ask(ctx, service, to, &platformv1.RestorePartRequest{Step: "rows", Table: l.Table, Rows: l.Rows, Part: l.Part, Line: int32(l.First)}) //nolint:gosec // G115: bounded by a member
	return int64(res.GetRestored()), int64(res.GetLeftOut()), err
}

// Object says where bytes are that rows are going to refer to.
func (p parts) Object(ctx context.Context, service string, to transfer.To, o transfer.Object) error {
	_, err := p.ask(ctx, service, to, &platformv1.RestorePartRequest{Step: "object", Object: &platformv1.PortableObject{
		Sha256: o.SHA256, Size: strconv.FormatInt(o.Size, 10), Bucket: o.Bucket, Name: o.Name,
	}})
	return err
}

// End says that there is no more.
func (p parts) End(ctx context.Context, service string, to transfer.To) error {
	_, err := p.ask(ctx, service, to, &platformv1.RestorePartRequest{Step: "end"})
	return err
}

// objects are those of the object store.
type objects struct{ b *bus.Bus }

func ref(o transfer.Object) bus.ObjectRef {
	return bus.ObjectRef{Bucket: o.Bucket, Name: o.Name, SHA256: o.SHA256, Size: o.Size}
}

// Open reads an object.
func (s objects) Open(ctx context.Context, o transfer.Object) (io.ReadCloser, error) {
	return s.b.GetObject(ctx, ref(o))
}

// Put keeps bytes for a service as an object of a project.
func (s objects) Put(ctx context.Context, service string, p tenant.Project, r io.Reader, most int64) (transfer.Object, error) {
	o, err := s.b.PutObjectFor(ctx, service, p, "import", "application/octet-stream", r, most)
	return transfer.Object{Bucket: o.Bucket, Name: o.Name, SHA256: o.SHA256, Size: o.Size}, err
}

// Delete removes an object.
func (s objects) Delete(ctx context.Context, o transfer.Object) error {
	return s.b.DeleteObject(ctx, ref(o))
}

var errGivenUp = errs.New(errs.Unavailable, "the import was given up after several tries; nothing is left of it")

// checkOwn is [Deps.CheckRow] of who knows no other service.
func checkOwn(service, table string, row []byte) error {
	if service != Name {
		return nil
	}
	return Portable.CheckRow(table, row)
}

// importing is the handler of the jobs that import a project.
func importing(x transfer.Importer, server *bus.Server) func(ctx context.Context, r *jobs.Run) error {
	return func(ctx context.Context, r *jobs.Run) error {
		var t transfer.Task
		if err := r.Decode(&t); err != nil {
			return err
		}
		told, end := telling(ctx, r, server, t.Operation)
		defer end()
		told(0, 0, "checking")
		settle, err := x.Prepare(ctx, r.Job.ID, t, func(done, total int64) { told(done, total, "importing") })
		end()
		if err == nil {
			err = r.Step(ctx, "settle", func(ctx context.Context) error {
				made, err := settle(ctx)
				if err != nil {
					return err
				}
				return server.Finish(ctx, tenant.Instance, t.Operation, serve.NewImported(made), nil, ended(t, made, x.Now(), nil))
			})
		}
		fatal := err != nil && errs.KindOf(err).Refusal()
		last := err != nil && ctx.Err() == nil && r.Job.Attempts >= r.Job.MaxAttempts
		switch {
		case err == nil:
		case fatal, last:
			said := err
			if !fatal {
				said = errGivenUp.Because(err)
			}
			if left := errors.Join(x.Projects.Abandon(ctx, r.Job.ID, x.Now()), server.Finish(pg.Detached(ctx), tenant.Instance, t.Operation, nil, said, ended(t, transfer.Imported{}, x.Now(), said))); left != nil {
				return left
			}
		default:
			return err
		}
		return errors.Join(err, x.Discard(ctx, t))
	}
}

// tellEvery is how often the operation says how far it is, if that is another place
// than before.
const tellEvery = time.Second

// telling says how far an import is: to those who follow its job at once, and in its
// operation now and then until end, also while a part takes long. It may be lost and
// never fails.
func telling(ctx context.Context, r *jobs.Run, server *bus.Server, operation uuid.UUID) (told func(done, total int64, doing string), end func()) {
	ctx, cancel := context.WithCancel(ctx)
	latest := make(chan outbox.Progress, 1)
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		tick := time.NewTicker(tellEvery)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case at := <-latest:
				// Of an operation that was just removed nobody asks.
				_ = server.Advance(pg.Detached(ctx), tenant.Instance, operation, at)
			}
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
	}()
	told = func(done, total int64, doing string) {
		r.Progress(ctx, int(done), int(total), doing)
		select {
		case <-latest: // has not been said, and is of before
		default:
		}
		latest <- outbox.Progress{Done: done, Total: total, Doing: doing}
	}
	return told, func() { cancel(); <-stopped }
}

// ended is the record of how an import ended, which no call answers: that it was
// begun is one of its own.
func ended(t transfer.Task, made transfer.Imported, at time.Time, failure error) *platformv1.CallRecorded {
	m := &platformv1.CallRecorded{
		CallId: uuid.NewString(), Version: 1, Service: Name, Operation: "finishImport", Principal: t.Principal, Status: http.StatusCreated,
		AcceptedAt: timestamppb.New(at), Count: 1,
		Target: []*platformv1.CallTarget{{Name: "operation_id", Value: Name + "." + t.Operation.String()}, {Name: "archive_sha256", Value: t.Archive.SHA256}},
	}
	if failure != nil {
		m.Status, m.Reason = 0, string(errs.KindOf(failure))
		return m
	}
	number := func(name string, n int64) {
		m.Target = append(m.Target, &platformv1.CallTarget{Name: name, Value: strconv.FormatInt(n, 10)})
	}
	number("project_id", int64(made.Project.ID))
	number("rows_restored", made.Tally.Rows)
	number("rows_left_out", made.Tally.LeftOut)
	number("objects", made.Tally.Objects)
	return m
}
