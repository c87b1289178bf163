package inbox_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/bus/bustest"
	"github.com/commandcenter/commandcenter/pkg/pg/pgtest"
	"github.com/commandcenter/commandcenter/pkg/purge"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	events "github.com/commandcenter/commandcenter/proto-events"
	platformv1 "github.com/commandcenter/commandcenter/proto-events/platform/v1"

	auth "github.com/commandcenter/commandcenter/services/auth"
	"github.com/commandcenter/commandcenter/services/auth/internal/inbox"
)

type confirmation struct {
	project tenant.Project
	holder  string
}

// ledger hears confirmations; the first of each fails when told to.
type ledger struct {
	heard chan confirmation
	fail  chan error
}

func (l ledger) Purged(_ context.Context, id tenant.Project, holder string, _ []purge.Part) error {
	select {
	case err := <-l.fail:
		return err
	default:
	}
	l.heard <- confirmation{id, holder}
	return nil
}

func listen(t *testing.T) (*bustest.Env, ledger) {
	t.Helper()
	env := bustest.New(t, "auth", "knowledge")
	l := ledger{heard: make(chan confirmation, 8), fail: make(chan error, 1)}
	in := bus.NewInbox(env.Bus("auth"), bus.InboxConfig{DB: pgtest.New(t, auth.Migrations)})
	(&inbox.Handlers{Deletion: l, Confirmed: func() {}}).Register(in)
	env.Run(in)
	return env, l
}

func TestPurgeIsHeardOnceHoweverOftenItIsSaid(t *testing.T) {
	t.Parallel()
	env, l := listen(t)
	l.fail <- errors.New("the database is away")
	first := &platformv1.ProjectPurged{ProjectId: 42, Version: 2, Service: "knowledge"}
	id := env.Say(first) // fails once, is delivered again
	if got := bustest.Await(env, l.heard); got != (confirmation{42, "knowledge"}) {
		t.Fatalf("heard %+v", got)
	}
	// The stream forgets ids after a while; the record of the inbox does not.
	say(t, env, id, "evt.p42.knowledge.project.purged.v1", first)
	env.Say(&platformv1.ProjectPurged{ProjectId: 43, Version: 2, Service: "knowledge"})
	if got := bustest.Await(env, l.heard); got != (confirmation{43, "knowledge"}) {
		t.Errorf("heard %+v: the first one again", got)
	}
}

func TestPurgeSaidForAnotherServiceOrProjectIsNotBelieved(t *testing.T) {
	t.Parallel()
	env, l := listen(t)
	for subject, e := range map[string]*platformv1.ProjectPurged{
		"evt.p42.graph.project.purged.v1":     {ProjectId: 42, Version: 2, Service: "knowledge"},
		"evt.p41.knowledge.project.purged.v1": {ProjectId: 42, Version: 2, Service: "knowledge"},
	} {
		say(t, env, uuid.NewString(), subject, e)
	}
	env.Say(&platformv1.ProjectPurged{ProjectId: 43, Version: 2, Service: "knowledge"})
	if got := bustest.Await(env, l.heard); got != (confirmation{43, "knowledge"}) {
		t.Errorf("believed %+v", got)
	}
}

// say publishes a fact on a subject of one's choice, under a fresh message id
// of the stream.
func say(t *testing.T, env *bustest.Env, id, subject string, e *platformv1.ProjectPurged) {
	t.Helper()
	d, err := events.Describe(e)
	if err != nil {
		t.Fatal(err)
	}
	h, err := events.Headers(e, id, events.Source("test", d.Service), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	data, err := events.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := env.Bus(bustest.Edge).Publish(t.Context(), subject, uuid.NewString(), nats.Header(h), data); err != nil {
		t.Fatal(err)
	}
}
