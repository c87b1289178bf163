package knowledge

import (
	"context"
	"fmt"
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
			return nil, err
		}
		e, err := embed.Load(dir, o)
		if err != nil {
			return nil, fmt.Errorf("load the model in %s: %w", dir, err)
		}
		return counting{e}, nil
	}
}

// counting is the embedder with its tokenizer at hand.
type counting struct{ *embed.Embedder }

// Count counts tokens as the model does.
func (c counting) Count(text string) int { return c.Tokenizer().Count(text) }
