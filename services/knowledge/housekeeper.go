package knowledge

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/commandcenter/commandcenter/pkg/app"
	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/document"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/encoder"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/index"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/postgres"
)

// housekeeper removes objects that no document refers to, queues documents
// that lack the vectors of their project's model, has searches use them when all
// have them, gives up those whose job has died,
// and forgets old removals, closed projects and images of indexes that nobody
// reads. Every replica has one: each step is safe to run at
// the same time.
type housekeeper struct {
	every, remember time.Duration
	orphans         time.Duration // age from which an object that nobody knows of goes

	store   *postgres.Store
	library *index.Library
	indexer *document.Indexer
	models  *encoder.Models
	bus     *bus.Bus
	log     *slog.Logger

	now   func() time.Time
	swept time.Time     // the object store, at last
	ring  chan struct{} // a round is wanted now

	app.Loop
}

// Name is "knowledge.housekeeper".
func (h *housekeeper) Name() string { return Name + ".housekeeper" }

// Start begins with a round at once, beside the start of the rest: what an
// instance left undone does not wait for a whole period.
func (h *housekeeper) Start(ctx context.Context) error {
	h.wake()
	h.Go(ctx, h.run)
	return nil
}

// Stop waits for a running round, which it cuts short.
func (h *housekeeper) Stop(ctx context.Context) error {
	err := h.Loop.Stop(ctx)
	h.library.Close()
	return err
}

// modelReady is called when a model is loaded.
func (h *housekeeper) modelReady(encoder.Model) { h.wake() }

// wake asks for a round, which a running one does not count as.
func (h *housekeeper) wake() {
	select {
	case h.ring <- struct{}{}:
	default:
	}
}

func (h *housekeeper) run(ctx context.Context) {
	tick := time.NewTicker(h.every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-h.ring:
		case <-tick.C:
		}
		if err := h.round(ctx); err != nil && ctx.Err() == nil {
			h.log.ErrorContext(ctx, "knowledge.housekeeping", "err", err)
		}
	}
}

// perStep is how many rows a round reads at a time.
const perStep = 100

// round does everything once; a step that fails does not keep the others from
// running.
func (h *housekeeper) round(ctx context.Context) error {
	began := h.now()
	removed, sweep := h.store.Sweep(ctx, perStep, func(ctx context.Context, t postgres.Trash) error {
		return h.bus.DeleteObject(ctx, bus.ObjectRef{Bucket: t.Bucket, Name: t.Name})
	})
	queued, backlog := h.vectors(ctx)
	stranded, given := h.store.Stranded(ctx, perStep, h.indexer.GiveUp)
	ended, failing := h.store.FailStranded(ctx)
	forget := h.store.Forget(ctx, began.Add(-h.remember))
	orphans, lost := h.sweep(ctx, began)
	if err := errors.Join(sweep, backlog, given, failing, forget, lost, h.indexes(ctx, began)); err != nil {
		return err
	}
	if removed+queued+stranded+ended+orphans > 0 {
		indexes, bytes := h.library.Size()
		h.log.InfoContext(ctx, "knowledge.housekeeping", "objects_removed", removed, "orphans_removed", orphans, "documents_queued", queued,
			"documents_given_up", stranded, "evaluations_given_up", ended, "indexes", indexes, "index_bytes", bytes, "ms", h.now().Sub(began).Milliseconds())
	}
	return nil
}

// vectors has every project come to the vectors of its model: it queues the
// documents that lack them, and where none does, has searches use them.
func (h *housekeeper) vectors(ctx context.Context) (queued int, err error) {
	if _, err := drain(ctx, func() (int, error) { return h.store.Adopt(ctx, perStep) }); err != nil {
		return 0, err
	}
	inUse, choices := map[string]bool{}, map[string]bool{"": true}
	var ripe, untidy []postgres.Use
	for after := tenant.Project(0); ; {
		uses, err := h.store.Uses(ctx, after, perStep)
		if err != nil {
			return 0, err
		}
		for _, u := range uses {
			after = u.Project
			inUse[u.Searched], inUse[h.models.Vectors(u.Chosen)], choices[u.Chosen] = true, true, true
			switch {
			case u.Searched != "" && u.Searched != h.models.Vectors(u.Chosen):
				ripe = append(ripe, u)
			case !u.Tidy:
				untidy = append(untidy, u)
			}
		}
		if len(uses) < perStep {
			break
		}
	}
	_, moving := h.store.Unmoved(ctx, perStep)
	faults := []error{h.models.Keep(ctx, inUse), moving}
	for choice := range choices {
		model, _ := h.models.Loaded(h.models.Vectors(choice))
		if model == "" {
			continue
		}
		n, err := drain(ctx, func() (int, error) { return h.store.Backlog(ctx, choice, model, perStep) })
		queued, faults = queued+n, append(faults, err)
	}
	for _, u := range ripe {
		if err := h.swap(ctx, u.Project, u.Chosen, u.Searched); err != nil {
			faults = append(faults, err)
		}
	}
	for _, u := range untidy {
		_, err := h.store.Clean(ctx, u.Project, 10*perStep)
		faults = append(faults, err)
	}
	return queued, errors.Join(faults...)
}

// swap has a project searched by the vectors of its choice, if all documents have
// them, or if those of before cannot be used any more.
func (h *housekeeper) swap(ctx context.Context, p tenant.Project, choice, before string) error {
	model, _ := h.models.Loaded(h.models.Vectors(choice))
	if model == "" {
		return nil
	}
	swapped, err := h.store.Swap(ctx, p, model, !h.models.Knows(before))
	if err != nil || !swapped {
		return err
	}
	h.log.InfoContext(ctx, "knowledge.model", "project", p.Token(), "outcome", "searched by", "model", model, "before", before)
	h.wake() // to remove those of before
	return nil
}

// embedded is called after the document of a project got its vectors: it may have
// been the last one.
func (h *housekeeper) embedded(ctx context.Context, p tenant.Project) error {
	now, wanted, err := h.store.Models(ctx, p)
	if err != nil || now == "" || now == wanted {
		return err
	}
	choice, err := h.store.Chosen(ctx, p)
	if err != nil {
		return err
	}
	return h.swap(ctx, p, choice, now)
}

// indexes drops those of projects that were deleted, of which another process may
// have heard, and images so old that they could not be brought up to date.
func (h *housekeeper) indexes(ctx context.Context, now time.Time) error {
	known, err := h.library.Known()
	if err != nil {
		return err
	}
	closed, err := h.store.Closed(ctx, known)
	for _, p := range closed {
		_, _, dropped := h.library.Drop(p)
		err = errors.Join(err, dropped)
	}
	return errors.Join(err, h.library.Fade(now.Add(-h.remember)))
}

// sweepEvery is how often the whole object store is looked through.
const sweepEvery = time.Hour

// sweep removes objects that have no row at all: their upload was put, and its
// command did not come.
func (h *housekeeper) sweep(ctx context.Context, now time.Time) (int, error) {
	if now.Sub(h.swept) < sweepEvery {
		return 0, nil
	}
	mine := func(owner string) bool { return owner != "research" } // which looks after its own
	n, err := h.bus.SweepObjects(ctx, now.Add(-h.orphans), mine, func(ctx context.Context, p tenant.Project, names []string) ([]string, error) {
		return h.store.Referred(ctx, p, bus.BucketBlobs, names)
	})
	if err == nil {
		h.swept = now
	}
	return n, err
}

// drain repeats a step until it finds less than it may take.
func drain(ctx context.Context, step func() (int, error)) (total int, err error) {
	for {
		n, err := step()
		total += n
		if err != nil || n < perStep || ctx.Err() != nil {
			return total, err
		}
	}
}
