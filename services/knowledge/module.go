package knowledge

import (
	"context"
	goembed "embed"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/commandcenter/commandcenter/pkg/app"
	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/jobs"
	"github.com/commandcenter/commandcenter/pkg/outbox"
	"github.com/commandcenter/commandcenter/pkg/pg"
	"github.com/commandcenter/commandcenter/pkg/portable"
	"github.com/commandcenter/commandcenter/pkg/purge"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	knowledgev1 "github.com/commandcenter/commandcenter/proto-events/knowledge/v1"

	"github.com/commandcenter/commandcenter/services/knowledge/internal/answer"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/chunk"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/document"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/embed"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/encoder"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/evaluation"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/extract"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/inbox"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/index"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/index/fusion"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/postgres"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/reranker"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/search"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/serve"
)

// Name is the name of the service, of its schema and of its bus user.
const Name = "knowledge"

//go:embed pgvector.sql
var withPGVector string

//go:embed migrations/*.sql
var files goembed.FS

// Migrations makes the schema of the service.
var Migrations = pg.Schema{Name: Name, FS: files, Dir: "migrations", Always: withPGVector}

// Portable is what becomes of the service's tables when a project is exported.
var Portable = portable.Plan{
	Schema: Migrations, Restored: []string{"documents", "search_settings", "judged_sets", "judged_questions"},
	Evidence: map[string]string{"evaluations": "figures of searches of this instance, by its model and index"},
	LeftOut: map[string]string{
		"blobs":              "where the bytes of documents are here; the bytes go along as objects",
		"chunks":             "made anew of the documents",
		"evaluation_answers": "rankings of this instance's searches; the reports go along",
		"embeddings":         "made anew of the documents",
		"generations":        "counts changes of this instance's index",
		"models":             "which embedding model the project has chosen here, where it is made anew by that of the other instance",
		"removals":           "documents that are gone",
		"vectors":            "copies of embeddings, for pgvector",
		"trash":              "objects that are going to be removed here",
	},
	Columns: map[string][]string{"documents": {
		"id", "collection", "source", "title", "titled", "category", "repository_id", "technology_id", "kind", "language", "content_type", "size", "sha256", "version",
		"state", "extracted", "reason", "error", "chunks", "model", "wanted", "job_id", "generation", "created_by", "principal", "created_at", "updated_at", "text_language",
	}, "search_settings": {"mode", "alpha", "fusion", "languages", "updated_at"},
		"judged_sets":      {"id", "name", "questions", "judgements", "principal", "created_at", "updated_at"},
		"judged_questions": {"set_name", "question", "ordinal", "body", "relevant"},
		"evaluations": {
			"id", "set_name", "label", "collection", "settings", "tune", "state", "error", "asked", "total", "model", "generation", "curve", "report", "job_id", "principal",
			"created_at", "finished_at",
		},
	},
	Values: map[string]func(row []byte) error{
		"documents": serve.CheckDocument, "search_settings": serve.CheckSettings, "judged_sets": serve.CheckJudgedSet, "judged_questions": serve.CheckJudged,
	},
}

// Deps is what the service is built from. DB and Bus are needed.
type Deps struct {
	DB         *pg.DB
	Bus        *bus.Bus
	Log        *slog.Logger          // slog.Default() when nil
	Registerer prometheus.Registerer // nil keeps no metrics
	// Load loads the embedding model of the instance; nil takes the one that Config
	// names. Models are others that projects may choose, in place of the table's.
	Load   func(ctx context.Context) (encoder.Model, error)
	Models []encoder.Known
	// Rankers are the re-rankers, in place of those that Config names.
	Rankers []reranker.Known
	// Dir is where images of indexes are kept; "" keeps none.
	Dir string
	// Version of the build, as $SRV.PING shows it.
	Version string
}

// New wires the service. Nothing runs before its parts are started.
func New(d Deps, c Config) (*app.Module, error) {
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("knowledge: %w", err)
	}
	if d.DB == nil || d.Bus == nil {
		return nil, errors.New("knowledge: a database and a bus are needed")
	}
	if d.Log == nil {
		d.Log = slog.Default()
	}
	log := d.Log.With("service", Name)
	gate := embed.NewGate(c.ModelWorkers)
	all := known(c, gate, log)
	if d.Load != nil {
		all = append([]encoder.Known{{Name: "default", Load: d.Load}}, d.Models...)
	}

	keeper := &housekeeper{
		every: c.Housekeeping, remember: c.Removals, orphans: c.Orphans, bus: d.Bus, log: log, now: time.Now, ring: make(chan struct{}, 1),
	}
	models := encoder.NewModels(all, keeper.modelReady, log, encoder.Config{Advice: advice(c)})
	store := postgres.New(d.DB, models.Vectors)
	library := index.NewLibrary(store, index.Config{}, c.IndexMemoryMB<<20)
	library.Renewed = func(p tenant.Project, took time.Duration, err error) {
		if err != nil {
			log.Warn("index.renewed", "project", p.Token(), "err", err)
			return
		}
		log.Info("index.renewed", "project", p.Token(), "ms", took.Milliseconds())
	}
	keeper.store, keeper.library, keeper.models = store, library, models

	intake := document.NewIntake(objects{d.Bus}, models, store, document.Config{
		Wait: c.Wait, Extract: c.Extract, Read: reader(c, log), Cut: chunk.Config{Target: c.ChunkTokens, Chunks: c.MaxChunks},
	}, c.Extractors)
	counts, err := newMetrics(d.Registerer, library, func() string { n, _ := models.Loaded(""); return n })
	if err != nil {
		return nil, fmt.Errorf("knowledge: %w", err)
	}
	again := d.Rankers
	if again == nil {
		again = rankers(c, gate, log)
	}
	ranking := reranker.New(again, log, reranker.Config{Deadline: c.Rerank.Deadline, AtOnce: c.Rerank.AtOnce, Observe: counts.ranked})
	parts := []app.Part{models, ranking}
	if d.Dir != "" && c.IndexDiskMB > 0 {
		parts = append(parts, index.NewSaver(library, index.NewFiles(d.Dir, int64(c.IndexDiskMB)<<20), log, c.IndexQuiet, leastImage))
	}
	engine := search.NewEngine(library, store, models, ranking, search.Config{
		Alpha: c.Alpha, Method: fusion.Method(c.Fusion), Rerank: c.Rerank.On, Candidates: c.Rerank.Candidates, Cache: int64(c.SearchCacheMB) << 20, Log: log,
	})

	model, err := c.Answer.model()
	if err != nil {
		return nil, fmt.Errorf("knowledge: answer.%w", err)
	}
	searcher := timed{engine, counts}
	checks := []app.Check{{Name: "knowledge.database", Check: d.DB.Ping}, {Name: "knowledge.model", Check: models.Check}}
	server := bus.NewServer(d.Bus, bus.ServerConfig{Service: Name, Version: d.Version, DB: d.DB, Checks: checks})
	(&serve.Handlers{
		Intake: counted{intake, counts}, Library: store, Census: store, Search: searcher, Answers: answer.New(searcher, model, c.Answer.config(counts)), Models: models, Choice: store, Setting: store, Backend: store, Judging: store, Trials: store, State: store,
	}).Register(server)
	if err := portable.Serve(server, portable.Exporter{DB: d.DB, Plan: Portable, Refers: postgres.Refers}, serve.Import(intake, store, store, store)); err != nil {
		return nil, err
	}
	// Twice the workers of one process: the next job is there when one ends, and a
	// project alone has two processes.
	work := jobs.New(d.DB, d.Bus, jobs.Config{Workers: c.Jobs, Window: 2 * c.Jobs, Log: log, Registerer: d.Registerer})
	keeper.indexer = document.NewIndexer(intake, models, store, serve.Answers{Server: server})
	work.Serve(server)
	work.Handle(postgres.ModelJob, func(context.Context, *jobs.Run) error {
		keeper.wake()
		return nil
	})
	work.Handle(postgres.SettingsJob, func(ctx context.Context, r *jobs.Run) error {
		g, err := store.Generation(ctx, r.Job.Project)
		if err != nil {
			return err
		}
		return library.Refresh(ctx, r.Job.Project, g)
	})
	work.Handle(postgres.BackendJob, moving(store, log))
	work.Handle(postgres.EvaluationJob, evaluating(evaluation.NewRunner(engine, postgres.Kept{Store: store})))
	work.Handle(postgres.IndexJob, indexing(keeper.indexer, keeper.embedded))

	heard := bus.NewInbox(d.Bus, bus.InboxConfig{Service: Name, DB: d.DB})
	(&inbox.Handlers{
		Purge:  store.Purge,
		Drop:   dropping(library),
		Accept: intake.Accept, DeleteOf: store.DeleteOf, DeleteAt: store.DeleteAt,
	}).Register(heard)
	// A search brings its index up to date by itself; following the facts
	// only does it earlier, and in every replica.
	follow := func(ctx context.Context, p tenant.Project, generation int32) {
		ctx, cancel := context.WithTimeout(ctx, index.Deadline)
		defer cancel()
		if err := library.Refresh(ctx, p, int64(generation)); err != nil && ctx.Err() == nil {
			log.WarnContext(ctx, "index.refresh", "project", p.Token(), "err", err)
		}
	}
	return &app.Module{
		Name: Name,
		Parts: append(parts, keeper, work, server, heard,
			bus.Follow(d.Bus, func(ctx context.Context, m bus.Meta, e *knowledgev1.DocumentIndexed) {
				follow(ctx, m.Project, e.GetGeneration())
			}),
			bus.Follow(d.Bus, func(ctx context.Context, m bus.Meta, e *knowledgev1.DocumentDeleted) {
				follow(ctx, m.Project, e.GetGeneration())
			}),
			outbox.NewRelay(d.DB, d.Bus, log, outbox.Metrics(d.Registerer)),
		),
		Checks:     checks,
		Operations: serve.Operations(),
	}, nil
}

// reader reads documents with what this machine has.
func reader(c Config, log *slog.Logger) *extract.Reader {
	x := extract.Config{OCRLanguages: c.OCRLanguages}
	if base, err := os.UserCacheDir(); err == nil {
		x.Cache = filepath.Join(base, "commandcenter", "pdfium")
	}
	if c.OCR != "" {
		path, err := exec.LookPath(c.OCR)
		if err != nil && c.OCR != DefaultConfig().OCR {
			log.Warn("extract.ocr", "program", c.OCR, "err", err, "advice", "pages that are pictures are refused; install it, or set ocr of knowledge")
		}
		x.OCR = path
	}
	return extract.NewReader(x)
}

// leastImage is how many passages an index has that is kept as an image: fewer
// are indexed in a tenth of a second.
const leastImage = 1000

// dropping forgets what this process has in memory and on disk of a project,
// and counts the images.
func dropping(l *index.Library) func(p tenant.Project) (purge.Part, error) {
	return func(p tenant.Project) (purge.Part, error) {
		removed, left, err := l.Drop(p)
		return purge.Part{Name: "index images", Removed: int64(removed), Left: int64(left)}, err
	}
}

// moving is the handler of the jobs that have a project's vectors be searched
// elsewhere. Searches go on as before until all is there.
func moving(store *postgres.Store, log *slog.Logger) func(ctx context.Context, r *jobs.Run) error {
	const step = 200
	return func(ctx context.Context, r *jobs.Run) error {
		p, done := r.Job.Project, 0
		for after, n := int64(0), step; n > 0; {
			var err error
			if after, n, err = store.Mirror(ctx, p, after, step); err != nil {
				if errors.Is(err, document.ErrMoved) { // it was deleted between two looks
					return jobs.Wait(time.Second)
				}
				return err
			}
			if done += n; after == 0 {
				break
			}
			r.Progress(ctx, done, 0, "copying vectors")
			if err := r.Yield(ctx); err != nil {
				return err
			}
		}
		moved, err := store.Serve(ctx, p)
		if err != nil {
			return err
		}
		_, wanted, now, err := store.Backends(ctx, p)
		if err != nil {
			return err
		}
		if wanted != now { // more has come meanwhile
			return jobs.Wait(time.Second)
		}
		if moved {
			log.InfoContext(ctx, "knowledge.backend", "project", p.Token(), "outcome", "searched by", "backend", now, "copied", done)
		}
		for {
			if n, err := store.Unmirror(ctx, p, 10*step); err != nil || n < 10*step {
				return err
			}
		}
	}
}

// indexing is the handler of the jobs that index a document. After the last
// try that a fault has ended, the document is left as far as it came.
// after is called when it has come through.
func indexing(x *document.Indexer, after func(ctx context.Context, p tenant.Project) error) func(ctx context.Context, r *jobs.Run) error {
	return func(ctx context.Context, r *jobs.Run) error {
		var t document.Task
		if err := r.Decode(&t); err != nil {
			return err
		}
		err := x.Index(ctx, r.Job.Project, t, func(ctx context.Context, done, total int) error {
			r.Progress(ctx, done, total, "embedding")
			return r.Yield(ctx)
		})
		if err == nil {
			return after(ctx, r.Job.Project)
		}
		if errors.Is(err, document.ErrBusy) {
			return jobs.Wait(time.Second)
		}
		if errors.Is(err, document.ErrAway) { // which is no fault of the document
			return jobs.Wait(30 * time.Second)
		}
		if jobs.Waits(err) {
			return err
		}
		if ctx.Err() == nil && r.Job.Attempts >= r.Job.MaxAttempts {
			return errors.Join(err, x.GiveUp(ctx, r.Job.Project, t))
		}
		return err
	}
}

// objects reads and removes uploads.
type objects struct{ b *bus.Bus }

// Open opens an upload.
func (o objects) Open(ctx context.Context, b document.Blob) (io.ReadCloser, error) {
	return o.b.GetObject(ctx, bus.ObjectRef{Bucket: b.Bucket, Name: b.Name, SHA256: b.SHA256, Size: b.Size})
}
