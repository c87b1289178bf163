package outbox

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"github.com/commandcenter/commandcenter/pkg/pg"
)

// topicSaid is rung when the relay of this process has published something.
const topicSaid = "outbox.said"

// saidPoll is how often a call looks whether the relay of another process has.
const saidPoll = 50 * time.Millisecond

// Heard has the call that adds the event wait, after its commit, until the
// event is published: whoever is told that a right has ended may rely on it that
// everybody else was told before. It needs a context of [Await], as the servers
// of package bus have.
func Heard() Option { return func(a *addition) { a.heard = true } }

// Awaited are the committed events of a call that were added with [Heard].
// Safe for concurrent use.
type Awaited struct {
	mu  sync.Mutex
	ids []int64
}

type awaitKey struct{}

// Await returns a context under which [Add] notes the events that are to be
// heard.
func Await(ctx context.Context) (context.Context, *Awaited) {
	a := &Awaited{}
	return context.WithValue(ctx, awaitKey{}, a), a
}

// await notes an event once its transaction has committed.
func await(ctx context.Context, id int64) {
	a, ok := ctx.Value(awaitKey{}).(*Awaited)
	if !ok {
		return
	}
	pg.OnCommit(ctx, func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.ids = append(a.ids, id)
	})
}

// Published returns when each of the events is published, or parked for good;
// at once where there are none. When ctx ends before, the error is its cause:
// the events are committed, and will be said as soon as the bus takes them.
func (a *Awaited) Published(ctx context.Context, db *pg.DB) error {
	a.mu.Lock()
	ids := a.ids
	a.mu.Unlock()
	if len(ids) == 0 {
		return nil
	}
	ctx = pg.Detached(ctx)
	rung, stop := db.Listen(topicSaid)
	defer stop()
	tick := time.NewTicker(saidPoll)
	defer tick.Stop()
	for {
		const q = `SELECT count(*) FROM outbox WHERE id = ANY ($1) AND published_at IS NULL AND parked_at IS NULL`
		var waiting int
		err := db.AcrossProjects(ctx, "whether revocations are said", func(ctx context.Context, tx *sqlx.Tx) error {
			return tx.GetContext(ctx, &waiting, q, pq.Array(ids))
		})
		if err != nil {
			return fmt.Errorf("look for events that wait: %w", err)
		}
		if waiting == 0 {
			return nil
		}
		select {
		case <-rung:
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
