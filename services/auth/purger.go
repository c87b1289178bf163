package auth

import (
	"context"
	"log/slog"
	"strings"
	"time"

	"github.com/commandcenter/commandcenter/pkg/app"
	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/purge"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	events "github.com/commandcenter/commandcenter/proto-events"
	platformv1 "github.com/commandcenter/commandcenter/proto-events/platform/v1"

	"github.com/commandcenter/commandcenter/services/auth/internal/project"
)

// Pauses of a purger: the first, the longest while a deletion waits for something that
// is about to happen, which is a look at a few rows, and the longest after failures.
const (
	purgeSoon  = 100 * time.Millisecond
	purgeWaits = time.Second
	purgeLate  = 10 * time.Second
)

// purger ends deletions, as soon as the last service has purged: it removes what
// streams and buckets hold of the project, and then the project. Every replica has
// one: each step is safe to run at the same time.
type purger struct {
	every    time.Duration
	deletion project.Deletion
	kick     chan struct{}
	log      *slog.Logger

	app.Loop
}

// Name is "auth.purger".
func (p *purger) Name() string { return Name + ".purger" }

// Start begins with what was left by a process that died.
func (p *purger) Start(ctx context.Context) error {
	p.Go(ctx, p.run)
	return nil
}

// wake says that a deletion may be about to end. It does not block.
func (p *purger) wake() {
	select {
	case p.kick <- struct{}{}:
	default:
	}
}

func (p *purger) run(ctx context.Context) {
	pause := purgeSoon
	for {
		waiting, err := p.deletion.Finish(ctx)
		if err != nil && ctx.Err() == nil {
			p.log.ErrorContext(ctx, "auth.purge", "err", err)
		}
		next := p.every
		if most := purgeWaits; waiting > 0 || err != nil {
			if err != nil {
				most = purgeLate
			}
			next, pause = min(pause, most), min(2*pause, most)
		} else {
			pause = purgeSoon
		}
		t := time.NewTimer(next)
		select {
		case <-t.C:
		case <-p.kick:
			pause = purgeSoon
		case <-ctx.Done():
		}
		if t.Stop(); ctx.Err() != nil {
			return
		}
	}
}

// busStreams are the streams of the bus.
type busStreams struct{ bus *bus.Bus }

// Purge waits until all calls that were recorded are in the audit log, which a
// message on the stream may still have to become.
func (s busStreams) Purge(ctx context.Context, id tenant.Project) ([]purge.Part, error) {
	d, err := events.Describe(&platformv1.CallRecorded{})
	if err != nil {
		return nil, err
	}
	return s.bus.PurgeProject(ctx, id, bus.PurgeOptions{Keep: obituary, After: []string{bus.EventDurable(Name, d)}})
}

// obituary says why a fact stays on the stream of events: those of the end do.
func obituary(subject string) string {
	if !strings.HasPrefix(subject, "evt.") {
		return ""
	}
	for _, end := range []string{".auth.project.deleting.v1", ".auth.project.deleted.v1", ".project.purged.v1"} {
		if strings.HasSuffix(subject, end) {
			return "the facts that it is deleted, purged and gone, which others hear yet; for seven days"
		}
	}
	return ""
}
