package serve_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/commandcenter/commandcenter/pkg/errs"
)

func (w *world) set(change obj) answer {
	w.Helper()
	return w.command("setKnowledgeSettings", "", admin(1), obj{"body": change}).ok(200)
}

func TestSearchesGoByTheSettingsOfTheProject(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	me := member(1)
	w.indexed(me, w.text(me, "car.md", "The automobile stands in the garage.").ok(201).num("id"), true)
	found := func(params obj) answer {
		t.Helper()
		a, names := w.search(me, "garage", params)
		if !slices.Equal(names, []string{"car.md"}) {
			t.Fatalf("found %v", names)
		}
		return a
	}
	how := func(a answer) string {
		meta := a.list[0]["metadata"].(map[string]any)
		return fmt.Sprint(a.header["CC-Search-Mode"], meta["alpha"], meta["fusion"])
	}
	if got := how(found(nil)); got != "hybrid0.5convex" {
		t.Errorf("at first %s", got)
	}
	before := found(nil).header["CC-Index-Generation"]
	set := w.set(obj{"alpha": 0.25, "fusion": "rrf"})
	if set.body["alpha"] != 0.25 || set.body["mode"] != nil || set.body["effective"].(map[string]any)["alpha"] != 0.25 {
		t.Errorf("%s", set.raw)
	}
	if a := found(nil); how(a) != "hybrid0.25rrf" || a.header["CC-Index-Generation"] == before {
		t.Errorf("afterwards %s, %v", how(a), a.header)
	}
	if got := how(found(obj{"alpha": 0.75, "fusion": "convex"})); got != "hybrid0.75convex" {
		t.Errorf("a search that says otherwise: %s", got)
	}
	w.set(obj{"mode": "keyword", "alpha": 0})
	if got := found(nil); got.header["CC-Search-Mode"] != "keyword" || got.header["CC-Search-Degraded"] != "" {
		t.Errorf("%v", got.header)
	}
	if got := how(found(obj{"mode": "hybrid"})); got != "hybrid0rrf" {
		t.Errorf("%s", got)
	}
	if set := w.set(obj{"mode": nil, "alpha": nil, "fusion": nil}); set.body["alpha"] != nil || set.body["effective"].(map[string]any)["mode"] != "hybrid" {
		t.Errorf("%s", set.raw)
	}
	if got := how(found(nil)); got != "hybrid0.5convex" {
		t.Errorf("as before: %s", got)
	}
	if got := w.request("getKnowledgeSettings", admin(2), obj{}).ok(200); got.body["alpha"] != nil {
		t.Errorf("of another project: %s", got.raw)
	}
	for _, c := range []struct {
		change obj
		words  string
	}{
		{obj{"mode": "magic"}, "mode must be"}, {obj{"alpha": 1.5}, "alpha must be"}, {obj{"fusion": "sum"}, "fusion must be"},
		{obj{"languages": []string{}}, "at least"}, {obj{"languages": []string{"tlh"}}, "different ones of en"}, {obj{"languages": []string{"de", "de"}}, "different ones"},
	} {
		w.command("setKnowledgeSettings", "", admin(1), obj{"body": c.change}).refused(errs.Invalid, c.words)
	}
}

func TestTextsAreSearchedInTheLanguagesOfTheProject(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	me := member(1)
	add := func(name, text string, more ...obj) {
		t.Helper()
		w.indexed(me, w.text(me, name, text, more...).ok(201).num("id"), false)
	}
	add("a.md", "Die Häuser der kleinen Stadt stehen an der alten Straße und werden seit vielen Jahren von den Menschen bewohnt.")
	add("b.md", "The houses of the small town stand on the old road, and people have been living in them for many years.")
	add("c.md", "Wohnungsbau: Häuser", obj{"text_language": "de"})
	find := func(query string) (answer, []string) {
		t.Helper()
		a, names := w.search(me, query, obj{"mode": "keyword"})
		slices.Sort(names)
		return a, names
	}
	// What is declared holds already.
	if a, names := find("haus"); !slices.Equal(names, []string{"c.md"}) || a.header["CC-Search-Languages"] != "en,de" {
		t.Errorf("%v, %v", names, a.header)
	}
	w.set(obj{"languages": []string{"en", "de"}})
	var a answer
	w.until(func() bool {
		var names []string
		a, names = find("haus")
		return slices.Equal(names, []string{"a.md", "c.md"})
	})
	if a.list[0]["metadata"].(map[string]any)["text_language"] != "de" || len(a.list[0]["highlights"].([]any)) != 1 {
		t.Errorf("%v", a.list[0])
	}
	if _, names := find("house"); !slices.Equal(names, []string{"b.md"}) {
		t.Errorf("%v", names)
	}
	// Another declaration of the same text.
	same := w.text(me, "c.md", "Wohnungsbau: Häuser", obj{"text_language": "en"}).ok(201)
	if d := w.indexed(me, same.num("id"), false); d["text_language"] != "en" || d["version"] != 2.0 {
		t.Errorf("%v", d)
	}
	if _, names := find("haus"); !slices.Equal(names, []string{"a.md"}) {
		t.Errorf("%v", names)
	}
	w.text(me, "x.md", "x", obj{"text_language": "zz"}).refused(errs.Invalid, "text_language must be one of")
}
