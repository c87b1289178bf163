package serve_test

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/bus/bustest"
	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	authv1 "github.com/commandcenter/commandcenter/proto-events/auth/v1"
	knowledgev1 "github.com/commandcenter/commandcenter/proto-events/knowledge/v1"
	platformv1 "github.com/commandcenter/commandcenter/proto-events/platform/v1"
	researchv1 "github.com/commandcenter/commandcenter/proto-events/research/v1"

	"github.com/commandcenter/commandcenter/services/knowledge"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/document"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/encoder"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/encoder/encodertest"
)

const guide = "# Garage\n\nThe car stands in the garage.\n\n## Roof\n\nThe roof is green.\n"

func TestUploadIsFoundByWordsAtOnceAndByMeaningSoon(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	me := member(1)
	a := w.upload(me, "docs/garage.md", "text/markdown", guide, obj{"repository_id": 3}, obj{"category": "docs", "technology_id": 5}).ok(201)
	if a.body["filename"] != "docs/garage.md" || a.body["collection"] != "commandcenter_3" || a.num("chunks_added") != 1 || a.body["state"] != "indexing" ||
		a.body["status"] != "success" || a.num("file_size") != int64(len(guide)) || a.header["Location"] != fmt.Sprintf("/api/v1/knowledge/documents/%d", a.num("id")) {
		t.Errorf("answer %v %v", a.body, a.header)
	}
	found, names := w.search(me, "garage", obj{"mode": "keyword"})
	if !slices.Equal(names, []string{"docs/garage.md"}) || found.header["CC-Search-Mode"] != "keyword" {
		t.Fatalf("right after the answer: %v, %v", names, found.header)
	}
	w.indexed(me, a.num("id"), true)
	found, names = w.search(me, "vehicle", obj{"collection": "commandcenter_3"}, obj{"technology_id": 5, "category": "docs"})
	if !slices.Equal(names, []string{"docs/garage.md"}) || found.header["CC-Search-Mode"] != "hybrid" {
		t.Fatalf("by meaning: %v, %v", names, found.header)
	}
	r := found.list[0]
	meta := r["metadata"].(map[string]any)
	if r["title"] != "Garage" || r["category"] != "docs" || r["technology_id"] != 5.0 || r["content"] != strings.TrimSpace(guide) ||
		meta["document_id"] != float64(a.num("id")) || meta["chunk_index"] != 0.0 || meta["mode"] != "hybrid" || meta["alpha"] != .5 ||
		meta["vector"].(map[string]any)["rank"] != 1.0 || meta["lexical"].(map[string]any)["rank"] != nil || !slices.Equal(meta["heading_path"].([]any), []any{"Garage"}) {
		t.Errorf("result %v", r)
	}
	if s := r["score"].(float64); s <= 0 || s > 1 {
		t.Errorf("score %v", s)
	}
	found, _ = w.search(me, "+garäge* vehicle", obj{"explain": true, "neighbours": 1, "group": "document", "offset": 0, "diversity": .2})
	if found.header["CC-Search-Total"] != "1" || found.header["CC-Search-Query"] != "+gar%C3%A4ge* vehicle" || len(found.list) != 1 {
		t.Fatalf("by a query: %v, %v", found.header, found.list)
	}
	r = found.list[0]
	if meta := r["metadata"].(map[string]any); len(r["highlights"].([]any)) == 0 || meta["query"] != "+garäge* vehicle" || len(meta["explanation"].(map[string]any)["terms"].([]any)) != 1 {
		t.Errorf("result %v", r)
	}
}

func TestFactsAreSaidInOrder(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	me := member(1)
	type fact struct {
		seq  uint64
		text string
	}
	said := make(chan fact, 10)
	say := func(m bus.Meta, what ...any) { said <- fact{m.Sequence, fmt.Sprint(what...)} }
	ear := w.env.Bus("auth")
	w.env.Run(
		bus.Follow(ear, func(_ context.Context, m bus.Meta, e *knowledgev1.DocumentReceived) {
			say(m, "received ", e.GetDocumentId(), " v", e.GetVersion(), " ", m.Project)
		}),
		bus.Follow(ear, func(_ context.Context, m bus.Meta, e *knowledgev1.DocumentIndexed) {
			say(m, "indexed ", e.GetDocumentId(), " v", e.GetVersion(), " ", e.GetEmbeddingModel())
		}),
		bus.Follow(ear, func(_ context.Context, m bus.Meta, e *knowledgev1.DocumentDeleted) {
			say(m, "deleted ", e.GetDocumentId(), " v", e.GetVersion())
		}),
	)
	id := w.text(me, "a.md", "hello").ok(201).num("id")
	w.indexed(me, id, true)
	w.command("deleteDocument", "", me, obj{"document_id": id}).ok(204)
	var got []fact
	for range 3 {
		got = append(got, bustest.Await(w.env, said))
	}
	// Each kind is heard for itself; the order is that of the stream.
	slices.SortFunc(got, func(a, b fact) int { return cmp.Compare(a.seq, b.seq) })
	for i, want := range []string{fmt.Sprint("received ", id, " v1 1"), fmt.Sprint("indexed ", id, " v1 test-model"), fmt.Sprint("deleted ", id, " v2")} {
		if got[i].text != want {
			t.Errorf("said %q, want %q", got[i].text, want)
		}
	}
}

func TestSameContentIsAnsweredWithTheSameDocument(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	me := member(1)
	first := w.upload(me, "a.md", "", guide, nil, obj{"category": "docs"}).ok(201)
	w.indexed(me, first.num("id"), true)
	embedded := w.model.Texts()
	again := w.upload(me, "a.md", "", guide, nil, obj{"category": "docs"}).ok(201)
	if again.num("id") != first.num("id") || again.num("version") != 1 || again.body["state"] != "indexed" {
		t.Errorf("again: %v", again.body)
	}
	next := w.upload(me, "a.md", "", guide+"\n## Door\n\n"+strings.Repeat("The door is open. ", 80), nil, obj{"category": "docs"}).ok(201)
	if next.num("id") != first.num("id") || next.num("version") != 2 {
		t.Errorf("replaced: %v", next.body)
	}
	w.indexed(me, first.num("id"), true)
	if n := w.model.Texts() - embedded; n != int(next.num("chunks_added"))-1 && n != int(next.num("chunks_added")) {
		t.Errorf("%d texts embedded for %d chunks", n, next.num("chunks_added"))
	}
	if _, names := w.search(me, "door", nil); len(names) == 0 {
		t.Error("the new text is not found")
	}
	w.upload(me, "a.md", "", "Something else.", nil, obj{"category": "docs"}).ok(201)
	if _, names := w.search(me, "door", obj{"mode": "keyword"}); len(names) != 0 {
		t.Errorf("the old text is found: %v", names)
	}
}

func TestRetriedCommandIsOneDocument(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	me := member(1)
	body := obj{"body": obj{"title": "A", "content": "hello", "category": "docs"}}
	a := w.command("addTextDocument", "key", me, body).ok(201)
	b := w.command("addTextDocument", "key", me, body).ok(201)
	if a.num("id") != b.num("id") || b.num("version") != 1 {
		t.Errorf("%v and %v", a.body, b.body)
	}
	w.command("addTextDocument", "key", me, obj{"body": obj{"title": "B", "content": "other", "category": "docs"}}).refused(errs.Invalid, "")
	if page := w.request("listDocuments", me, obj{}).ok(200); page.num("total") != 1 {
		t.Errorf("%v", page.body)
	}
}

func TestDocumentsOfATechnologyGoWithIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	me := member(1)
	for i, fields := range []obj{{"technology_id": 5}, {"technology_id": 5}, {"technology_id": 6}, {}} {
		fields["category"] = "docs"
		w.upload(me, fmt.Sprintf("docs/%d.md", i), "text/markdown", fmt.Sprintf("# Garage %d", i), nil, fields).ok(201)
	}
	w.upload(member(2), "docs/other.md", "text/markdown", "# Garage", nil, obj{"category": "docs", "technology_id": 5}).ok(201)
	for range 2 { // it may come twice
		w.env.Say(&researchv1.TechnologyRemoved{ProjectId: 1, TechnologyId: 5, Version: 2})
	}
	bustest.Eventually(w.env, func() bool { return w.request("listDocuments", me, obj{"skip": 0, "limit": 10}).num("total") == 2 })
	if n := w.request("listDocuments", member(2), obj{"skip": 0, "limit": 10}).num("total"); n != 1 {
		t.Errorf("another project has %v documents", n)
	}
}

func TestDeletedDocumentIsGoneFromEverySearch(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	me := member(1)
	a := w.text(me, "a.md", "unicorns dance").ok(201)
	b := w.text(me, "b.md", "unicorns sleep").ok(201)
	if _, names := w.search(me, "unicorns", nil); len(names) != 2 {
		t.Fatalf("found %v", names)
	}
	w.command("deleteDocument", "", bustest.Person(8, 1, tenant.Member), obj{"document_id": a.num("id")}).refused(errs.Forbidden, "admin")
	w.command("deleteDocument", "", me, obj{"document_id": a.num("id")}).ok(204)
	if _, names := w.search(me, "unicorns", nil); !slices.Equal(names, []string{"b.md"}) {
		t.Errorf("found %v", names)
	}
	w.request("getDocument", me, obj{"document_id": a.num("id")}).refused(errs.NotFound, "no such document")
	w.command("deleteDocument", "", me, obj{"document_id": a.num("id")}).refused(errs.NotFound, "")
	c := w.text(me, "c.md", "gryphons", obj{"repository_id": 4}).ok(201)
	for _, id := range []int64{b.num("id"), c.num("id")} {
		w.command("deleteDocument", "", me, obj{"document_id": id, "repository_id": 5}).refused(errs.NotFound, "no such document")
	}
	w.command("deleteDocument", "", me, obj{"document_id": c.num("id"), "repository_id": 4}).ok(204)
	w.command("deleteDocument", "", bustest.Person(8, 1, tenant.Admin), obj{"document_id": b.num("id")}).ok(204)
}

func TestProjectsDoNotSeeEachOther(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := member(1), member(2)
	id := w.text(a, "a.md", "secret of one").ok(201).num("id")
	w.text(b, "b.md", "secret of two").ok(201)
	for _, mode := range []string{"keyword", "hybrid", "vector"} {
		for who, forbidden := range map[tenant.Project]string{1: "b.md", 2: "a.md"} {
			if _, names := w.search(member(who), "secret", obj{"mode": mode}); slices.Contains(names, forbidden) {
				t.Errorf("%s: project %d finds %v", mode, who, names)
			}
		}
	}
	w.request("getDocument", b, obj{"document_id": id}).refused(errs.NotFound, "")
	w.command("deleteDocument", "", bustest.Person(7, 2, tenant.Owner), obj{"document_id": id}).refused(errs.NotFound, "")
	if page := w.request("listDocuments", b, obj{}).ok(200); page.num("total") != 1 {
		t.Errorf("%v", page.body)
	}
}

func TestRepositoryAndCollectionTogetherNarrow(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	me := member(1)
	w.text(me, "both.md", "garage", obj{"repository_id": 4, "collection": "team"}).ok(201)
	w.text(me, "other.md", "garage", obj{"repository_id": 5, "collection": "team", "category": "code"}).ok(201)
	w.text(me, "elsewhere.md", "garage", obj{"repository_id": 4}).ok(201)
	for _, c := range []struct {
		within     obj
		names      []string
		categories string
	}{
		{obj{"repository_id": 4, "collection": "team"}, []string{"both.md"}, `["docs"]`},
		{obj{"repository_id": 5, "collection": "team"}, []string{"other.md"}, `["code"]`},
		{obj{"repository_id": 6, "collection": "team"}, nil, `[]`},
		{obj{"repository_id": 4}, []string{"elsewhere.md"}, `["docs"]`},
		{obj{"repository_id": 4, "collection": "commandcenter_4"}, []string{"elsewhere.md"}, `["docs"]`},
		{obj{"collection": "team"}, []string{"both.md", "other.md"}, `["code","docs"]`},
	} {
		_, names := w.search(me, "garage", merged(c.within, obj{"mode": "keyword"}))
		if slices.Sort(names); !slices.Equal(names, c.names) {
			t.Errorf("%v: found %v, want %v", c.within, names, c.names)
		}
		if a := w.request("listCategories", me, c.within).ok(200); string(a.raw) != c.categories {
			t.Errorf("%v: categories %s, want %s", c.within, a.raw, c.categories)
		}
		st := w.request("getKnowledgeStatistics", me, c.within).ok(200).body
		if n := st["database"].(map[string]any)["total_entries"]; n != float64(len(c.names)) {
			t.Errorf("%v: %v documents, want %d", c.within, n, len(c.names))
		}
	}
}

func merged(a, b obj) obj {
	out := maps.Clone(a)
	maps.Copy(out, b)
	return out
}

func TestListsStatisticsAndCounts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	me := member(1)
	w.indexed(me, w.text(me, "a.md", "one").ok(201).num("id"), true)
	w.indexed(me, w.text(me, "b.md", "two", obj{"category": "code", "repository_id": 4}).ok(201).num("id"), true)
	for op, want := range map[string]string{"listCollections": `["commandcenter_4","default"]`, "listCategories": `["code","docs"]`} {
		if a := w.request(op, me, obj{}).ok(200); string(a.raw) != want {
			t.Errorf("%s: %s, want %s", op, a.raw, want)
		}
	}
	if a := w.request("listCategories", me, obj{"collection": "default"}).ok(200); string(a.raw) != `["docs"]` {
		t.Errorf("%s", a.raw)
	}
	if a := w.request("listCollections", member(9), obj{}).ok(200); string(a.raw) != `[]` {
		t.Errorf("%s", a.raw)
	}
	st := w.request("getKnowledgeStatistics", me, obj{}).ok(200).body
	vectors, database := st["vector_db"].(map[string]any), st["database"].(map[string]any)
	if st["embedding_model"] != "test-model" || vectors["total_chunks"] != 2.0 || vectors["embedded_chunks"] != 2.0 || vectors["embedding_dimension"] != 384.0 ||
		database["total_entries"] != 2.0 || database["categories"].(map[string]any)["code"] != 1.0 || st["repository_id"] != nil ||
		st["collection"] != "*" || vectors["collection_name"] != "*" {
		t.Errorf("%v", st)
	}
	st = w.request("getKnowledgeStatistics", me, obj{"repository_id": 4}).ok(200).body
	if st["collection"] != "commandcenter_4" || st["repository_id"] != 4.0 || st["database"].(map[string]any)["total_entries"] != 1.0 {
		t.Errorf("%v", st)
	}
	page := w.request("listDocuments", me, obj{"skip": 1, "limit": 1}).ok(200)
	if items := page.body["items"].([]any); page.num("total") != 2 || len(items) != 1 || items[0].(map[string]any)["filename"] != "a.md" {
		t.Errorf("%v", page.body)
	}
	w.request("listDocuments", me, obj{"limit": 0}).refused(errs.Invalid, "limit")
	w.request("listDocuments", me, obj{"skip": -1}).refused(errs.Invalid, "skip")
	res, err := bus.CallInternal[*knowledgev1.CountDocumentsResponse](t.Context(), w.env.Bus("auth"), "knowledge", "countDocuments", &knowledgev1.CountDocumentsRequest{ProjectId: 1})
	if err != nil || res.GetDocuments() != 2 || res.GetChunks() != 2 {
		t.Errorf("%v, %v", res, err)
	}
}

func TestUnreadableUploadsAreRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	me := member(1)
	cat := obj{"category": "docs"}
	w.upload(me, "a.pdf", "application/pdf", "no PDF", nil, cat).refused(errs.Unsupported, "Markdown (.md)")
	w.upload(me, "a.txt", "", "a\x00b", nil, cat).refused(errs.Unsupported, "binary")
	w.upload(me, "a.txt", "", "caf\xe9", nil, cat).refused(errs.Invalid, "UTF-8")
	w.upload(me, "a.txt", "", "  ", nil, cat).refused(errs.Invalid, "empty")
	w.upload(me, "a.txt", "", strings.Repeat("x", 20<<20+1), nil, cat).refused(errs.TooLarge, "20 MiB")
	w.upload(me, "a.txt", "", "text", nil, obj{"category": ""}).refused(errs.Invalid, "category")
	w.upload(me, "a.txt", "", "text", obj{"repository_id": 1}, obj{"category": "x", "repository_id": 2}).refused(errs.Invalid, "repository_id")
	w.command("addDocument", "", me, obj{"body": cat}).refused(errs.Invalid, "file")
	w.request("queryKnowledgeBase", me, obj{"body": obj{"query": " "}}).refused(errs.Invalid, "query")
	w.request("queryKnowledgeBase", me, obj{"mode": "psychic", "body": obj{"query": "a"}}).refused(errs.Invalid, "mode")
}

// sentences is text of more chunks of 32 tokens than a call waits for.
func sentences(word string) string {
	return strings.Repeat(word+" two three four five six seven eight nine ten eleven twelve. ", 4600)
}

func TestAnUploadWhoseTextTakesLongIsAnsweredWhenItIsThere(t *testing.T) {
	t.Parallel()
	gate, held := make(chan struct{}), make(chan struct{}, 1)
	w := newWorld(t, func(_ *knowledge.Deps, c *knowledge.Config) { c.ChunkTokens, c.Jobs = 32, 1 })
	w.model.Before = func(ctx context.Context, _ int) error {
		select {
		case held <- struct{}{}:
		default:
		}
		select {
		case <-gate:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	me, cat := member(1), obj{"category": "docs"}
	w.text(me, "first.md", "hello").ok(201)
	bustest.Await(w.env, held) // from now on no job runs
	up := func(name, text string, status int) answer { return w.upload(me, name, "", text, nil, cat).ok(status) }
	state := func(a answer) *bus.OperationState {
		st, err := w.edge.Operation(t.Context(), me, a.id)
		if err != nil {
			t.Fatal(err)
		}
		return st
	}

	big := up("big.txt", sentences("one"), 202)
	if big.body["state"] != "indexing" || big.num("chunks_added") != 0 || big.body["job_id"] == nil {
		t.Errorf("accepted %v", big.body)
	}
	if st := state(big); !st.Pending || string(st.Answer.Body) != string(big.raw) || st.Operation != "addDocument" {
		t.Errorf("meanwhile %+v", st)
	}
	same := up("big.txt", sentences("one"), 202)
	if st := state(same); same.num("id") != big.num("id") || same.id == big.id || same.body["job_id"] != big.body["job_id"] || !st.Pending {
		t.Errorf("the same again %v, %+v", same.body, st)
	}
	gone := up("gone.txt", sentences("one"), 202)
	w.command("deleteDocument", "", me, obj{"document_id": gone.num("id")}).ok(204)
	old := up("replaced.txt", sentences("one"), 202)
	up("replaced.txt", "short", 201)

	close(gate)
	for name, c := range map[string]struct {
		answer
		kind errs.Kind
	}{"big": {big, ""}, "the same again": {same, ""}, "gone": {gone, errs.Conflict}, "replaced": {old, errs.Conflict}} {
		w.until(func() bool { return !state(c.answer).Pending })
		if st := state(c.answer); errs.KindOf(st.Err) != c.kind {
			t.Errorf("%s: %v", name, st.Err)
		}
	}
	done := w.read("addDocument", state(big).Answer, nil).ok(201)
	if done.num("id") != big.num("id") || done.num("chunks_added") < 2000 || done.body["job_id"] != big.body["job_id"] {
		t.Errorf("in the end %v", done.body)
	}
	if also := w.read("addDocument", state(same).Answer, nil).ok(201); also.num("id") != big.num("id") || also.num("chunks_added") != done.num("chunks_added") {
		t.Errorf("the same again in the end %v", also.body)
	}
	if got := w.indexed(me, big.num("id"), true); got["chunks"].(float64) < 2000 {
		t.Errorf("%v", got)
	}
}

func TestASmallDocumentDoesNotWaitForTheEndOfLargeOnes(t *testing.T) {
	t.Parallel()
	pace := make(chan struct{})
	w := newWorld(t, func(_ *knowledge.Deps, c *knowledge.Config) { c.ChunkTokens = 32 })
	w.model.Before = func(ctx context.Context, n int) error {
		if n < document.Batch {
			return nil
		}
		select {
		case <-pace:
			return nil
		case <-time.After(30 * time.Millisecond):
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	me, cat := member(1), obj{"category": "docs"}
	// More of them than there are workers, each for seconds.
	var large []int64
	for i := range 3 {
		large = append(large, w.upload(me, fmt.Sprintf("large%d.txt", i), "", sentences("one"), nil, cat).ok(202).num("id"))
	}
	w.until(func() bool {
		return w.request("getDocument", me, obj{"document_id": large[0]}).ok(200).num("chunks_embedded") > 0
	})
	for p := tenant.Project(1); p <= 2; p++ {
		other := member(p)
		w.indexed(other, w.text(other, "small.md", "hello").ok(201).num("id"), true)
	}
	for _, id := range large {
		if d := w.request("getDocument", me, obj{"document_id": id}).ok(200); d.body["state"] != "indexing" {
			t.Errorf("a large one is ready before the small ones: %v", d.body)
		}
	}
	close(pace)
	for _, id := range large {
		w.indexed(me, id, true)
	}
}

func TestWithoutModelEveryAnswerSaysSo(t *testing.T) {
	t.Parallel()
	found := make(chan struct{})
	m := &encodertest.Model{}
	w := newWorld(t, noModel(found, m))
	me := member(1)
	id := w.text(me, "a.md", "The car stands in the garage.").ok(201).num("id")
	got := w.indexed(me, id, false)
	if got["chunks_embedded"] != 0.0 {
		t.Errorf("%v", got)
	}
	a, names := w.search(me, "car", nil)
	if !slices.Equal(names, []string{"a.md"}) || a.header["CC-Search-Mode"] != "keyword" || a.header["CC-Search-Degraded"] != encoder.Unfetchable {
		t.Errorf("%v, %v", names, a.header)
	}
	if d := a.list[0]["metadata"].(map[string]any)["degraded"]; d == nil {
		t.Error("the result does not say that it is by words only")
	}
	if st := w.request("getKnowledgeStatistics", me, obj{}).ok(200).body; !strings.HasPrefix(st["embedding_model"].(string), "none") {
		t.Errorf("%v", st)
	}
}

func TestVectorsFollowWhenTheModelIsThere(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	me := member(1)
	id := w.text(me, "a.md", "The car stands in the garage.").ok(201).num("id")
	w.indexed(me, id, true)
	// As if it had been indexed without a model.
	err := w.db.InTenant(t.Context(), 1, func(ctx context.Context, tx *sqlx.Tx) error {
		for _, q := range []string{`DELETE FROM embeddings`, `UPDATE documents SET model = '', wanted = ''`} {
			if _, err := tx.ExecContext(ctx, q); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	// A second replica comes up, with a model.
	c := knowledge.DefaultConfig()
	b, err := bus.Connect(t.Context(), w.env.Config("knowledge"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	d := knowledge.Deps{DB: w.db, Bus: b}
	noModel(closed(), w.model)(&d, &c)
	m2, err := knowledge.New(d, c)
	if err != nil {
		t.Fatal(err)
	}
	w.env.Run(m2.Part())
	w.indexed(me, id, true)
	w.until(func() bool {
		_, names := w.search(me, "vehicle", obj{"mode": "vector"})
		return slices.Equal(names, []string{"a.md"})
	})
}

func closed() <-chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}

func TestProgressIsTold(t *testing.T) {
	t.Parallel()
	gate := make(chan struct{})
	w := newWorld(t)
	w.model.Before = func(ctx context.Context, _ int) error {
		select {
		case <-gate:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	me := member(1)
	a := w.text(me, "a.txt", strings.Repeat("one two three four five six seven eight nine ten. ", 800)).ok(201)
	heard := make(chan []byte, 100)
	stop, err := w.edge.FollowLive(t.Context(), 1, a.body["job_id"].(string), func(b []byte) { heard <- b })
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	close(gate)
	for {
		var p struct{ Progress, Total int }
		if err := json.Unmarshal(bustest.Await(w.env, heard), &p); err != nil {
			t.Fatal(err)
		}
		if p.Total > 0 && p.Progress == p.Total {
			break
		}
	}
	if d := w.indexed(me, a.num("id"), true); d["job_id"] != a.body["job_id"] {
		t.Errorf("%v", d)
	}
}

func TestPurgeTwiceChangesNothingMore(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	me := member(1)
	w.upload(me, "a.md", "", guide, nil, obj{"category": "docs"}).ok(201)
	w.text(member(2), "b.md", "stays").ok(201)
	w.search(me, "garage", nil)
	purged := make(chan int32, 10)
	w.env.Run(bus.Follow(w.env.Bus("auth"), func(_ context.Context, m bus.Meta, e *platformv1.ProjectPurged) {
		if m.Project == 1 {
			purged <- e.GetVersion()
		}
	}))
	order := &authv1.ProjectDeleting{ProjectId: 1, Version: 4}
	w.env.SayAs("order-1", order)
	if v := bustest.Await(w.env, purged); v != 4 {
		t.Errorf("version %d", v)
	}
	if _, names := w.search(me, "garage", nil); len(names) != 0 {
		t.Errorf("found %v", names)
	}
	w.text(me, "late.md", "late").refused(errs.NotFound, "gone")
	w.env.Say(order) // asked again, by another message: confirmed again
	if v := bustest.Await(w.env, purged); v != 4 {
		t.Errorf("version %d", v)
	}
	if _, names := w.search(member(2), "stays", obj{"mode": "keyword"}); len(names) != 1 {
		t.Errorf("the other project finds %v", names)
	}
}

func TestManyDocumentsAtOnceAreAllFound(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	me := member(1)
	var wg sync.WaitGroup
	for i := range 24 {
		wg.Go(func() {
			w.text(me, fmt.Sprintf("%d.md", i), fmt.Sprintf("needle%d in the hay", i)).ok(201)
			if _, names := w.search(me, fmt.Sprintf("needle%d", i), obj{"mode": "keyword"}, obj{"limit": 1}); !slices.Equal(names, []string{fmt.Sprintf("%d.md", i)}) {
				t.Errorf("needle%d: %v", i, names)
			}
		})
	}
	wg.Wait()
}

func TestASearchThatIsAskedAgainIsAnsweredFromMemoryUntilADocumentComes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	me := member(1)
	w.indexed(me, w.text(me, "a.md", "A lever moves.").ok(201).num("id"), true)
	kept := func(how obj) string {
		a, _ := w.search(me, "lever", how)
		return a.header["CC-Search-Cached"]
	}
	w.until(func() bool { kept(obj{}); return kept(obj{}) == "true" }) // the model is loaded meanwhile
	if got := kept(obj{"cache": false}); got != "" {
		t.Errorf("anew: %q", got)
	}
	w.indexed(me, w.text(me, "b.md", "Another lever.").ok(201).num("id"), true)
	if a, names := w.search(me, "lever", obj{}); a.header["CC-Search-Cached"] != "" || len(names) != 2 {
		t.Errorf("behind another document: %v, %v", names, a.header)
	}
}
