package embedtest

import (
	"testing"

	"github.com/commandcenter/commandcenter/services/knowledge/internal/embed"
)

// New opens a small model for one test. Its name is "embedtest".
func New(t testing.TB, o embed.Options) *embed.Embedder {
	t.Helper()
	dir := t.TempDir()
	if err := WriteModel(dir, Small, 7); err != nil {
		t.Fatal(err)
	}
	o.Name = "embedtest"
	e, err := embed.Load(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

// NewRanker opens a small cross-encoder for one test. Its name is "rankertest".
func NewRanker(t testing.TB, o embed.Options) *embed.Ranker {
	t.Helper()
	dir, shape := t.TempDir(), Small
	shape.Head = true
	if err := WriteModel(dir, shape, 7); err != nil {
		t.Fatal(err)
	}
	o.Name, o.Model.Profile.Network.Head = "rankertest", true
	r, err := embed.LoadRanker(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}
