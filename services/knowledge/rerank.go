package knowledge

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math"
	"path/filepath"
	"time"

	"github.com/commandcenter/commandcenter/services/knowledge/internal/embed"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/embed/fetch"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/remote"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/reranker"
)

// Rerank is how what a search found is ranked anew.
type Rerank struct {
	On         bool           `config:"on" usage:"re-rank results where neither the query nor its project says"`
	Model      string         `config:"model" usage:"re-ranker, one of commandcenter models list, or endpoint; it is loaded when it is first used; off has none"`
	ModelDir   string         `config:"model_dir" usage:"directory with model.safetensors and tokenizer.json of the re-ranker; empty looks in the user's cache"`
	Candidates int            `config:"candidates" usage:"how many of the best results are ranked anew, unless more are asked for"`
	Deadline   time.Duration  `config:"deadline" usage:"how long a search waits for its results to be ranked anew; then they keep their order"`
	AtOnce     int            `config:"at_once" usage:"searches that are ranked anew at a time; others wait within their deadline"`
	Endpoint   RerankEndpoint `config:"endpoint"`
}

// RerankEndpoint is a service that ranks passages, which the setting rerank.model
// names by [EndpointModel].
type RerankEndpoint struct {
	Kind    string `config:"kind" usage:"how the service is spoken to: cohere, jina or tei; empty is no service"`
	URL     string `config:"url" usage:"its address, before /rerank; empty is the public one of the kind"`
	Model   string `config:"model" usage:"its model, as it names it; tei needs none"`
	Key     string `config:"key" secret:"true" usage:"the key that it is given"`
	KeyFile string `config:"key_file" usage:"a file with the key, in place of key"`
}

func (e RerankEndpoint) service() remote.RankerConfig { return remote.RankerConfig(e) }

// maxCandidates is how many results can be ranked anew.
const maxCandidates = 200

func (c Rerank) off() bool { return c.Model == "off" || c.Model == "false" || c.Model == "0" }

func (c Rerank) validate() error {
	var faults []error
	if c.Endpoint.Kind != "" {
		if err := c.Endpoint.service().Validate(); err != nil {
			faults = append(faults, fmt.Errorf("rerank.endpoint.%w", err))
		}
	}
	if _, known := embed.RankerNamed(c.Model); !known && !c.off() && (c.Model != EndpointModel || c.Endpoint.Kind == "") {
		faults = append(faults, fmt.Errorf("rerank.model: %q is not one of commandcenter models list", c.Model))
	}
	if c.Candidates < 1 || c.Candidates > maxCandidates {
		faults = append(faults, fmt.Errorf("rerank.candidates: from 1 to %d", maxCandidates))
	}
	if c.Deadline < 10*time.Millisecond || c.Deadline > 20*time.Second {
		faults = append(faults, errors.New("rerank.deadline: from 10ms to 20s"))
	}
	if c.AtOnce < 1 || c.AtOnce > 64 {
		faults = append(faults, errors.New("rerank.at_once: from 1 to 64"))
	}
	if c.On && c.off() {
		faults = append(faults, errors.New("rerank.on: there is no rerank.model"))
	}
	return errors.Join(faults...)
}

// rankers are the re-rankers that c names.
func rankers(c Config, gate *embed.Gate, log *slog.Logger) []reranker.Known {
	if c.Rerank.off() {
		return nil
	}
	service := reranker.Known{Name: EndpointModel, Load: func(context.Context) (reranker.Ranker, error) {
		return remote.OpenRanker(c.Rerank.Endpoint.service())
	}}
	if c.Rerank.Model == EndpointModel {
		return []reranker.Known{service}
	}
	m, _ := embed.RankerNamed(c.Rerank.Model)
	o := embed.Options{Model: m, Gate: gate, Log: log}
	all := []reranker.Known{{Name: m.Name, Load: func(ctx context.Context) (reranker.Ranker, error) { return openRanker(ctx, o, c) }}}
	if c.Rerank.Endpoint.Kind != "" {
		all = append(all, service)
	}
	return all
}

func openRanker(ctx context.Context, o embed.Options, c Config) (reranker.Ranker, error) {
	var err error
	dir := c.Rerank.ModelDir
	switch {
	case dir != "":
		// Vectors of another model would not fit; the scores of another one are
		// told apart by its bytes.
		var sum string
		if _, sum, err = fetch.Sum(filepath.Join(dir, fetch.WeightsFile)); err == nil {
			o.Name = fmt.Sprintf("%s@%.12s", filepath.Base(dir), sum)
		}
	case c.FetchModel:
		dir, err = embed.Fetch(ctx, o)
	default:
		dir, err = embed.Locate(o)
	}
	if err != nil {
		return nil, &reranker.Failure{Reason: whyNoRanker(err, c.FetchModel), Err: err}
	}
	r, err := embed.LoadRanker(dir, o)
	if err != nil {
		return nil, fmt.Errorf("load the model in %s: %w", dir, err)
	}
	return crossEncoder{r}, nil
}

// whyNoRanker is the reason, for everybody, that a re-ranker is not found.
func whyNoRanker(err error, fetched bool) string {
	switch {
	case errors.Is(err, fs.ErrPermission):
		return "the files of the re-ranking model cannot be read or written"
	case errors.Is(err, embed.ErrMissing) && fetched:
		return "the re-ranking model cannot be fetched: there is no network, or no source has it"
	case errors.Is(err, embed.ErrDamaged):
		return "the files of the re-ranking model are damaged"
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, embed.ErrMissing):
		return "the re-ranking model has not been fetched yet"
	}
	return reranker.Broken
}

// crossEncoder gives scores from 0 to 1.
type crossEncoder struct{ *embed.Ranker }

// AtOnce is few, so that what was scored when the time is over is not lost.
func (crossEncoder) AtOnce() int { return 8 }

// Score is the model's, which are logarithms of odds, as probabilities.
func (c crossEncoder) Score(ctx context.Context, question string, passages []string) ([]float64, error) {
	scores, err := c.Ranker.Score(ctx, question, passages)
	for i, s := range scores {
		scores[i] = 1 / (1 + math.Exp(-s))
	}
	return scores, err
}
