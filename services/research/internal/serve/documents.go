package serve

import (
	"context"
	"errors"
	"io"
	"mime"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/tenant"

	"github.com/commandcenter/commandcenter/services/research/internal/task"
)

type attachDocument struct {
	oneTask
	Upload *bus.ObjectRef `json:"upload"`
}

// attach looks at the bytes, which are in the object store, and refers to them.
func (h *Handlers) attach(ctx context.Context, r attachDocument) (taskAnswer, error) {
	who, err := member(ctx)
	if err != nil {
		return taskAnswer{}, err
	}
	if r.Upload == nil {
		return taskAnswer{}, errs.InvalidField("missing", "a file is needed", "body", "file")
	}
	d, err := task.Named(r.Upload.Filename)
	if err != nil {
		return taskAnswer{}, err
	}
	if r.Upload.Size > task.MaxDocument {
		return taskAnswer{}, task.ErrTooLarge
	}
	if _, err := h.Tasks.Get(ctx, who.Project, r.ID); err != nil { // before the bytes are read
		return taskAnswer{}, err
	}
	content, err := h.Open(ctx, *r.Upload)
	if err != nil {
		return taskAnswer{}, err
	}
	if err := errors.Join(d.Looks(content), content.Close()); err != nil {
		return taskAnswer{}, err
	}
	d.SHA256, d.Size, d.UploadedBy, d.UploadedAt = r.Upload.SHA256, r.Upload.Size, who.Principal, h.Now()
	d.File = task.File{SHA256: d.SHA256, Size: d.Size, Bucket: r.Upload.Bucket, Name: r.Upload.Name}
	t, err := h.Tasks.Attach(ctx, who.Project, r.ID, d)
	return taskAnswer{t}, err
}

// documents are those of a task.
type documents struct {
	Documents []task.Document `json:"documents"`
}

func (h *Handlers) taskDocuments(ctx context.Context, r oneTask) (documents, error) {
	t, err := h.Tasks.Get(ctx, tenant.From(ctx).Project, r.ID)
	return documents{t.Documents}, err
}

type oneDocument struct {
	oneTask
	Document int64 `json:"attachment_id"`
}

// attachment is a document that is answered as the file that it is. A browser keeps it,
// and takes it for nothing else.
type attachment struct {
	task.Document
	content []byte
}

// Text is the file as it is.
func (a attachment) Text() (kind, text string) { return a.ContentType, string(a.content) }

// Headers name it.
func (a attachment) Headers() map[string]string {
	return map[string]string{
		"Content-Disposition": mime.FormatMediaType("attachment", map[string]string{"filename": a.Filename}),
	}
}

func (h *Handlers) download(ctx context.Context, r oneDocument) (attachment, error) {
	d, err := h.Tasks.Document(ctx, tenant.From(ctx).Project, r.ID, r.Document)
	if err != nil {
		return attachment{}, err
	}
	content, err := h.Open(ctx, bus.ObjectRef{Bucket: d.File.Bucket, Name: d.File.Name, SHA256: d.SHA256, Size: d.Size})
	if err != nil {
		return attachment{}, err
	}
	b, err := io.ReadAll(io.LimitReader(content, task.MaxDocument+1))
	return attachment{d, b}, errors.Join(err, content.Close())
}

func (h *Handlers) removeDocument(ctx context.Context, r oneDocument) (struct{}, error) {
	who, err := member(ctx)
	if err != nil {
		return struct{}{}, err
	}
	return struct{}{}, h.Tasks.RemoveDocument(ctx, who.Project, r.ID, r.Document, who.Principal, who.Superuser || who.Role.Allows(tenant.Admin))
}
