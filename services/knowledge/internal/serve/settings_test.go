package serve_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/bus/bustest"
	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	"github.com/commandcenter/commandcenter/services/knowledge"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/encoder"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/encoder/encodertest"
)

// choices lets projects choose a model with shorter vectors.
func choices(m *encodertest.Model) with {
	return func(d *knowledge.Deps, _ *knowledge.Config) {
		d.Models = []encoder.Known{{Name: "short", Vectors: m.Name(), Choice: true, Load: func(context.Context) (encoder.Model, error) { return m, nil }}}
	}
}

func admin(p tenant.Project) tenant.Identity { return bustest.Person(8, p, tenant.Admin) }

func (w *world) statistics(me tenant.Identity) obj {
	w.Helper()
	return w.request("getKnowledgeStatistics", me, obj{}).ok(200).body["vector_db"].(map[string]any)
}

func TestAProjectChangesItsModelWhileItIsSearched(t *testing.T) {
	t.Parallel()
	gate, short := make(chan struct{}, 100), &encodertest.Model{ID: "short@1", Size: 96}
	short.Before = func(ctx context.Context, _ int) error {
		select {
		case <-gate:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	w := newWorld(t, choices(short))
	me := admin(1)
	const documents = 5
	for i := range documents {
		w.indexed(me, w.text(me, fmt.Sprintf("%d.md", i), fmt.Sprintf("Text %d is about n%d.", i, i)).ok(201).num("id"), true)
	}
	w.indexed(me, w.text(me, "car.md", "The car stands in the garage.").ok(201).num("id"), true)

	found := func() {
		t.Helper()
		a, names := w.search(me, "vehicle", obj{"mode": "vector"}, obj{"limit": 1})
		if !slices.Equal(names, []string{"car.md"}) || a.header["CC-Search-Mode"] != "vector" || a.header["CC-Search-Degraded"] != "" {
			t.Fatalf("%v, %v", names, a.header)
		}
	}
	found()
	set := w.command("setKnowledgeSettings", "", me, obj{"body": obj{"embedding_model": "short"}}).ok(200)
	if set.body["embedding_model"] != "short" {
		t.Errorf("%v", set.body)
	}
	for i := range documents + 1 {
		w.until(func() bool {
			found() // by the model of before, the whole time
			st := w.statistics(me)
			return st["embedding_model"] == "test-model" && st["next_embedding_model"] == "short@1" && st["next_embedded_chunks"] == float64(i) && st["embedded_chunks"] == 6.0
		})
		gate <- struct{}{}
	}
	w.until(func() bool {
		found()
		st := w.statistics(me)
		return st["embedding_model"] == "short@1" && st["next_embedding_model"] == nil && st["embedding_dimension"] == 96.0 && st["embedded_chunks"] == 6.0
	})
	if short.Queries() == 0 {
		w.until(func() bool { found(); return short.Queries() > 0 })
	}
	w.until(func() bool { return w.vectorsOf("test-model") == 0 })

	// The way back, and another project meanwhile.
	other := member(2)
	w.indexed(other, w.text(other, "b.md", "A cat on the roof.").ok(201).num("id"), true)
	if st := w.statistics(other); st["embedding_model"] != "test-model" {
		t.Errorf("%v", st)
	}
	w.command("setKnowledgeSettings", "", me, obj{"body": obj{"embedding_model": nil}}).ok(200)
	w.until(func() bool { found(); return w.statistics(me)["embedding_model"] == "test-model" })
}

// vectorsOf counts the vectors of a model in project 1.
func (w *world) vectorsOf(model string) (n int) {
	w.Helper()
	err := w.db.InTenant(w.Context(), 1, func(ctx context.Context, tx *sqlx.Tx) error {
		return tx.GetContext(ctx, &n, `SELECT count(*) FROM embeddings WHERE project_id = 1 AND model = $1`, model)
	})
	if err != nil {
		w.Fatal(err)
	}
	return n
}

func TestAChangeOfModelGoesOnInAnyProcessThatHasTheModel(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(d *knowledge.Deps, _ *knowledge.Config) {
		d.Models = []encoder.Known{{Name: "short", Vectors: "short@1", Choice: true, Load: func(context.Context) (encoder.Model, error) {
			return nil, &encoder.Failure{Reason: encoder.Unfetchable, Err: errors.New("no network")}
		}}}
	})
	me := admin(1)
	for i := range 3 {
		w.indexed(me, w.text(me, fmt.Sprintf("%d.md", i), fmt.Sprintf("Text %d.", i)).ok(201).num("id"), true)
	}
	w.command("setKnowledgeSettings", "", me, obj{"body": obj{"embedding_model": "short"}}).ok(200)
	if st := w.statistics(me); st["next_embedding_model"] != "short@1" || st["next_embedded_chunks"] != 0.0 {
		t.Errorf("%v", st)
	}
	// Until there is a process that can, everything is as before.
	if a, names := w.search(me, "text", nil); len(names) != 3 || a.header["CC-Search-Degraded"] != "" {
		t.Errorf("%v, %v", names, a.header)
	}
	b, err := bus.Connect(t.Context(), w.env.Config("knowledge"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	d, c := knowledge.Deps{DB: w.db, Bus: b}, knowledge.DefaultConfig()
	d.Load = func(context.Context) (encoder.Model, error) { return w.model, nil }
	choices(&encodertest.Model{ID: "short@1", Size: 96})(&d, &c)
	c.Housekeeping = time.Second // a job that the other process takes comes to nothing
	m, err := knowledge.New(d, c)
	if err != nil {
		t.Fatal(err)
	}
	w.env.Run(m.Part())
	w.until(func() bool { return w.vectorsOf("short@1") == 3 && w.vectorsOf("test-model") == 0 })
}

func TestWhatMayBeChosenIsSaidAndNothingElseTaken(t *testing.T) {
	t.Parallel()
	w := newWorld(t, choices(&encodertest.Model{ID: "short@1"}))
	me := admin(1)
	if got := w.request("getKnowledgeSettings", me, obj{}).ok(200); got.body["embedding_model"] != nil || got.body["default_model"] != "default" || !reflect.DeepEqual(got.body["models"], []any{"default", "short"}) {
		t.Errorf("%s", got.raw)
	}
	w.command("setKnowledgeSettings", "", me, obj{"body": obj{"embedding_model": "gpt"}}).refused(errs.Invalid, "must be one of default, short")
	w.command("setKnowledgeSettings", "", me, obj{"body": obj{"embedding_model": "default"}}).ok(200)
	if got := w.request("getKnowledgeSettings", me, obj{}).ok(200); got.body["embedding_model"] != "default" {
		t.Errorf("%s", got.raw)
	}
	if got := w.request("getKnowledgeSettings", admin(2), obj{}).ok(200); got.body["embedding_model"] != nil {
		t.Errorf("of another project: %s", got.raw)
	}
}

func TestAServiceEmbedsInPlaceOfAModelOfOurs(t *testing.T) {
	t.Parallel()
	m := &encodertest.Model{Size: 96}
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var q struct{ Input []string }
		if err := json.NewDecoder(r.Body).Decode(&q); err != nil || r.Header.Get("Authorization") != "Bearer secret" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		vectors, err := m.EmbedBatch(r.Context(), q.Input, nil)
		if err != nil {
			t.Error(err)
		}
		var data []obj
		for i, v := range vectors {
			data = append(data, obj{"index": i, "embedding": v})
		}
		if err := json.NewEncoder(w).Encode(obj{"data": data}); err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(h.Close)
	w := newWorld(t, func(d *knowledge.Deps, c *knowledge.Config) {
		d.Load, c.Model = nil, knowledge.EndpointModel
		c.Endpoint = knowledge.Endpoint{Kind: "openai", URL: h.URL + "/v1", Model: "small", Key: "secret", Dimensions: 96}
	})
	me := member(1)
	w.indexed(me, w.text(me, "car.md", "The car stands in the garage.").ok(201).num("id"), true)
	w.indexed(me, w.text(me, "cat.md", "The cat sits on the roof.").ok(201).num("id"), true)
	if a, names := w.search(me, "vehicle", obj{"mode": "vector"}, obj{"limit": 1}); !slices.Equal(names, []string{"car.md"}) || a.header["CC-Search-Mode"] != "vector" {
		t.Errorf("%v, %v", names, a.header)
	}
	if st := w.statistics(me); st["embedding_model"] != "openai:small@96" || st["embedding_dimension"] != 96.0 {
		t.Errorf("%v", st)
	}
	if got := w.request("getKnowledgeSettings", me, obj{}).ok(200); got.body["default_model"] != "endpoint" {
		t.Errorf("%s", got.raw)
	}
}

func TestAProjectMovesToPGVectorAndBackAndEveryAnswerIsWhole(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	me := admin(1)
	for i := range 5 {
		w.indexed(me, w.text(me, fmt.Sprintf("%d.md", i), fmt.Sprintf("The car number %d stands in the garage.", i)).ok(201).num("id"), true)
	}
	all := func() {
		t.Helper()
		if a, names := w.search(me, "vehicle", obj{"mode": "vector"}, obj{"limit": 10}); len(names) != 5 || a.header["CC-Search-Degraded"] != "" {
			t.Errorf("%v, %v", names, a.header)
		}
	}
	all()
	set := func(b any) answer {
		t.Helper()
		return w.command("setKnowledgeSettings", "", me, obj{"body": obj{"backend": b}})
	}
	get := func() obj {
		t.Helper()
		return w.request("getKnowledgeSettings", me, obj{}).ok(200).body
	}
	set("disk").refused(errs.Invalid, "backend must be memory")
	if got := get(); got["backend"] != "memory" || got["effective"].(map[string]any)["backend"] != "memory" {
		t.Errorf("%v", got)
	}
	if len(get()["backends"].([]any)) == 1 {
		set("pgvector").refused(errs.Invalid, "no pgvector")
		t.Skip("this PostgreSQL has no pgvector 0.8 or later: `make pgvector` builds one, CC_PG_BIN names it")
	}
	for _, b := range []any{"pgvector", "pgvector-half", "memory", "pgvector", nil} {
		name := b
		if b == nil {
			name = "memory"
		}
		if got := set(b).ok(200).body; got["backend"] != name {
			t.Errorf("%v", got)
		}
		all()
		w.until(func() bool { return get()["effective"].(map[string]any)["backend"] == name })
		all()
	}
}
