package inbox_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/bus/bustest"
	"github.com/commandcenter/commandcenter/pkg/pg/pgtest"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	authv1 "github.com/commandcenter/commandcenter/proto-events/auth/v1"

	"github.com/commandcenter/commandcenter/services/knowledge"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/inbox"
)

func TestDeletedProjectIsPurgedAndThenForgotten(t *testing.T) {
	t.Parallel()
	env := bustest.New(t, "auth", "knowledge")
	heard := make(chan string, 10)
	fail := make(chan error, 1)
	fail <- errors.New("not now")
	in := bus.NewInbox(env.Bus("knowledge"), bus.InboxConfig{Service: "knowledge", DB: pgtest.New(t, knowledge.Migrations)})
	(&inbox.Handlers{
		Purge: func(_ context.Context, p tenant.Project, version int, consumer, message string) error {
			select {
			case err := <-fail:
				heard <- "failed"
				return err
			default:
			}
			heard <- fmt.Sprintf("purge %d v%d by %s of %s", p, version, message, consumer)
			return nil
		},
		Drop: func(p tenant.Project) { heard <- fmt.Sprintf("drop %d", p) },
	}).Register(in)
	env.Run(in)
	id := env.Say(&authv1.ProjectDeleting{ProjectId: 3, Version: 9})
	for _, want := range []string{"failed", "purge 3 v9 by " + id + " of evt-knowledge-auth-project-deleting-v1", "drop 3"} {
		if got := bustest.Await(env, heard); got != want {
			t.Fatalf("heard %q, want %q", got, want)
		}
	}
}
