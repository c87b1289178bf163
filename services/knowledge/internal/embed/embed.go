package embed

import (
	"context"
	"errors"
	"log/slog"
)

// Options says where the model is, and how much of the machine it may use.
// The zero value is useful.
type Options struct {
	ModelDir string // a directory with model.safetensors and tokenizer.json; "" looks in the cache
	CacheDir string // where models are kept; "" is os.UserCacheDir()/commandcenter/models
	Log      *slog.Logger
	Progress func(done, total int64) // bytes of a download; may be nil

	Workers    int // forward passes at a time; 0 is GOMAXPROCS
	QueryCache int // query vectors kept; 0 is 1024, negative is none
	MaxQueries int // queries that may wait for a place; 0 is 256
}

// Span is the place of one token in its text: the bytes [Start, End).
type Span struct{ Start, End int }

// Tokenizer cuts text as the model does.
type Tokenizer struct{}

// Count is the number of tokens in text, without the two markers that the
// model puts around it.
func (t *Tokenizer) Count(text string) int { return 0 }

// Offsets gives the bytes of text that each token covers, in order.
func (t *Tokenizer) Offsets(text string) []Span { return nil }

// Embedder runs the model. Safe for concurrent use.
type Embedder struct{}

// Locate finds the model's directory without using the network.
func Locate(o Options) (dir string, err error) { return "", errors.New("under construction") }

// Fetch finds the model's directory, and gets the files if they are not there.
func Fetch(ctx context.Context, o Options) (dir string, err error) { return Locate(o) }

// New is [Locate], then [Load].
func New(o Options) (*Embedder, error) {
	dir, err := Locate(o)
	if err != nil {
		return nil, err
	}
	return Load(dir, o)
}

// Load opens the model in dir.
func Load(dir string, o Options) (*Embedder, error) { return &Embedder{}, nil }

// Name identifies model and revision: vectors of different names do not mix.
func (e *Embedder) Name() string { return "" }

// Dim is the length of a vector.
func (e *Embedder) Dim() int { return 384 }

// MaxTokens is how much of a text the model sees, the two markers included:
// a text of up to MaxTokens()-2 tokens is seen whole, the rest is cut off.
func (e *Embedder) MaxTokens() int { return 256 }

// Tokenizer is the model's own.
func (e *Embedder) Tokenizer() *Tokenizer { return &Tokenizer{} }

// EmbedQuery gives the vector of one short text, ahead of any batch.
func (e *Embedder) EmbedQuery(ctx context.Context, text string) ([]float32, error) {
	return nil, errors.New("under construction")
}

// EmbedBatch gives the vectors of texts, in their order. progress, if not
// nil, hears how many are done; calls do not overlap and never go back.
func (e *Embedder) EmbedBatch(ctx context.Context, texts []string, progress func(done int)) ([][]float32, error) {
	return nil, errors.New("under construction")
}

// Close frees the weights once the running calls have ended.
func (e *Embedder) Close() error { return nil }
