package contract

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
)

func TestAFilterTakesOperationsThatThereAre(t *testing.T) {
	t.Parallel()
	c, err := Load([]byte(strings.Replace(doc, "name: limit, in: query", "name: operation, in: query, schema: {type: string, x-operation-id: [grantAccess]}}\n        - {name: limit, in: query", 1)))
	if err != nil {
		t.Fatal(err)
	}
	for said, want := range map[string]string{
		"createThing": "", "grantAccess": "", "listParts": "",
		"creatething": "'createThing'", "thingCreate": "'createThing'", "grant": "'grantAccess'", "zzz": "/docs", "": "/docs",
	} {
		_, fields := c.Operation("listParts").Parameters(nil, Values{Path: []string{"42", "abc"}, Query: url.Values{"operation": {said}}})
		switch {
		case want == "" && len(fields) > 0, want != "" && len(fields) != 1:
			t.Errorf("%q: %+v", said, fields)
		case want == "":
		case fields[0].Type != "enum" || place(fields[0]) != "query.operation" || !strings.Contains(fields[0].Msg, want):
			t.Errorf("%q: %+v", said, fields)
		case !strings.Contains(fmt.Sprint(fields[0].Ctx["expected"]), "createThing"):
			t.Errorf("%q: allowed are %v", said, fields[0].Ctx)
		}
	}
	for _, bad := range []string{"x-operation-id: yes", "x-operation-id: [1]", "x-operation-id: [a], enum: [b]"} {
		_, err := Load([]byte(strings.Replace(doc, "name: limit, in: query", "name: operation, in: query, schema: {type: string, "+bad+"}}\n        - {name: limit, in: query", 1)))
		if err == nil || !strings.Contains(err.Error(), "x-operation-id") {
			t.Errorf("%s: %v", bad, err)
		}
	}
}
