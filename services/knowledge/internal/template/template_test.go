package template

import (
	"strings"
	"testing"
)

func TestEveryTemplateHasWhatItNames(t *testing.T) {
	t.Parallel()
	found, err := All()
	if err != nil || len(found) != 4 {
		t.Fatalf("%d, %v", len(found), err)
	}
	for _, x := range found {
		if x.Title == "" || x.Description == "" || len(x.Documents) < 2 {
			t.Errorf("%+v", x)
		}
		for _, d := range x.Documents {
			if !strings.HasPrefix(d.Source, "template/"+x.Name+"/") || d.Title == "" || strings.ContainsAny(d.Title, "#\n") || len(d.Content) < 300 || len(d.Content) > 4000 {
				t.Errorf("%s: %q, %d bytes", d.Source, d.Title, len(d.Content))
			}
		}
	}
	if all[0].Documents[0].Content != "" {
		t.Error("what is asked for changes what there is")
	}
}

func TestTheModelOfATemplateIsChosenWhereItIsOffered(t *testing.T) {
	t.Parallel()
	x := Template{Model: "b"}
	for _, c := range []struct {
		first  string
		others []string
		want   string
		ok     bool
	}{{"b", []string{"a"}, "", true}, {"a", []string{"c", "b"}, "b", true}, {"a", nil, "", false}} {
		if got, ok := x.Choose(c.first, c.others); got != c.want || ok != c.ok {
			t.Errorf("%+v: %q, %v", c, got, ok)
		}
	}
}
