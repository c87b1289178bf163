package bustest

import (
	"context"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/proto"

	events "github.com/commandcenter/commandcenter/proto-events"

	"github.com/commandcenter/commandcenter/pkg/tenant"
)

func itoa(n int64) string { return strconv.FormatInt(n, 10) }

// Say publishes the fact as its owner's relay would, which need not be one of
// the test's services, and returns its message id. An owner with a contract
// must be allowed to say it.
func (e *Env) Say(m proto.Message) string {
	e.t.Helper()
	id := uuid.NewString()
	e.SayAs(id, m)
	return id
}

// SayAs publishes the fact under a given message id: the same id again within
// the stream's window is not stored again.
func (e *Env) SayAs(id string, m proto.Message) {
	e.t.Helper()
	d, err := events.Describe(m)
	if err != nil {
		e.t.Fatalf("bustest: %v", err)
	}
	k, err := events.Aggregate(m)
	if err != nil {
		e.t.Fatalf("bustest: %v", err)
	}
	h, err := events.Headers(m, id, events.Source("test", d.Service), time.Now())
	if err != nil {
		e.t.Fatalf("bustest: %v", err)
	}
	data, err := events.Marshal(m)
	if err != nil {
		e.t.Fatalf("bustest: %v", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	subject := d.Subject(tenant.Project(k.Project).Token())
	if _, _, err := e.Bus(d.Service).Publish(ctx, subject, id, nats.Header(h), data); err != nil {
		e.t.Fatalf("bustest: say %s: %v", subject, err)
	}
}

// Eventually asks again and again until ok, and fails the test when it never is:
// for what nobody tells of.
func Eventually(e *Env, ok func() bool) {
	e.t.Helper()
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	deadline := time.After(Patience)
	for !ok() {
		select {
		case <-again.C:
		case <-deadline:
			e.t.Fatal("bustest: waited in vain")
		}
	}
}

// Await receives from ch, or fails the test when nothing comes.
func Await[T any](e *Env, ch <-chan T) T {
	e.t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(Patience):
		e.t.Fatal("bustest: waited in vain")
		var none T
		return none
	}
}
