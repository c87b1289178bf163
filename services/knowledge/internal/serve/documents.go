package serve

import (
	"context"
	"net/http"
	"strconv"

	"github.com/google/uuid"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/document"
)

type addDocument struct {
	RepositoryID *int64 `json:"repository_id"`
	Body         struct {
		Category     string  `json:"category"`
		TechnologyID *int64  `json:"technology_id"`
		RepositoryID *int64  `json:"repository_id"`
		Collection   *string `json:"collection"`
		Title        *string `json:"title"`
		TextLanguage *string `json:"text_language"`
	} `json:"body"`
	Upload *bus.ObjectRef `json:"upload"`
}

func (h *Handlers) add(ctx context.Context, r addDocument) (received, error) {
	if r.Upload == nil {
		return received{}, errs.InvalidField("missing", "a file is needed", "body", "file")
	}
	repository := r.Body.RepositoryID
	if r.RepositoryID != nil {
		if repository != nil && *repository != *r.RepositoryID {
			return received{}, errs.InvalidField("value_error", "repository_id differs from the one in the query", "body", "repository_id")
		}
		repository = r.RepositoryID
	}
	s := submission(ctx)
	s.Source, s.ContentType = r.Upload.Filename, r.Upload.ContentType
	s.Title, s.Category, s.Collection = value(r.Body.Title), r.Body.Category, value(r.Body.Collection)
	s.Repository, s.Technology = value(repository), value(r.Body.TechnologyID)
	s.TextLanguage = value(r.Body.TextLanguage)
	s.Blob = document.Blob{SHA256: r.Upload.SHA256, Size: r.Upload.Size, Bucket: r.Upload.Bucket, Name: r.Upload.Name}
	return h.accept(ctx, s)
}

type addText struct {
	Body TextDocument `json:"body"`
}

func (h *Handlers) addText(ctx context.Context, r addText) (received, error) {
	s := submission(ctx)
	s.Source, s.Title, s.Category, s.Collection = value(r.Body.SourceFile), r.Body.Title, r.Body.Category, value(r.Body.Collection)
	if s.Source == "" {
		s.Source = r.Body.Title
	}
	s.ContentType = "text/markdown" // unless the name says otherwise
	s.Repository, s.Technology = value(r.Body.RepositoryId), value(r.Body.TechnologyId)
	s.TextLanguage = value(r.Body.TextLanguage)
	s.Blob = document.Blob{Body: []byte(r.Body.Content), Size: int64(len(r.Body.Content))}
	return h.accept(ctx, s)
}

func submission(ctx context.Context) document.Submission {
	who := tenant.From(ctx)
	return document.Submission{Project: who.Project, CreatedBy: who.UserID, Principal: who.Principal, Operation: bus.CallFrom(ctx).CommandID}
}

func (h *Handlers) accept(ctx context.Context, s document.Submission) (received, error) {
	d, err := h.Intake.Accept(ctx, s)
	if err != nil {
		return received{}, err
	}
	return newReceived(d), nil
}

// received is the answer to an upload. It is provisional while the text is
// still to be extracted: [Answers] gives the final one.
type received struct {
	KnowledgeUpload
	pending bool
}

func newReceived(d document.Document) received {
	state := KnowledgeUploadStateIndexing
	if d.State == document.Indexed {
		state = KnowledgeUploadStateIndexed
	}
	return received{pending: !d.Extracted && d.Operation != uuid.Nil, KnowledgeUpload: KnowledgeUpload{
		Id: d.ID, Filename: d.Source, Category: d.Category, RepositoryId: orNil(d.Repository), Collection: d.Collection, ChunksAdded: d.Chunks,
		FileSize: d.Size, Status: Success, State: state, Version: d.Version, JobId: jobID(d.Job),
	}}
}

// StatusCode is 201, or 202 while the text is still to be extracted.
func (r received) StatusCode() int {
	if r.pending {
		return http.StatusAccepted
	}
	return http.StatusCreated
}

// Headers says where the document is.
func (r received) Headers() map[string]string {
	return map[string]string{"Location": "/api/v1/knowledge/documents/" + strconv.FormatInt(r.Id, 10)}
}

// Answers answers uploads whose text was extracted after their call, see
// document.Answering.
type Answers struct{ Server *bus.Server }

// Answer gives the final answer of an operation.
func (a Answers) Answer(ctx context.Context, p tenant.Project, operation uuid.UUID, d document.Document, failure error) error {
	return a.Server.Finish(ctx, p, operation, newReceived(d), failure)
}

type oneDocument struct {
	DocumentID int64 `json:"document_id"`
}

func (h *Handlers) get(ctx context.Context, r oneDocument) (Document, error) {
	d, err := h.Library.Get(ctx, tenant.From(ctx).Project, r.DocumentID)
	if err != nil {
		return Document{}, err
	}
	return wire(d), nil
}

type listDocuments struct {
	Collection *string `json:"collection"`
	Skip       *int    `json:"skip"`
	Limit      *int    `json:"limit"`
}

func (h *Handlers) list(ctx context.Context, r listDocuments) (DocumentPage, error) {
	skip, limit := value(r.Skip), 50
	if r.Limit != nil {
		limit = *r.Limit
	}
	if skip < 0 {
		return DocumentPage{}, errs.InvalidField("out_of_range", "skip must not be below 0", "query", "skip")
	}
	if limit < 1 || limit > 100 {
		return DocumentPage{}, errs.InvalidField("out_of_range", "limit must be from 1 to 100", "query", "limit")
	}
	p, err := h.Library.List(ctx, tenant.From(ctx).Project, value(r.Collection), skip, limit)
	if err != nil {
		return DocumentPage{}, err
	}
	page := DocumentPage{Items: make([]Document, len(p.Documents)), Total: p.Total, Skip: skip, Limit: limit}
	for i, d := range p.Documents {
		page.Items[i] = wire(d)
	}
	return page, nil
}

type deleteDocument struct {
	oneDocument
	RepositoryID *int64 `json:"repository_id"`
}

// names reports whether d is one of the repository that the call names.
func (r deleteDocument) names(d document.Document) bool {
	return r.RepositoryID == nil || d.Repository == *r.RepositoryID || d.Collection == document.CollectionOf(*r.RepositoryID)
}

func (h *Handlers) remove(ctx context.Context, r deleteDocument) (struct{}, error) {
	who := tenant.From(ctx)
	return struct{}{}, h.Library.Delete(ctx, who.Project, r.DocumentID, func(d document.Document) error {
		if !r.names(d) {
			return document.ErrNotFound
		}
		if !d.MayDelete(who) {
			return document.ErrNotYours
		}
		return nil
	})
}

func wire(d document.Document) Document {
	return Document{
		Id: d.ID, Title: d.Title, Filename: d.Source, Category: d.Category, Collection: d.Collection, RepositoryId: orNil(d.Repository),
		TechnologyId: orNil(d.Technology), ContentType: d.ContentType, FileSize: d.Size, Sha256: d.SHA256, Version: d.Version,
		State: DocumentState(d.State), Error: orNil(d.Error), Chunks: d.Chunks, ChunksEmbedded: d.Embedded, JobId: jobID(d.Job),
		TextLanguage: orNil(d.TextLanguage), CreatedBy: orNil(d.Principal), CreatedAt: d.CreatedAt.UTC(), UpdatedAt: d.UpdatedAt.UTC(),
	}
}

func jobID(id uuid.UUID) *string {
	if id == uuid.Nil {
		return nil
	}
	s := id.String()
	return &s
}

func value[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

func orNil[T comparable](v T) *T {
	var zero T
	if v == zero {
		return nil
	}
	return &v
}
