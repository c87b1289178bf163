package remote

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strings"
	"time"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/chunk"
)

// The kinds of services.
const (
	OpenAI = "openai"
	Gemini = "gemini"
)

// Config says which service, and which of its models.
type Config struct {
	Kind       string
	URL        string // before /embeddings or /models; "" is the public one of the kind
	Model      string
	Key        string // "" sends none
	KeyFile    string // a file with the key, read when the model is loaded
	Dimensions int    // that its vectors have to have
}

// The bounds of calls.
const (
	perCall  = 64       // texts
	atOnce   = 4        // calls
	tries    = 4        // of a call for passages
	askTries = 2        // of one whose caller waits
	most     = 64 << 20 // bytes of an answer
)

// ErrAway says that the service cannot be asked now.
var ErrAway = errs.New(errs.Unavailable, "the embedding service does not answer")

// Service is an encoder.Model. Safe for concurrent use.
type Service struct {
	*caller
	c     Config
	speak dialect
}

// Validate returns what is wrong with c.
func (c Config) Validate() error {
	if c.Kind != OpenAI && c.Kind != Gemini {
		return fmt.Errorf("kind: %s or %s", OpenAI, Gemini)
	}
	if err := (address{c.base(), c.Model, c.Key, c.KeyFile}).validate(); err != nil {
		return err
	}
	if c.Dimensions < 8 || c.Dimensions > 8192 {
		return errors.New("dimensions: from 8 to 8192")
	}
	return nil
}

func (c Config) base() string {
	switch {
	case c.URL != "":
		return strings.TrimSuffix(c.URL, "/")
	case c.Kind == Gemini:
		return "https://generativelanguage.googleapis.com/v1beta"
	}
	return "https://api.openai.com/v1"
}

// Vectors is the name of what a service with this configuration makes.
func (c Config) Vectors() string { return fmt.Sprintf("%s:%s@%d", c.Kind, c.Model, c.Dimensions) }

// Open returns the service, after it has embedded a text as it should.
func Open(ctx context.Context, c Config) (*Service, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	key, err := keyOf(c.Key, c.KeyFile)
	if err != nil {
		return nil, err
	}
	c.Key = key
	s := &Service{caller: newCaller("the embedding service", c.Key, ErrAway), c: c, speak: openAI{}}
	if c.Kind == Gemini {
		s.speak = gemini{}
	}
	if _, err := s.EmbedQuery(ctx, "Is anybody there?"); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// Name is that of the vectors.
func (s *Service) Name() string { return s.c.Vectors() }

// Dim is the length of a vector.
func (s *Service) Dim() int { return s.c.Dimensions }

// Count is an estimate: how the service counts it does not tell.
func (s *Service) Count(text string) int { return chunk.Estimate{}.Count(text) }

// EmbedQuery gives the vector of a question.
func (s *Service) EmbedQuery(ctx context.Context, text string) ([]float32, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	v, err := s.vectors(ctx, []string{text}, true, askTries)
	if err != nil {
		return nil, err
	}
	return v[0], nil
}

// EmbedBatch gives the vectors of texts, in their order. progress, if not nil,
// hears how many are done.
func (s *Service) EmbedBatch(ctx context.Context, texts []string, progress func(done int)) ([][]float32, error) {
	out := make([][]float32, 0, len(texts))
	for len(out) < len(texts) {
		part := texts[len(out):min(len(out)+perCall, len(texts))]
		v, err := s.vectors(ctx, part, false, tries)
		if err != nil {
			return nil, err
		}
		if out = append(out, v...); progress != nil {
			progress(len(out))
		}
	}
	return out, nil
}

// vectors asks for those of texts.
func (s *Service) vectors(ctx context.Context, texts []string, question bool, tries int) (out [][]float32, err error) {
	err = s.call(ctx, tries,
		func(ctx context.Context) (*http.Request, error) { return s.speak.request(ctx, s.c, texts, question) },
		func(body []byte) error {
			if out, err = s.speak.vectors(body, len(texts)); err != nil {
				return fmt.Errorf("the answer of the embedding service: %w", err)
			}
			for i := range out {
				if err := s.unit(out[i]); err != nil {
					return err
				}
			}
			return nil
		})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// unit checks a vector and brings it to length 1.
func (s *Service) unit(v []float32) error {
	if len(v) != s.c.Dimensions {
		return fmt.Errorf("the embedding service gives vectors of %d numbers, and %d are set", len(v), s.c.Dimensions)
	}
	var square float64
	for _, x := range v {
		square += float64(x) * float64(x)
	}
	if !(square > 0) || math.IsInf(square, 1) {
		return errors.New("the embedding service gives a vector without direction")
	}
	inv := float32(1 / math.Sqrt(square))
	for i := range v {
		v[i] *= inv
	}
	return nil
}
