package serve

import (
	"maps"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/pg"
)

func TestEveryOperationOfTheContractIsAnsweredAsItSays(t *testing.T) {
	t.Parallel()
	doc, err := openapi3.NewLoader().LoadFromFile("../../../gateway/openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{}
	for _, item := range doc.Paths.Map() {
		for _, op := range item.Operations() {
			if op.Extensions["x-service"] == "federation" {
				want[op.OperationID], _ = op.Extensions["x-delivery"].(string)
			}
		}
	}
	s := bus.NewServer(nil, bus.ServerConfig{Service: "federation", DB: &pg.DB{}})
	(&Handlers{}).Register(s)
	got := map[string]string{}
	for _, st := range s.Stats() {
		if st.Delivery != "internal" {
			got[st.Operation] = st.Delivery
		}
	}
	if !maps.Equal(got, want) {
		t.Errorf("answered: %v\ncontract: %v", got, want)
	}
}
