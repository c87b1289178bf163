package knowledge

import (
	"context"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"time"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/embed"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/embed/fetch"
)

// EmbeddingModel is a model of the tables, and whether this machine has it.
type EmbeddingModel struct {
	Name       string      `json:"name"`
	Kind       string      `json:"kind"` // [Embeds] or [Ranks]
	About      string      `json:"about"`
	Dimensions int         `json:"dimensions,omitempty"` // of an embedding model
	Window     int         `json:"window"`               // tokens that it sees at once
	Bytes      int64       `json:"bytes"`
	Repository string      `json:"repository"`
	Revision   string      `json:"revision"`
	Directory  string      `json:"directory"` // where it is kept here
	Chosen     bool        `json:"chosen"`    // by the settings
	State      string      `json:"state"`     // see [ModelHere]
	Problem    string      `json:"problem,omitempty"`
	Files      []ModelFile `json:"files"`
}

// ModelFile is a file of a model, and by what it is known: the pin of this program,
// or what was noted when it was fetched first.
type ModelFile struct {
	Name    string     `json:"name"`
	Bytes   int64      `json:"bytes,omitempty"`
	SHA256  string     `json:"sha256,omitempty"`
	Pinned  bool       `json:"pinned"`
	Fetched *time.Time `json:"first_fetched_at,omitempty"`
}

// The kinds of models: those that make vectors of texts, and those that rank what
// was found anew.
const (
	Embeds = "embedding"
	Ranks  = "re-ranker"
)

// The states of a model on this machine.
const (
	ModelHere    = "here"
	ModelMissing = "missing"
	ModelDamaged = "damaged"
)

// ErrNoModel says that the table has no model of a name.
var ErrNoModel = errs.New(errs.NotFound, "no such model: commandcenter models list tells which there are")

// EmbeddingModels is the table. The files of those that are here are checked, which
// takes a second for a large one.
func EmbeddingModels(c Config) ([]EmbeddingModel, error) {
	var all []EmbeddingModel
	for _, m := range slices.Concat(embed.Models, embed.Rankers) {
		x, err := describe(m, c)
		if err != nil {
			return nil, err
		}
		all = append(all, x)
	}
	return all, nil
}

// named finds a model of either table.
func named(name string) (embed.Model, bool) {
	if m, ok := embed.Named(name); ok {
		return m, true
	}
	return embed.RankerNamed(name)
}

func describe(m embed.Model, c Config) (EmbeddingModel, error) {
	chosen, _ := c.embedding()
	x := EmbeddingModel{
		Name: m.Name, Kind: Embeds, About: m.About, Dimensions: m.Dim, Window: m.Profile.Window, Bytes: m.Source.Size(), Repository: m.Source.Repository,
		Revision: m.Source.Revision, State: ModelHere, Chosen: !c.wordsOnly() && c.ModelDir == "" && chosen.Name == m.Name,
	}
	if m.Source.Ranks {
		chosen, _ := embed.RankerNamed(c.Rerank.Model)
		x.Kind, x.Chosen = Ranks, c.Rerank.ModelDir == "" && chosen.Name == m.Name
	}
	o := embed.Options{Model: m}
	var err error
	if x.Directory, err = embed.Dir(o); err != nil {
		return x, err
	}
	if _, err := embed.Locate(o); err != nil {
		x.State, x.Problem = ModelMissing, err.Error()
		if errors.Is(err, embed.ErrDamaged) {
			x.State = ModelDamaged
		}
	}
	notes, err := fetch.Notes(x.Directory)
	if err != nil {
		x.State, x.Problem = ModelDamaged, err.Error()
	}
	for _, f := range m.Source.Files {
		y := ModelFile{Name: f.Name, Bytes: f.Size, SHA256: f.SHA256, Pinned: f.Pinned()}
		if n, ok := notes[f.Name]; ok && !y.Pinned {
			y.Bytes, y.SHA256, y.Fetched = n.Size, n.SHA256, &n.Fetched
		}
		x.Files = append(x.Files, y)
	}
	return x, nil
}

// PullModel brings a model to this machine, unless it is there. progress hears of
// bytes and may be nil.
func PullModel(ctx context.Context, c Config, name string, progress func(done, total int64)) (EmbeddingModel, error) {
	m, ok := named(name)
	if !ok {
		return EmbeddingModel{}, ErrNoModel
	}
	if _, err := embed.Fetch(ctx, embed.Options{Model: m, Progress: progress}); err != nil {
		if errors.Is(err, embed.ErrMissing) && ctx.Err() == nil {
			err = errs.Newf(errs.Unavailable, "%v", err)
		}
		return EmbeddingModel{}, err
	}
	return describe(m, c)
}

// VerifyModel checks the files of a model that is here, loads it, and has it
// do its work once. What is wrong is in the State and the Problem of what it returns.
func VerifyModel(ctx context.Context, c Config, name string) (EmbeddingModel, error) {
	m, ok := named(name)
	if !ok {
		return EmbeddingModel{}, ErrNoModel
	}
	x, err := describe(m, c)
	if err != nil || x.State != ModelHere {
		return x, err
	}
	if err := try(ctx, m, x.Directory); err != nil {
		if ctx.Err() != nil {
			return x, context.Cause(ctx)
		}
		x.State, x.Problem = ModelDamaged, err.Error()
	}
	return x, nil
}

// try embeds one text, or ranks one.
func try(ctx context.Context, m embed.Model, dir string) (err error) {
	if m.Source.Ranks {
		r, err := embed.LoadRanker(dir, embed.Options{Model: m})
		if err != nil {
			return err
		}
		_, err = r.Score(ctx, m.Name, []string{m.About})
		return errors.Join(err, r.Close())
	}
	e, err := embed.Load(dir, embed.Options{Model: m})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	v, err := e.EmbedQuery(ctx, filepath.Base(dir))
	if err != nil {
		return err
	}
	var square float64
	for _, x := range v {
		square += float64(x) * float64(x)
	}
	if len(v) != m.Dim || math.Abs(square-1) > 1e-3 {
		return fmt.Errorf("it gives vectors of %d numbers and length² %v", len(v), square)
	}
	return nil
}
