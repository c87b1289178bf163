package serve

import (
	"context"

	"github.com/google/uuid"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/tenant"

	"github.com/commandcenter/commandcenter/services/auth/internal/project"
	"github.com/commandcenter/commandcenter/services/auth/internal/transfer"
)

type imports interface {
	// Enqueue begins an import, in the transaction of ctx, unless the caller's session,
	// key or account has ended meanwhile: [session.ErrEnded], [key.ErrEnded],
	// [user.ErrInactive].
	Enqueue(ctx context.Context, by tenant.Identity, t transfer.Task) (uuid.UUID, error)
	// Free refuses a name that the user has given to a project.
	Free(ctx context.Context, userID int64, name string) error
}

type importProjectRequest struct {
	Body struct {
		Name   *string `json:"name"`
		Shares *bool   `json:"shares"`
	} `json:"body"`
	Upload *bus.ObjectRef `json:"upload"`
}

// imported is the answer to an import, provisional until its job has ended.
type imported struct {
	ImportedProject
	pending bool
}

// StatusCode is 202 while the job is at it.
func (i imported) StatusCode() int {
	if i.pending {
		return 202
	}
	return 201
}

// NewImported is the final answer to an import.
func NewImported(m transfer.Imported) any {
	return imported{ImportedProject: ImportedProject{
		Id: int64(m.Project.ID), Name: m.Project.Name, Owner: m.Project.Owner, Description: m.Project.Description, CreatedAt: m.Project.CreatedAt,
		RowsRestored: m.Tally.Rows, RowsLeftOut: m.Tally.LeftOut, Objects: m.Tally.Objects,
	}}
}

func (h *Handlers) importProject(ctx context.Context, r importProjectRequest) (imported, error) {
	caller, err := person(ctx)
	if err != nil {
		return imported{}, err
	}
	if r.Upload == nil {
		return imported{}, errs.InvalidField("missing", "an archive is needed", "body", "file")
	}
	t := transfer.Task{
		Operation: bus.CallFrom(ctx).CommandID, UserID: caller.UserID, Principal: caller.Principal, Superuser: caller.Superuser, Key: caller.Key,
		Archive: transfer.Object{Bucket: r.Upload.Bucket, Name: r.Upload.Name, SHA256: r.Upload.SHA256, Size: r.Upload.Size},
		Shares:  r.Body.Shares != nil && *r.Body.Shares,
	}
	if r.Body.Name != nil {
		d, err := project.Draft{Name: *r.Body.Name}.Check()
		if err != nil {
			return imported{}, err
		}
		t.Name = d.Name
		if err := h.Imports.Free(ctx, caller.UserID, t.Name); err != nil {
			return imported{}, err
		}
	}
	// With these the entry of how the import ends is found.
	bus.Noted(ctx, "operation_id", bus.CallFrom(ctx).OperationID())
	bus.Noted(ctx, "archive_sha256", t.Archive.SHA256)
	if t.Name != "" {
		bus.Noted(ctx, "name", t.Name)
	}
	if _, err := h.Imports.Enqueue(ctx, caller, t); err != nil {
		return imported{}, err
	}
	return imported{pending: true, ImportedProject: ImportedProject{Name: t.Name}}, nil
}

// exportProject says what the project is of which the edge is going to hand out
// everything; that it was asked is in the audit log before a byte of it leaves.
func (h *Handlers) exportProject(ctx context.Context, r projectRequest) (ProjectResponse, error) {
	caller, id := tenant.From(ctx), tenant.Project(r.ProjectID)
	if err := project.Permit(caller, id, tenant.Owner); err != nil {
		return ProjectResponse{}, err
	}
	p, err := h.Projects.Get(ctx, caller, id)
	if err != nil {
		return ProjectResponse{}, err
	}
	return projectResponse(p), nil
}
