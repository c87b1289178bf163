package postgres_test

import (
	"context"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"
	"google.golang.org/protobuf/proto"

	"github.com/commandcenter/commandcenter/pkg/tenant"
	events "github.com/commandcenter/commandcenter/proto-events"
	knowledgev1 "github.com/commandcenter/commandcenter/proto-events/knowledge/v1"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/document"
)

// last is, of all that was said, what still holds: the last of each fact about
// each document that is there, unless it is about an earlier content.
func (w *world) last() map[string]string {
	w.Helper()
	var rows []struct {
		Subject string `db:"subject"`
		Data    []byte `db:"data"`
	}
	err := w.db.AcrossProjects(w.Context(), "test", func(ctx context.Context, tx *sqlx.Tx) error {
		return tx.SelectContext(ctx, &rows, `SELECT subject, data FROM outbox ORDER BY id`)
	})
	if err != nil {
		w.Fatal(err)
	}
	out, newest := map[string]string{}, map[string]int32{}
	for _, r := range rows {
		var m proto.Message
		for _, one := range []proto.Message{&knowledgev1.DocumentReceived{}, &knowledgev1.DocumentIndexed{}, &knowledgev1.DocumentFailed{}, &knowledgev1.DocumentDeleted{}} {
			if d, err := events.Describe(one); err == nil && d.Subject(tenant.Project(1).Token()) == r.Subject || err == nil && d.Subject(tenant.Project(2).Token()) == r.Subject {
				m = one
			}
		}
		if m == nil {
			continue
		}
		if err := events.Unmarshal(r.Data, events.JSON, m); err != nil {
			w.Fatal(err)
		}
		key, err := events.Aggregate(m)
		if err != nil {
			w.Fatal(err)
		}
		_, gone := m.(*knowledgev1.DocumentDeleted)
		for k := range out {
			if len(k) > len(key.ID) && k[:len(key.ID)+1] == key.ID+" " && (gone || newest[key.ID] < key.Version) {
				delete(out, k)
			}
		}
		newest[key.ID] = key.Version
		if !gone {
			out[key.ID+" "+string(m.ProtoReflect().Descriptor().Name())] = string(r.Data)
		}
	}
	return out
}

func (w *world) told(p tenant.Project, since time.Time) map[string]string {
	w.Helper()
	out := map[string]string{}
	err := w.s.Replay(w.Context(), p, since, func(m proto.Message, at time.Time) error {
		key, err := events.Aggregate(m)
		if err != nil {
			return err
		}
		data, err := events.Marshal(m)
		if at.IsZero() {
			w.Errorf("%s %s: no time", key.ID, m.ProtoReflect().Descriptor().Name())
		}
		out[key.ID+" "+string(m.ProtoReflect().Descriptor().Name())] = string(data)
		return err
	})
	if err != nil {
		w.Fatal(err)
	}
	return out
}

func TestWhatIsToldAgainIsWhatWasSaidLast(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := w.receive(1, "a.md", "one", "two"), w.receive(1, "b.md", "three")
	w.embed(a, model)
	if err := w.s.Failed(t.Context(), b, "unreadable", "it is not a text"); err != nil {
		t.Fatal(err)
	}
	gone := w.receive(1, "gone.md", "four")
	if err := w.s.Delete(t.Context(), 1, gone.ID, func(document.Document) error { return nil }); err != nil {
		t.Fatal(err)
	}
	w.embed(w.receive(2, "c.md", "five"), "m2")
	w.receive(1, "a.md", "one, changed") // indexed before, and now again
	want, got := w.last(), w.told(tenant.Instance, time.Time{})
	if !maps.Equal(want, got) || len(got) != 5 {
		t.Errorf("told %v\nsaid %v", got, want)
	}
	if got := w.told(2, time.Time{}); len(got) != 2 {
		t.Errorf("of one project: %v", slices.Sorted(maps.Keys(got)))
	}
	if got := w.told(tenant.Instance, time.Now().Add(time.Hour)); len(got) != 0 {
		t.Errorf("nothing has changed since, and told was %v", got)
	}
}
