package outbox_test

import (
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/natsd"
	"github.com/commandcenter/commandcenter/pkg/outbox"
	"github.com/commandcenter/commandcenter/pkg/pg/pgtest"
)

func TestWhatTheStreamLacksIsFoundAndPublishedAgain(t *testing.T) {
	t.Parallel()
	env, b := newBus(t)
	db := pgtest.New(t, schema)
	js, err := jetstream.New(env.Conn(natsd.UserAdmin))
	must(t, err)
	s, err := js.Stream(t.Context(), bus.StreamEvents)
	must(t, err)
	start(t, db, b)
	for i := range 10 {
		say(t, db, 3, i+1)
	}
	rows(t, db, "published_at IS NOT NULL", 10)
	whole, err := outbox.Reconcile(t.Context(), db, js, bus.StreamEvents, false)
	must(t, err)
	if whole.Rows != 10 || whole.Kept != 10 || whole.Missing != 0 || whole.Queued {
		t.Errorf("nothing is missing: %+v", whole)
	}
	// In the middle: what the relay's own comparison of ends cannot see.
	for _, seq := range []uint64{4, 7} {
		must(t, s.DeleteMsg(t.Context(), seq))
	}
	// At the beginning, as the stream itself drops what is old: that is no loss.
	must(t, s.Purge(t.Context(), jetstream.WithPurgeSequence(2)))
	looked, err := outbox.Reconcile(t.Context(), db, js, bus.StreamEvents, true)
	must(t, err)
	if looked.Rows != 9 || looked.Missing != 2 || looked.Queued || looked.Oldest.IsZero() {
		t.Errorf("looked: %+v", looked)
	}
	rows(t, db, "published_at IS NULL", 0)
	// The stream remembers their ids still, and takes them all the same.
	mended, err := outbox.Reconcile(t.Context(), db, js, bus.StreamEvents, false)
	must(t, err)
	if mended.Missing != 2 || !mended.Queued {
		t.Fatalf("mended: %+v", mended)
	}
	rows(t, db, "stream_seq > 10", 2)
	again, err := outbox.Reconcile(t.Context(), db, js, bus.StreamEvents, false)
	must(t, err)
	if again.Rows != 9 || again.Missing != 0 {
		t.Errorf("again: %+v", again)
	}
	versions := map[int32]bool{}
	for _, e := range listen(t, b).next(9) {
		versions[e.GetVersion()] = true
	}
	if len(versions) != 9 || versions[1] {
		t.Errorf("versions %v", versions)
	}
}
