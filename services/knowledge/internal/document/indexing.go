package document

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/tenant"
)

// Embedder makes vectors. Vectors of different names do not mix.
type Embedder interface {
	Name() string
	Dim() int
	EmbedBatch(ctx context.Context, texts []string, progress func(done int)) ([][]float32, error)
}

// Modelling gives models.
type Modelling interface {
	// Settled waits until the model whose vectors have a name ("": that of the
	// instance) is loaded, or until it is known that it cannot be had for now; then
	// it is nil. The error is that of ctx.
	Settled(ctx context.Context, name string) (Embedder, error)
}

// Task is the payload of an indexing job.
type Task struct {
	Document int64 `json:"document_id"`
	Version  int   `json:"version"`
	// Operation is the call to be answered when the text is extracted; zero
	// when it was extracted within the call.
	Operation uuid.UUID `json:"operation,omitzero"`
	// Follows says that another job extracts the text, and that this one only
	// answers its own call.
	Follows bool `json:"follows,omitempty"`
}

// Answering answers the call that brought a document, when its text could not
// be extracted while the caller waited: with the document, or with what became
// of it instead. Answers after the first one change nothing.
type Answering interface {
	Answer(ctx context.Context, p tenant.Project, operation uuid.UUID, d Document, failure error) error
}

// Saving keeps what indexing yields. Every method is a transaction, and leaves
// a document alone whose version has moved on: it then returns ErrMoved.
type Saving interface {
	// Open returns the document and its bytes, which are needed when it is not
	// extracted. ErrMoved when it is gone or has another version.
	Open(ctx context.Context, p tenant.Project, t Task) (Document, Blob, error)
	// Look is Open without the bytes.
	Look(ctx context.Context, p tenant.Project, t Task) (Document, error)
	// Extracted saves the chunks of a document that was accepted without.
	Extracted(ctx context.Context, d Document, chunks []Chunk) (Document, error)
	// Models are the vectors that are searched ("": none yet), and those that all
	// chunks of the project are to have ("": those of the instance's model).
	Models(ctx context.Context, p tenant.Project) (searched, wanted string, err error)
	// Unembedded returns up to limit chunks behind the place after that have no
	// vector of the model, in order.
	Unembedded(ctx context.Context, d Document, model string, after, limit int) ([]Chunk, error)
	// Embedded saves vectors of chunks.
	Embedded(ctx context.Context, d Document, model string, chunks []Chunk, vectors [][]float32) error
	// Indexed ends the indexing with a model, "" when there was none.
	Indexed(ctx context.Context, d Document, model string) error
	// Failed ends it with a stable word and a reason for people.
	Failed(ctx context.Context, d Document, reason, detail string) error
	// GaveUp ends it after faults of ours: what is extracted stays searchable
	// by words, and is not tried again with the same model by itself.
	GaveUp(ctx context.Context, p tenant.Project, t Task, detail string) error
}

// ErrMoved says that a document is gone or has another version by now.
var ErrMoved = errors.New("the document has moved on")

// ErrBusy says that a document's text is to be extracted and others are at it,
// or at others, so that its job should not keep a worker.
var ErrBusy = errors.New("others are at work")

// ErrAway says that the model cannot be asked now, so that the job should come
// again later.
var ErrAway = errors.New("the embedding model is away")

// aMoment is how long a job waits for a desk.
const aMoment = 100 * time.Millisecond

// What becomes of a document whose text was not extracted within the call.
var (
	errReplaced = errs.New(errs.Conflict, "the document was replaced or deleted before its text was extracted")
	errGaveUp   = errs.New(errs.Internal, "indexing failed repeatedly by an internal error")
)

// The reasons for which a document fails, stable words.
const (
	tooSlow    = "too_slow"
	tooLarge   = "too_large"
	unreadable = "unreadable"
	internal   = "internal"
)

// failure is why a failed document is none, as its upload would have said it.
func failure(d Document) error {
	switch d.Reason {
	case tooLarge:
		return errs.New(errs.TooLarge, d.Error)
	case internal:
		return errGaveUp
	}
	return errs.InvalidField("value_error", d.Error, "body", "file")
}

// Batch is how many chunks are embedded between two saves.
const Batch = 32

// Indexer does the work that follows the acceptance of a document.
type Indexer struct {
	intake  *Intake
	model   Modelling
	store   Saving
	answers Answering
}

// NewIndexer returns an indexer that reads as intake does.
func NewIndexer(in *Intake, m Modelling, s Saving, a Answering) *Indexer {
	return &Indexer{intake: in, model: m, store: s, answers: a}
}

// Index extracts the document if that is still to do, and gives its chunks
// their vectors. Each batch is saved, so a second run goes on where the first
// stopped; running it again on a finished document changes nothing. progress
// is told how many chunks have vectors.
func (x *Indexer) Index(ctx context.Context, p tenant.Project, t Task, progress func(ctx context.Context, done, total int) error) error {
	var err error
	if t.Follows {
		err = x.follow(ctx, p, t)
	} else {
		err = x.index(ctx, p, t, progress)
	}
	if errors.Is(err, ErrMoved) { // a newer job has it, or nobody needs it
		return x.answer(ctx, p, t, Document{}, errReplaced)
	}
	return err
}

// answer answers the task's operation, if there is one.
func (x *Indexer) answer(ctx context.Context, p tenant.Project, t Task, d Document, failure error) error {
	if t.Operation == uuid.Nil {
		return nil
	}
	return x.answers.Answer(ctx, p, t.Operation, d, failure)
}

// GiveUp ends the indexing of a document after the last try of its job failed.
func (x *Indexer) GiveUp(ctx context.Context, p tenant.Project, t Task) error {
	if t.Follows {
		return x.answer(ctx, p, t, Document{}, errGaveUp)
	}
	err := x.store.GaveUp(ctx, p, t, errGaveUp.Msg)
	if errors.Is(err, ErrMoved) {
		return x.answer(ctx, p, t, Document{}, errReplaced)
	}
	return errors.Join(err, x.answer(ctx, p, t, Document{}, errGaveUp))
}

// follow answers when another job has extracted the text.
func (x *Indexer) follow(ctx context.Context, p tenant.Project, t Task) error {
	d, err := x.store.Look(ctx, p, t)
	switch {
	case err != nil:
		return err
	case !d.Extracted:
		return ErrBusy
	case d.State == Failed:
		return x.answer(ctx, p, t, d, failure(d))
	}
	return x.answer(ctx, p, t, d, nil)
}

func (x *Indexer) index(ctx context.Context, p tenant.Project, t Task, progress func(ctx context.Context, done, total int) error) error {
	d, blob, err := x.store.Open(ctx, p, t)
	if err != nil {
		return err
	}
	if !d.Extracted {
		if d, err = x.extract(ctx, d, blob); err != nil {
			return err
		}
	}
	if d.State == Failed {
		return x.answer(ctx, p, t, d, failure(d))
	}
	if err := x.answer(ctx, p, t, d, nil); err != nil {
		return err
	}
	searched, wanted, err := x.store.Models(ctx, p)
	if err != nil {
		return err
	}
	names := []string{wanted}
	// While a project changes its model, what is new is found by the old one first.
	if searched != "" && searched != wanted && (d.State != Indexed || d.Model == "") {
		names = []string{searched, wanted}
	}
	embedded := false
	for i, name := range names {
		model, err := x.model.Settled(ctx, name)
		if err != nil {
			return err
		}
		if model == nil {
			continue
		}
		done := 0
		if i == 0 {
			done = d.Embedded // an earlier run may have come some way
		}
		if err := x.embed(ctx, d, model, done, progress); err != nil {
			return err
		}
		embedded = true
	}
	if !embedded {
		return x.store.Indexed(ctx, d, "")
	}
	return nil
}

// embed gives the chunks of a document their vectors of a model.
func (x *Indexer) embed(ctx context.Context, d Document, model Embedder, done int, progress func(ctx context.Context, done, total int) error) error {
	for after := -1; ; {
		todo, err := x.store.Unembedded(ctx, d, model.Name(), after, Batch)
		if err != nil {
			return err
		}
		if len(todo) == 0 {
			return x.store.Indexed(ctx, d, model.Name())
		}
		texts := make([]string, len(todo))
		for i, c := range todo {
			texts[i] = c.Embedded(d.Title)
		}
		vectors, err := model.EmbedBatch(ctx, texts, nil)
		if errs.KindOf(err) == errs.Unavailable {
			return fmt.Errorf("%w: %w", ErrAway, err)
		}
		if err != nil {
			return fmt.Errorf("embed %d chunks: %w", len(texts), err)
		}
		if len(vectors) != len(texts) {
			return fmt.Errorf("embed %d chunks: %d vectors came back", len(texts), len(vectors))
		}
		if err := x.store.Embedded(ctx, d, model.Name(), todo, vectors); err != nil {
			return err
		}
		done, after = min(done+len(todo), d.Chunks), todo[len(todo)-1].Ordinal
		if err := progress(ctx, done, d.Chunks); err != nil {
			return err
		}
	}
}

// extract does in the job what was too much for the caller to wait for. What
// cannot be read fails the document, not the job. It leaves its lane when all is
// saved: until then its worker can do nothing else.
func (x *Indexer) extract(ctx context.Context, d Document, b Blob) (Document, error) {
	leave, free := x.intake.lane(int(b.Size))
	if !free {
		return d, ErrBusy
	}
	defer leave()
	data, err := x.intake.read(ctx, b)
	if err != nil {
		return d, err
	}
	title, chunks, err := x.read(ctx, d, data)
	switch {
	case err == nil:
		d.Title = title
		return x.store.Extracted(ctx, d, chunks)
	case errors.Is(err, ErrBusy), ctx.Err() != nil:
		return d, err
	case errors.Is(err, context.DeadlineExceeded):
		d.Reason, d.Error = tooSlow, fmt.Sprintf("reading the document took longer than %v", x.intake.c.Extract)
	case errs.KindOf(err) == errs.TooLarge:
		d.Reason, d.Error = tooLarge, errs.As(err).Msg
	case errs.KindOf(err).Refusal():
		d.Reason, d.Error = unreadable, errs.As(err).Msg
	default:
		return d, err
	}
	d.State = Failed
	return d, x.store.Failed(ctx, d, d.Reason, d.Error)
}

// read extracts and cuts, within the time for it.
func (x *Indexer) read(ctx context.Context, d Document, data []byte) (title string, chunks []Chunk, err error) {
	moment, cancel := context.WithTimeout(ctx, aMoment)
	defer cancel()
	if err := x.intake.sit(moment); err != nil {
		if ctx.Err() != nil {
			return "", nil, ctx.Err()
		}
		return "", nil, ErrBusy
	}
	limited, done := context.WithTimeout(ctx, x.intake.c.Extract)
	defer done()
	return x.intake.chunks(limited, d, data)
}
