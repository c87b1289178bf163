package serve

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/pg"
)

// extension reads a text extension of an operation.
func extension(t *testing.T, op *openapi3.Operation, name string) string {
	t.Helper()
	b, err := json.Marshal(op.Extensions[name])
	if err != nil {
		t.Fatal(err)
	}
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		t.Fatalf("%s of %s: %v", name, op.OperationID, err)
	}
	return s
}

func TestEveryOperationOfTheContractIsAnsweredAsItSays(t *testing.T) {
	t.Parallel()
	doc, err := openapi3.NewLoader().LoadFromFile("../../../gateway/openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{}
	for _, item := range doc.Paths.Map() {
		for _, op := range item.Operations() {
			if extension(t, op, "x-service") == "auth" {
				want[op.OperationID] = strings.Replace(extension(t, op, "x-delivery"), "upload", "command", 1) // one whose bytes go another way
			}
		}
	}
	s := bus.NewServer(nil, bus.ServerConfig{Service: "auth", DB: &pg.DB{}})
	(&Handlers{}).Register(s)
	got := map[string]string{}
	for _, st := range s.Stats() {
		// The edge asks for exportProject, and answers it with what it gathers.
		if st.Delivery != "internal" && st.Operation != "exportProject" {
			got[st.Operation] = st.Delivery
		}
	}
	if !maps.Equal(got, want) {
		t.Errorf("answered: %v\ncontract: %v", got, want)
	}
	if listed := slices.Sorted(slices.Values(Operations())); !slices.Equal(listed, slices.Sorted(maps.Keys(want))) {
		t.Errorf("listed: %v", listed)
	}
}

func TestSecretsTravelAsRequestsOnly(t *testing.T) {
	t.Parallel()
	s := bus.NewServer(nil, bus.ServerConfig{Service: "auth", DB: &pg.DB{}})
	(&Handlers{}).Register(s)
	for _, st := range s.Stats() {
		if slices.Contains([]string{"register", "login", "refreshToken", "logout", "changePassword", "issuePasswordReset", "resetPassword", "inviteMember", "acceptInvitation"}, st.Operation) && st.Delivery != "request" {
			t.Errorf("%s is delivered as %s: its secret would enter a stream", st.Operation, st.Delivery)
		}
	}
}
