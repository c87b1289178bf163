package embed

import (
	"cmp"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/commandcenter/commandcenter/services/knowledge/internal/embed/bert"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/embed/fetch"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/embed/kernel"
)

// network is a loaded model with its tokenizer, and counts the passes that are
// running, so that the weights stay until the last of them has ended.
type network struct {
	name    string
	profile Profile
	set     kernel.Set
	model   *bert.Model
	tokens  Tokenizer
	limit   int // tokens of one sequence
	gate    *Gate
	scratch sync.Pool // of *bert.Scratch

	closing atomic.Bool
	mu      sync.Mutex
	running int        // passes
	idle    *sync.Cond // running went to 0
}

func openNetwork(dir string, o Options, set kernel.Set) (*network, error) {
	profile := o.Model.Profile
	tokens, err := loadTokenizer(filepath.Join(dir, fetch.TokenizerFile))
	if err != nil {
		return nil, err
	}
	model, err := bert.Open(filepath.Join(dir, fetch.WeightsFile), profile.Network, set)
	if err != nil {
		return nil, err
	}
	if tokens.Size() > model.Vocab() {
		return nil, errors.Join(fmt.Errorf("%s: %d tokens, weights for %d", dir, tokens.Size(), model.Vocab()), model.Close())
	}
	n := &network{
		name: o.Name, profile: profile, set: set, model: model, tokens: tokens,
		limit: min(cmp.Or(profile.Window, defaultWindow), model.MaxTokens()), gate: o.gate(),
	}
	if n.name == "" {
		if o.Model.Source.Repository == "" {
			o.Model.Source = fetch.MiniLM
		}
		n.name = o.Model.Vectors()
	}
	n.idle = sync.NewCond(&n.mu)
	return n, nil
}

// Name identifies model and revision: what models of different names make does
// not mix.
func (n *network) Name() string { return n.name }

// Kernel names the arithmetic in use: "avx512", "avx2", "neon" or "plain".
func (n *network) Kernel() string { return n.set.String() }

// pass has run run the model once. The caller has a place at the gate.
func (n *network) pass(pause func() error, run func(s *bert.Scratch, pause func() error) error) error {
	if !n.begin() {
		return ErrClosed
	}
	defer n.end()
	s, ok := n.scratch.Get().(*bert.Scratch)
	if !ok {
		s = new(bert.Scratch)
	}
	defer n.scratch.Put(s)
	return run(s, func() error {
		if n.closing.Load() {
			return ErrClosed
		}
		return pause()
	})
}

// begin counts a pass, so that the weights stay until its end; false when the
// model is closing.
func (n *network) begin() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closing.Load() {
		return false
	}
	n.running++
	return true
}

func (n *network) end() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.running--; n.running == 0 {
		n.idle.Broadcast()
	}
}

// Close frees the weights. Calls that are running end with [ErrClosed] at
// their next half layer; Close waits for them. A second call does nothing.
func (n *network) Close() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closing.Swap(true) {
		return nil
	}
	for n.running > 0 {
		n.idle.Wait()
	}
	return n.model.Close()
}
