package document

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/google/uuid"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/chunk"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/extract"
)

// MaxSize is the largest document, in bytes.
const MaxSize = 20 << 20

// ErrTooLarge is the refusal of a larger one.
var ErrTooLarge = errs.Newf(errs.TooLarge, "a document may have %d MiB", MaxSize>>20)

// Objects reads what was uploaded.
type Objects interface {
	Open(ctx context.Context, b Blob) (io.ReadCloser, error)
}

// Counting is the source of a token counter: the model's tokenizer, or the
// estimate while there is none.
type Counting interface {
	Counter() chunk.Counter
}

// Receiving keeps what was accepted.
type Receiving interface {
	// Unchanged returns the document that n would leave as it is, if there is
	// one. It runs outside of any transaction of ctx.
	Unchanged(ctx context.Context, n Document) (Document, bool, error)
	// Receive makes n the document of its source, with the chunks, or with
	// none and Extracted false when they are still to come, and enqueues the job
	// that indexes it; all in one transaction. changed is false when another
	// call has done the same before; when its text is still to be extracted, d
	// has the operation of n, and a job answers it that follows the other.
	Receive(ctx context.Context, n Document, chunks []Chunk, b Blob) (d Document, changed bool, err error)
	// Discard says that an object is not, or no longer, a document's. It holds
	// whatever becomes of ctx's transaction.
	Discard(ctx context.Context, n Submission) error
}

// Config bounds the work on one document. The zero value of a field takes its
// default.
type Config struct {
	Wait    time.Duration // how long a caller waits for the extraction; 3 s
	Extract time.Duration // longest extraction; 60 s
	Inline  int           // most chunks that are saved while the caller waits; 2000
	Large   int           // bytes from which a document is large; 1 MiB
	Cut     chunk.Config
	Read    *extract.Reader // of all formats; one with its defaults
}

func (c Config) withDefaults() Config {
	if c.Wait <= 0 {
		c.Wait = 3 * time.Second
	}
	if c.Extract <= 0 {
		c.Extract = time.Minute
	}
	if c.Inline <= 0 {
		c.Inline = 2000
	}
	if c.Large <= 0 {
		c.Large = 1 << 20
	}
	if c.Read == nil {
		c.Read = extract.NewReader(extract.Config{})
	}
	return c
}

// Intake accepts documents.
type Intake struct {
	objects Objects
	count   Counting
	store   Receiving
	c       Config
	desks   chan struct{} // extractions at the same time; they cannot all be interrupted
	large   chan struct{} // of them those of large documents
}

// NewIntake returns an intake that runs at most desks extractions at a time. If
// there are several, large documents leave one of them to the others.
func NewIntake(o Objects, count Counting, store Receiving, c Config, desks int) *Intake {
	return &Intake{
		objects: o, count: count, store: store, c: c.withDefaults(),
		desks: make(chan struct{}, max(desks, 1)), large: make(chan struct{}, max(desks-1, 1)),
	}
}

// Accept takes a document in. It returns when the document is searchable by
// words or, for one whose extraction takes longer than the configured wait,
// when it is stored: then Extracted is false, and the job does the rest and
// answers the operation. The same holds for what changes nothing while the text
// of what is there already is still being extracted.
//
// Errors: errs.Unsupported, errs.Invalid, errs.TooLarge for what is not
// accepted; the object of a refused document is discarded.
func (in *Intake) Accept(ctx context.Context, s Submission) (Document, error) {
	d, err := in.accept(ctx, s)
	if err != nil && s.Blob.Stored() && errs.KindOf(err).Refusal() {
		// The refusal may be delivered again, hence the object stays a while.
		err = errors.Join(err, in.store.Discard(ctx, s))
	}
	return d, err
}

func (in *Intake) accept(ctx context.Context, s Submission) (Document, error) {
	if err := s.check(); err != nil {
		return Document{}, err
	}
	data, err := in.read(ctx, s.Blob)
	if err != nil {
		return Document{}, err
	}
	s.Blob.SHA256, s.Blob.Size = Digest(data), int64(len(data))
	n, err := plan(s, data)
	if err != nil {
		return Document{}, err
	}
	old, same, err := in.store.Unchanged(ctx, n)
	if err != nil {
		return Document{}, err
	}
	if same && (old.Extracted || n.Operation == uuid.Nil) {
		return old, in.drop(ctx, s)
	}
	var chunks []Chunk
	if !same { // else a job is at it
		if chunks, err = in.prompt(ctx, &n, data); err != nil {
			return Document{}, err
		}
	}
	d, changed, err := in.store.Receive(ctx, n, chunks, s.Blob)
	if err != nil || changed {
		return d, err
	}
	return d, in.drop(ctx, s)
}

// drop discards the object of a submission that changed nothing.
func (in *Intake) drop(ctx context.Context, s Submission) error {
	if !s.Blob.Stored() {
		return nil
	}
	return in.store.Discard(ctx, s)
}

// read takes the bytes into memory; they are bounded.
func (in *Intake) read(ctx context.Context, b Blob) (data []byte, err error) {
	if !b.Stored() {
		if len(b.Body) > MaxSize {
			return nil, ErrTooLarge
		}
		return b.Body, nil
	}
	if b.Size > MaxSize {
		return nil, ErrTooLarge
	}
	r, err := in.objects.Open(ctx, b)
	if err != nil {
		return nil, fmt.Errorf("open the upload: %w", err)
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	data, err = io.ReadAll(io.LimitReader(r, MaxSize+1))
	if err != nil {
		return nil, fmt.Errorf("read the upload: %w", err)
	}
	if len(data) > MaxSize {
		return nil, ErrTooLarge
	}
	return data, nil
}

// plan is the document that the submission would make, before extraction.
func plan(s Submission, data []byte) (Document, error) {
	name := s.Source
	if s.Typed {
		name = ""
	}
	f, err := extract.Detect(name, s.ContentType, data)
	if err != nil {
		return Document{}, err
	}
	title := s.Title
	if title == "" {
		title = s.Source // until the content says better
	}
	return Document{
		Project: s.Project, Collection: s.Collection, Source: s.Source, Title: title, Titled: s.Title != "", Category: s.Category,
		Repository: s.Repository, Technology: s.Technology, Format: f, ContentType: f.ContentType(), Size: s.Blob.Size, SHA256: s.Blob.SHA256,
		State: Indexing, TextLanguage: s.TextLanguage, CreatedBy: s.CreatedBy, Principal: s.Principal, Operation: s.Operation,
	}, nil
}

// prompt extracts and cuts while the caller waits. What takes longer, or gives
// more chunks than a caller should wait for, or is large while others are at
// it, is left to the job: no chunks, no error, Extracted false.
func (in *Intake) prompt(ctx context.Context, n *Document, data []byte) ([]Chunk, error) {
	leave, free := in.lane(len(data))
	if !free {
		return nil, nil
	}
	defer leave()
	ctx, cancel := context.WithTimeout(ctx, in.c.Wait)
	defer cancel()
	if err := in.sit(ctx); err != nil {
		return nil, late(err)
	}
	title, chunks, err := in.chunks(ctx, *n, data)
	switch {
	case err != nil:
		return nil, late(err)
	case len(chunks) > in.c.Inline:
		return nil, nil
	}
	n.Title, n.Extracted, n.Chunks = title, true, len(chunks)
	return chunks, nil
}

// late forgives that the time was over.
func late(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return nil
	}
	return err
}

// lane lets a document of so many bytes in, until leave is called; a large one
// only when not too many others are in.
func (in *Intake) lane(size int) (leave func(), free bool) {
	if size < in.c.Large {
		return func() {}, true
	}
	select {
	case in.large <- struct{}{}:
		return func() { <-in.large }, true
	default:
		return nil, false
	}
}

// sit waits for a desk, which the next call of chunks gives back.
func (in *Intake) sit(ctx context.Context) error {
	select {
	case in.desks <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// chunks extracts and cuts data, at a desk. It returns when ctx ends, although a
// parser may still be at work; its desk stays taken until it is done.
func (in *Intake) chunks(ctx context.Context, d Document, data []byte) (title string, chunks []Chunk, err error) {
	type result struct {
		title  string
		chunks []Chunk
		err    error
	}
	done := make(chan result, 1)
	go func() {
		defer func() { <-in.desks }()
		var r result
		defer func() {
			if p := recover(); p != nil {
				r.err = errs.Wrap(errs.Invalid, fmt.Errorf("panic in extraction: %v", p), "the document cannot be read")
			}
			done <- r
		}()
		r.title, r.chunks, r.err = in.cut(ctx, d, data, in.count.Counter())
	}()
	select {
	case r := <-done:
		return r.title, r.chunks, r.err
	case <-ctx.Done():
		return "", nil, ctx.Err()
	}
}

func (in *Intake) cut(ctx context.Context, d Document, data []byte, count chunk.Counter) (string, []Chunk, error) {
	x, err := in.c.Read.Extract(ctx, d.Format, d.Source, data)
	if err != nil {
		return "", nil, err
	}
	if d.Titled || x.Title == "" {
		x.Title = d.Title
	}
	cs, err := chunk.Cut(ctx, x, count, in.c.Cut)
	if err != nil {
		return "", nil, err
	}
	if len(cs) == 0 {
		return "", nil, errs.InvalidField("value_error", "the document holds no text", "body", "file")
	}
	return x.Title, number(x.Title, cs), nil
}
