package bus_test

import (
	"context"
	"testing"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/bus/bustest"
	"github.com/commandcenter/commandcenter/pkg/tenant"
)

type echoRequest struct {
	ProjectID int64  `json:"project_id"`
	Text      string `json:"text"`
}

type echoAnswer struct {
	Text      string `json:"text"`
	Principal string `json:"principal"`
	Project   int64  `json:"project"`
}

func TestARequestIsAnsweredByTheServiceThatServesIt(t *testing.T) {
	t.Parallel()
	env := bustest.New(t, "auth")
	s := bus.NewServer(env.Bus("auth"), bus.ServerConfig{})
	bus.Request(s, "echo", func(ctx context.Context, r echoRequest) (echoAnswer, error) {
		id := tenant.From(ctx)
		return echoAnswer{r.Text, id.Principal, int64(id.Project)}, nil
	})
	env.Run(s)
	a, err := env.Bus(bustest.Edge).Request(t.Context(), bus.Target{Service: "auth", Operation: "echo", Project: 42}, bustest.Person(7, 42, tenant.Member), []byte(`{"text":"hello"}`))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := string(a.Body), `{"text":"hello","principal":"user:7","project":42}`; got != want || a.Status != 200 {
		t.Errorf("answer %d %s, want 200 %s", a.Status, got, want)
	}
}
