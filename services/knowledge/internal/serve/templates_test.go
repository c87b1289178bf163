package serve_test

import (
	"context"
	"testing"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/services/knowledge"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/encoder"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/encoder/encodertest"
)

func TestAProjectBeginsAsATemplateSays(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(d *knowledge.Deps, _ *knowledge.Config) {
		d.Models = []encoder.Known{{Name: "all-mpnet-base-v2", Vectors: "mpnet", Choice: true, Load: func(context.Context) (encoder.Model, error) { return &encodertest.Model{ID: "mpnet"}, nil }}}
	})
	me := admin(1)
	list := w.request("listKnowledgeTemplates", me, obj{}).ok(200).list
	offered := map[string]any{}
	for _, x := range list {
		offered[x["name"].(string)] = x["model_offered"]
		if len(x["documents"].([]any)) != 2 {
			t.Errorf("%v", x)
		}
	}
	if len(list) != 4 || offered["ai-research"] != true || offered["documentation"] != false { // this instance has neither by default
		t.Errorf("%v", offered)
	}
	a := w.command("applyKnowledgeTemplate", "", me, obj{"template": "ai-research"}).ok(200)
	docs := a.body["documents"].([]any)
	if len(docs) != 2 || a.body["model_chosen"] != true || a.body["embedding_model"] != "all-mpnet-base-v2" {
		t.Errorf("%v", a.body)
	}
	if set := w.request("getKnowledgeSettings", me, obj{}).ok(200); set.body["embedding_model"] != "all-mpnet-base-v2" {
		t.Errorf("%v", set.body)
	}
	if _, names := w.search(me, "+spread", obj{"mode": "keyword"}, obj{"category": "template"}); len(names) != 1 || names[0] != "template/ai-research/experiment.md" {
		t.Errorf("%v", names)
	}
	again := w.command("applyKnowledgeTemplate", "", me, obj{"template": "ai-research"}).ok(200)
	if x, y := docs[0].(map[string]any), again.body["documents"].([]any)[0].(map[string]any); x["id"] != y["id"] || y["version"] != 1.0 {
		t.Errorf("again: %v, before %v", y, x)
	}
	// A model that is not here leaves what was chosen.
	if a := w.command("applyKnowledgeTemplate", "", me, obj{"template": "support-kb"}).ok(200); a.body["model_chosen"] != false {
		t.Errorf("%v", a.body)
	}
	if set := w.request("getKnowledgeSettings", me, obj{}).ok(200); set.body["embedding_model"] != "all-mpnet-base-v2" {
		t.Errorf("%v", set.body)
	}
	w.command("applyKnowledgeTemplate", "", me, obj{"template": "magic"}).refused(errs.Invalid, "no such template")
}
