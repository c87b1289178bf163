package knowledge

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"slices"

	"github.com/commandcenter/commandcenter/services/knowledge/internal/embed"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/encoder"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/remote"
)

// known are the models that c names, and those whose vectors may be left from when
// it named them.
func known(c Config, gate *embed.Gate, log *slog.Logger) []encoder.Known {
	if c.wordsOnly() {
		return []encoder.Known{{Name: "off"}}
	}
	m, _ := c.embedding()
	service := encoder.Known{Name: EndpointModel, Vectors: c.Endpoint.service().Vectors(), Choice: slices.Contains(c.ProjectModels, EndpointModel), Load: asked(c.Endpoint)}
	first := encoder.Known{Name: m.Name, Vectors: m.Vectors(), Load: published(m, c, gate, log)}
	switch {
	case c.Model == EndpointModel:
		first = service
	case c.ModelDir != "":
		first = encoder.Known{Name: "model_dir", Load: inDirectory(c, gate, log)}
	}
	all := []encoder.Known{first}
	if c.Endpoint.Kind != "" && first.Name != EndpointModel {
		all = append(all, service)
	}
	for _, m := range embed.Models {
		if m.Name != first.Name {
			all = append(all, encoder.Known{Name: m.Name, Vectors: m.Vectors(), Choice: slices.Contains(c.ProjectModels, m.Name), Load: published(m, c, gate, log)})
		}
	}
	return all
}

// published loads a model of the table from the cache, to which it is fetched.
func published(m embed.Model, c Config, gate *embed.Gate, log *slog.Logger) func(ctx context.Context) (encoder.Model, error) {
	o := embed.Options{Model: m, Gate: gate, Log: log}
	return func(ctx context.Context) (encoder.Model, error) {
		find := func() (string, error) { return embed.Locate(o) }
		if c.FetchModel {
			find = func() (string, error) { return embed.Fetch(ctx, o) }
		}
		dir, err := find()
		if err != nil {
			return nil, &encoder.Failure{Reason: whyMissing(err, c.FetchModel), Err: err}
		}
		return open(dir, o)
	}
}

// inDirectory loads what lies in the directory that an operator names.
func inDirectory(c Config, gate *embed.Gate, log *slog.Logger) func(ctx context.Context) (encoder.Model, error) {
	return func(context.Context) (encoder.Model, error) {
		o := embed.Options{Gate: gate, Log: log}
		var err error
		if m, _ := c.embedding(); m.Name != embed.Default { // the operator says which it is
			o.Model, err = m, m.InDirectory(c.ModelDir)
		} else {
			o.Name, o.Model.Profile, err = embed.Inspect(c.ModelDir)
		}
		if err != nil {
			return nil, &encoder.Failure{Reason: whyMissing(err, false), Err: err}
		}
		return open(c.ModelDir, o)
	}
}

// asked loads nothing: it makes sure that the service embeds as it should.
func asked(e Endpoint) func(ctx context.Context) (encoder.Model, error) {
	return func(ctx context.Context) (encoder.Model, error) {
		s, err := remote.Open(ctx, e.service())
		if err != nil {
			return nil, &encoder.Failure{Reason: encoder.Unanswered, Err: err}
		}
		return s, nil
	}
}

func open(dir string, o embed.Options) (encoder.Model, error) {
	e, err := embed.Load(dir, o)
	if err != nil {
		return nil, fmt.Errorf("load the model in %s: %w", dir, err)
	}
	return counting{e}, nil
}

// whyMissing is the reason, for everybody, that a model is not found, or not
// to be had when it was to be fetched.
func whyMissing(err error, fetched bool) string {
	var file *fs.PathError
	switch missing := errors.Is(err, embed.ErrMissing); {
	case errors.Is(err, fs.ErrPermission):
		return encoder.Unreadable
	case missing && fetched:
		return encoder.Unfetchable
	case errors.Is(err, embed.ErrDamaged):
		return encoder.Damaged
	case errors.Is(err, fs.ErrNotExist):
		return encoder.NotFetched
	case errors.As(err, &file):
		return encoder.Unreadable
	}
	return encoder.Unusable
}

// advice is what to do while the model is missing, in the health of the instance and
// in `commandcenter doctor`.
func advice(c Config) string {
	if c.Model == EndpointModel {
		return "It is asked for again; see model.load in the log for the cause, and the settings knowledge.endpoint."
	}
	m, _ := c.embedding()
	return "It is fetched once and then kept, and tried for again by itself; `commandcenter models pull` fetches it at once and says what is amiss, as model.load in the log does. " +
		"To put it there by hand, " + embed.ByHand(m)
}

// counting is the embedder with its tokenizer at hand.
type counting struct{ *embed.Embedder }

// Count counts tokens as the model does.
func (c counting) Count(text string) int { return c.Tokenizer().Count(text) }
