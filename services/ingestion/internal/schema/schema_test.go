package schema_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/commandcenter/commandcenter/pkg/errs"

	"github.com/commandcenter/commandcenter/services/ingestion/internal/schema"
)

var paid = schema.Name{Team: "billing", Noun: "invoice", Fact: "paid", Version: 1}

func TestWhatIsNoSchemaIsRefusedWithTheFieldAtFault(t *testing.T) {
	t.Parallel()
	for document, want := range map[string]string{
		`{"type":"object"}`:              "",
		`{"type":"nothing"}`:             "schema",
		`true`:                           "schema",
		`{"$ref":"https://example.org"}`: "schema",
		`{"$ref":"file:///etc/passwd"}`:  "schema",
		`{"$ref":"#/$defs/none"}`:        "schema",
		`{"pattern":"("}`:                "schema",
		`{"x":"` + strings.Repeat("x", schema.MaxSchema) + `"}`: "schema",
	} {
		err := schema.Schema{Name: paid, Document: []byte(document)}.Check()
		if want == "" {
			if err != nil {
				t.Errorf("%s: %v", document, err)
			}
			continue
		}
		var e *errs.Error
		if !errors.As(err, &e) || e.Kind != errs.Invalid || len(e.Fields) != 1 || e.Fields[0].Loc[1] != want {
			t.Errorf("%.60s: %v", document, err)
		}
	}
	for _, n := range []schema.Name{{"Billing", "a", "b", 1}, {"billing", "a.b", "b", 1}, {"billing", "a", "", 1}, {"billing", "a", "b", 0}} {
		if err := (schema.Schema{Name: n, Document: []byte(`{}`)}).Check(); errs.KindOf(err) != errs.Invalid {
			t.Errorf("%+v: %v", n, err)
		}
	}
}

func TestAFactIsCheckedAgainstItsForm(t *testing.T) {
	t.Parallel()
	f, err := schema.Schema{Name: paid, Document: []byte(`{"type":"object","required":["total"],"properties":{"total":{"type":"number","minimum":0},"at":{"type":"string","format":"date-time"}}}`)}.Compile()
	if err != nil {
		t.Fatal(err)
	}
	for data, kind := range map[string]errs.Kind{
		`{"total":3.5}`: "", `{"total":3,"other":1}`: "", `{"total":-1}`: errs.Invalid, `{}`: errs.Invalid, `[]`: errs.Invalid, `{"total":1`: errs.Invalid,
		`{"total":1} x`: errs.Invalid, `{"total":1,"at":"today"}`: errs.Invalid, `{"total":1,"x":"` + strings.Repeat("x", schema.MaxData) + `"}`: errs.TooLarge,
	} {
		object, err := f.Read([]byte(data))
		if (err == nil) != (kind == "") || err != nil && errs.KindOf(err) != kind || err == nil && object["total"] == nil {
			t.Errorf("%.40s: %v %v", data, object, err)
		}
	}
}

func TestTwoSpellingsOfAFormAreTheSame(t *testing.T) {
	t.Parallel()
	s := schema.Schema{Name: paid, Document: []byte(`{"type":"object","title":"x"}`)}
	if !s.Same([]byte(`{ "title": "x", "type": "object" }`)) || s.Same([]byte(`{"type":"object"}`)) || s.Same([]byte(`{`)) {
		t.Error("compared wrongly")
	}
	if got := s.Subject(42); got != "ext.p42.billing.invoice.paid.v1" {
		t.Error(got)
	}
}
