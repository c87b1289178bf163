package knowledge

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"

	"github.com/commandcenter/commandcenter/services/knowledge/internal/embed"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/encoder"
)

// loader loads the model that c names, or is nil when it is switched off.
func loader(c Config, log *slog.Logger) func(ctx context.Context) (encoder.Model, error) {
	if !c.Model {
		return nil
	}
	o := embed.Options{ModelDir: c.ModelDir, Workers: c.ModelWorkers, Log: log}
	return func(ctx context.Context) (encoder.Model, error) {
		find := func() (string, error) { return embed.Locate(o) }
		if c.FetchModel {
			find = func() (string, error) { return embed.Fetch(ctx, o) }
		}
		dir, err := find()
		if err != nil {
			return nil, &encoder.Failure{Reason: whyMissing(err, c.FetchModel), Err: err}
		}
		e, err := embed.Load(dir, o)
		if err != nil {
			return nil, fmt.Errorf("load the model in %s: %w", dir, err)
		}
		return counting{e}, nil
	}
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

// advice is what to do while the model is missing. `commandcenter doctor` shows
// it too.
func advice() string {
	return "It is fetched once and then kept; run `commandcenter doctor` for what else is amiss, and see model.load in the log for the cause. " +
		"To put it there by hand, " + embed.ByHand()
}

// counting is the embedder with its tokenizer at hand.
type counting struct{ *embed.Embedder }

// Count counts tokens as the model does.
func (c counting) Count(text string) int { return c.Tokenizer().Count(text) }
