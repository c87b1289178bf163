package serve_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/jmoiron/sqlx"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/ireval"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/postgres"
)

// judge keeps as many questions, each about the document of its number.
func (w *world) judge(me tenant.Identity, name string, questions int, more obj) answer {
	w.Helper()
	var topics, qrels strings.Builder
	for i := range questions {
		fmt.Fprintf(&topics, "q%d\twhich is about n%d\n", i, i)
		fmt.Fprintf(&qrels, "q%d 0 %d 1\n", i, i)
	}
	body := obj{"name": name, "format": "trec", "questions": topics.String(), "qrels": qrels.String()}
	for k, v := range more {
		body[k] = v
	}
	return w.command("importJudgements", "", me, obj{"body": body})
}

// village is a world with documents that are about their number.
func village(t *testing.T, documents int) (*world, tenant.Identity) {
	t.Helper()
	w, me := newWorld(t), member(1)
	for i := range documents {
		w.indexed(me, w.text(me, fmt.Sprintf("%d.md", i), fmt.Sprintf("Text about n%d and a car.", i)).ok(201).num("id"), true)
	}
	return w, me
}

// evaluated waits until an evaluation has ended.
func (w *world) evaluated(me tenant.Identity, id int64) answer {
	w.Helper()
	var a answer
	w.until(func() bool {
		a = w.request("getEvaluation", me, obj{"evaluation_id": id}).ok(200)
		return a.body["state"] == "done" || a.body["state"] == "failed"
	})
	return a
}

// raw is an answer that is a file.
func (w *world) raw(op string, me tenant.Identity, payload obj) (kind, text string) {
	w.Helper()
	a, err := w.edge.Request(w.Context(), bus.Target{Service: "knowledge", Operation: op, Project: me.Project}, me, w.json(payload))
	if err != nil {
		w.Fatal(err)
	}
	return a.Header["Content-Type"], string(a.Body)
}

func TestJudgedQuestionsAreKept(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	me := member(1)
	first := w.judge(me, "mine", 3, obj{"questions": "q0\ta\nq1\tb\nq7\tunjudged"}).ok(201)
	id := first.num("id")
	if first.body["unjudged"] != 1.0 || first.body["set"].(map[string]any)["questions"] != 2.0 || first.header["Location"] != fmt.Sprintf("/api/v1/knowledge/judgements/%d", id) {
		t.Errorf("%s", first.raw)
	}
	own := `{"id":"z 1","text":"x","relevant":[{"source":"a.md","heading":"H","grade":2}]}`
	w.command("importJudgements", "", me, obj{"body": obj{"name": "mine", "format": "json", "questions": own, "add": true}}).refused(errs.Invalid, "without blanks")
	added := w.command("importJudgements", "", me, obj{"body": obj{"name": "mine", "format": "json", "questions": strings.Replace(own, "z 1", "z1", 1), "add": true}}).ok(201)
	if added.num("id") != id || added.body["set"].(map[string]any)["questions"] != 3.0 {
		t.Errorf("%s", added.raw)
	}
	page := w.request("getJudgements", me, obj{"judgements_id": id, "skip": 1, "limit": 2}).ok(200)
	items := page.body["items"].([]any)
	if page.body["total"] != 3.0 || len(items) != 2 || items[0].(map[string]any)["id"] != "q1" || items[1].(map[string]any)["relevant"].([]any)[0].(map[string]any)["heading"] != "H" {
		t.Errorf("%s", page.raw)
	}
	w.judge(me, "mine", 2, nil).ok(201) // in place of those
	w.judge(me, "beir", 0, obj{"format": "beir", "questions": `{"_id":"1","text":"a"}`, "qrels": "query-id\tcorpus-id\tscore\n1\td\t1"}).ok(201)
	if all := w.request("listJudgements", me, obj{}).ok(200); len(all.list) != 2 || all.list[0]["name"] != "beir" || all.list[1]["questions"] != 2.0 || all.list[1]["imported_by"] != "user:7" {
		t.Errorf("%s", all.raw)
	}
	for name, c := range map[string]struct {
		more obj
		says string
	}{
		"a name":            {obj{"name": "a/b"}, "name must be"},
		"a format":          {obj{"format": "csv"}, "none of json, trec and beir"},
		"no judgements":     {obj{"qrels": ""}, "qrels are needed"},
		"both":              {obj{"format": "json"}, "qrels are needed"},
		"bad questions":     {obj{"questions": "x"}, "questions cannot be read: line 1: no tab"},
		"bad judgements":    {obj{"qrels": "x"}, "qrels cannot be read: the judgements: line 1"},
		"of other question": {obj{"qrels": "9 0 a 1"}, "none is of a question that is there"},
	} {
		body := obj{"name": "n", "format": "trec", "questions": "1\ta", "qrels": "1 0 a 1"}
		for k, v := range c.more {
			body[k] = v
		}
		w.command("importJudgements", name, me, obj{"body": body}).refused(errs.Invalid, c.says)
	}
	w.request("getJudgements", member(2), obj{"judgements_id": id}).refused(errs.NotFound, "no such set")
	w.request("getJudgements", me, obj{"judgements_id": id, "limit": 0}).refused(errs.Invalid, "limit must be")
	w.command("deleteJudgements", "", admin(1), obj{"judgements_id": id}).ok(204)
	w.command("deleteJudgements", "", admin(1), obj{"judgements_id": id}).refused(errs.NotFound, "no such set")
}

func TestAnEvaluationRunsAndItsTunedWeightIsTheProjects(t *testing.T) {
	t.Parallel()
	const questions = 24
	w, me := village(t, 6)
	set := w.judge(me, "mine", questions, nil).ok(201).num("id")
	began := w.command("startEvaluation", "", me, obj{"body": obj{"judgements_id": set, "label": "first", "tune": true}}).ok(201)
	id := began.num("id")
	a := w.evaluated(me, id)
	report, _ := a.body["report"].(map[string]any)
	if a.body["state"] != "done" || report == nil || a.body["asked"] != a.body["total"] || a.body["model"] != "test-model" || a.body["label"] != "first" || a.body["judgements"] != "mine" {
		t.Fatalf("%s", a.raw)
	}
	rows := report["rows"].([]any)
	row := func(i int) map[string]any { return rows[i].(map[string]any) }
	if len(rows) != 4 || report["queries"] != float64(questions) || len(report["curve"].([]any)) != 21 || row(0)["name"] != "keyword" || row(3)["tuned"] != true ||
		row(0)["figures"].(map[string]any)["recall@100"] != 0.25 {
		t.Fatalf("%s", a.raw)
	}
	conforms(t, "getEvaluation", 200, a.raw)

	page := w.request("listEvaluationQueries", me, obj{"evaluation_id": id, "row": "keyword", "limit": 20}).ok(200)
	if items := page.body["items"].([]any); page.body["total"] != float64(questions) || len(items) != 20 || items[0].(map[string]any)["figures"].(map[string]any)["ndcg@10"] != 0.0 {
		t.Errorf("%s", page.raw)
	}
	kind, text := w.raw("getEvaluationRun", me, obj{"evaluation_id": id, "row": "keyword"})
	run, err := ireval.ReadRun(strings.NewReader(text))
	if err != nil || !strings.HasPrefix(kind, "text/plain") || run["q3"]["3"] == 0 {
		t.Errorf("%s, %v, %v", kind, run["q3"], err)
	}
	if kind, text = w.raw("plotEvaluation", me, obj{"evaluation_id": id}); kind != "image/svg+xml" || !strings.HasPrefix(text, "<svg") {
		t.Errorf("%s %.40s", kind, text)
	}
	again := w.command("startEvaluation", "", me, obj{"body": obj{"judgements_id": set, "modes": []string{"vector"}}}).ok(201).num("id")
	w.evaluated(me, again)
	diff := w.request("compareEvaluations", me, obj{"evaluation_id": id, "row": "keyword", "with": again}).ok(200)
	if diff.body["queries"] != float64(questions) || diff.body["with_row"] != "vector" || diff.body["half"] != "all" {
		t.Errorf("%s", diff.raw)
	}
	if diff = w.request("compareEvaluations", me, obj{"evaluation_id": id, "with": again}).ok(200); diff.body["half"] != "report" || diff.body["queries"] != report["queries_report_half"] {
		t.Errorf("%s", diff.raw)
	}
	list := w.request("listEvaluations", me, obj{"judgements_id": set}).ok(200)
	if list.body["total"] != 2.0 || list.body["items"].([]any)[0].(map[string]any)["id"] != float64(again) {
		t.Errorf("%s", list.raw)
	}

	applied := w.command("applyEvaluation", "", admin(1), obj{"evaluation_id": id}).ok(200)
	if alpha := row(3)["setting"].(map[string]any)["alpha"]; applied.body["alpha"] != alpha || applied.body["mode"] != "hybrid" {
		t.Errorf("%s, tuned %v", applied.raw, alpha)
	}
	if applied = w.command("applyEvaluation", "", admin(1), obj{"evaluation_id": id, "body": obj{"row": "vector"}}).ok(200); applied.body["mode"] != "vector" {
		t.Errorf("%s", applied.raw)
	}
	w.command("applyEvaluation", "", admin(1), obj{"evaluation_id": again}).refused(errs.Conflict, "has not tuned")
	w.command("applyEvaluation", "", admin(1), obj{"evaluation_id": again, "body": obj{"row": "x"}}).refused(errs.Invalid, "has the rows vector")

	other := member(2)
	for _, op := range []string{"getEvaluation", "listEvaluationQueries", "getEvaluationRun", "plotEvaluation"} {
		w.request(op, other, obj{"evaluation_id": id}).refused(errs.NotFound, "no such evaluation")
	}
	w.command("applyEvaluation", "", admin(2), obj{"evaluation_id": id}).refused(errs.NotFound, "no such evaluation")
	w.request("compareEvaluations", me, obj{"evaluation_id": id, "with": 999}).refused(errs.NotFound, "no such evaluation")

	w.command("deleteJudgements", "", admin(1), obj{"judgements_id": set}).ok(204)
	if a = w.request("getEvaluation", me, obj{"evaluation_id": id}).ok(200); a.body["judgements_id"] != nil || a.body["judgements"] != "mine" {
		t.Errorf("%s", a.raw)
	}
	w.command("deleteEvaluation", "", admin(1), obj{"evaluation_id": id}).ok(204)
	w.command("deleteEvaluation", "", admin(1), obj{"evaluation_id": id}).refused(errs.NotFound, "no such evaluation")
	var left int
	if err := w.db.InTenant(t.Context(), 1, func(ctx context.Context, tx *sqlx.Tx) error {
		return tx.GetContext(ctx, &left, `SELECT count(*) FROM evaluation_answers WHERE project_id = 1 AND evaluation_id = $1`, id)
	}); err != nil || left != 0 {
		t.Errorf("%d answers are left: %v", left, err)
	}
}

func TestWhatAnEvaluationIsToldIsChecked(t *testing.T) {
	t.Parallel()
	w, me := village(t, 1)
	set := w.judge(me, "mine", 1, nil).ok(201).num("id")
	for says, more := range map[string]obj{
		"alpha must be":   {"alpha": 2},
		"fusion must be":  {"fusion": "sum"},
		"modes must be":   {"modes": []string{"magic"}},
		"be different":    {"modes": []string{"vector", "vector"}},
		"not be empty":    {"modes": []string{}},
		"no such set of ": {"judgements_id": 999},
	} {
		body := obj{"judgements_id": set}
		for k, v := range more {
			body[k] = v
		}
		a := w.command("startEvaluation", "", me, obj{"body": body})
		if e := errs.As(a.err); e == nil || !strings.Contains(e.Msg, says) {
			t.Errorf("%v: %d, %v", more, a.status, a.err)
		}
	}
	// Re-ranking that is not to be had fails the evaluation after its last try; the
	// report of what is not done is not there yet.
	id := w.command("startEvaluation", "", me, obj{"body": obj{"judgements_id": set, "modes": []string{"keyword"}, "collection": "none"}}).ok(201).num("id")
	a := w.evaluated(me, id)
	if a.body["state"] != "done" || a.body["collection"] != "none" {
		t.Errorf("%s", a.raw)
	}
	var r struct {
		Report struct {
			Rows []struct{ Figures map[string]float64 }
		}
	}
	if err := json.Unmarshal(a.raw, &r); err != nil || r.Report.Rows[0].Figures["recall@100"] != 0 {
		t.Errorf("%s", a.raw)
	}
	if n, err := postgres.New(w.db, func(string) string { return "" }).FailStranded(t.Context()); err != nil || n != 0 {
		t.Errorf("%d, %v", n, err)
	}
	if err := w.db.InTenant(t.Context(), 1, func(ctx context.Context, tx *sqlx.Tx) error {
		_, err := tx.ExecContext(ctx, `UPDATE evaluations SET state = 'running', report = NULL, job_id = gen_random_uuid() WHERE project_id = 1 AND id = $1`, id)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	w.request("plotEvaluation", me, obj{"evaluation_id": id}).refused(errs.Conflict, "the evaluation is running")
	if n, err := postgres.New(w.db, func(string) string { return "" }).FailStranded(t.Context()); err != nil || n != 1 {
		t.Errorf("%d, %v", n, err)
	}
	if a = w.evaluated(me, id); a.body["state"] != "failed" || a.body["error"] != "it failed repeatedly by an internal error" || a.body["finished_at"] == nil {
		t.Errorf("%s", a.raw)
	}
}
