package secrettest

import (
	"sync"
	"testing"

	"github.com/commandcenter/commandcenter/pkg/secret"
)

// Source holds the text of a ring. It is safe for concurrent use.
type Source struct {
	mu   sync.Mutex
	text []byte
	err  error
}

// Keys returns the text.
func (s *Source) Keys() ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text, s.err
}

// Set changes what Keys returns.
func (s *Source) Set(text []byte, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.text, s.err = text, err
}

// New returns a source with a ring of one key.
func New(t testing.TB) *Source {
	t.Helper()
	text, err := secret.NewKeys(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &Source{text: text}
}

// Ring opens a new ring of one key.
func Ring(t testing.TB) *secret.Ring {
	t.Helper()
	return Open(t, New(t))
}

// Open opens the ring of a source.
func Open(t testing.TB, s *Source) *secret.Ring {
	t.Helper()
	r, err := secret.Open(s, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}
