package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/commandcenter/commandcenter/services/commandcenter/internal/client"
)

func (e *env) projectRename() *cobra.Command {
	return ends(&cobra.Command{
		Use:     "rename ID|NAME|SLUG NEW-NAME",
		Short:   "Give a project another name",
		Long:    "Everything else of it stays: its id, its members, and what is in it.",
		Example: "  commandcenter project rename Apollo 'Apollo 11'",
		Args:    nargs(2, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := e.session()
			if err != nil {
				return err
			}
			p, err := e.picked(cmd.Context(), s, args[0])
			if err != nil {
				return err
			}
			key := uuid.NewString()
			resp, err := s.UpdateProject(cmd.Context(), p.Id, &client.UpdateProjectParams{IdempotencyKey: &key}, client.ProjectUpdate{Name: &args[1]})
			now, err := client.Finish[client.ProjectResponse](cmd.Context(), s, resp, err)
			if err != nil {
				return err
			}
			if e.json {
				e.print(e.Out, now)
				return nil
			}
			e.line("Project %d, %s, is called %s now.", p.Id, p.Name, now.Name)
			return nil
		},
	}, append(slices.Clone(codesClient), exitNotFound)...)
}

// picked is a project of the caller, as it was typed.
func (e *env) picked(ctx context.Context, s *client.Session, word string) (client.ProjectResponse, error) {
	all, err := projects(ctx, s)
	if err != nil {
		return client.ProjectResponse{}, err
	}
	return pick(all, word)
}

func (e *env) projectDelete() *cobra.Command {
	var yes bool
	timeout := 5 * time.Minute
	c := &cobra.Command{
		Use:     "delete ID|NAME|SLUG",
		Aliases: []string{"rm"},
		Short:   "Delete a project with everything in it, and show the proof",
		Long: `The project is gone for everybody at once. Then each service removes what it holds
of it, looks again, and says what it has found; so are streams and buckets emptied.
The command waits for that and prints what was removed, what is left, and what is
kept for a reason. There is no way back.

It asks for the name of the project, unless --yes is given. Who deleted a project
may look at the proof later, and so may superusers: --json has every table and
stream, as GET /api/v1/projects/{project_id}/deletion has.`,
		Example: "  commandcenter project delete Apollo\n  commandcenter project delete p2 --yes --json | jq '.purges[] | {service, removed, left}'",
		Args:    nargs(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := e.session()
			if err != nil {
				return err
			}
			p, err := e.picked(cmd.Context(), s, args[0])
			if err != nil {
				return err
			}
			if !yes {
				if err := e.sure(p); err != nil {
					return err
				}
			}
			return e.deleteProject(cmd.Context(), s, p, timeout)
		},
	}
	c.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	c.Flags().DurationVar(&timeout, "timeout", timeout, "how long to wait for the proof at most; the deletion goes on")
	return ends(c, append(slices.Clone(codesClient), exitNotFound)...)
}

// sure asks for the name of what is about to be deleted.
func (e *env) sure(p client.ProjectResponse) error {
	refused := usageError{fmt.Errorf("project %d, %s, is not deleted: type its name, or give --yes", p.Id, p.Name)}
	if !terminal(e.In) {
		return refused
	}
	fmt.Fprintf(e.Err, "This deletes project %d with everything in it, for all its members, for good.\nType its name, %s, to go on: ", p.Id, e.paint(e.Err, bold, p.Name)) // only talk
	typed, err := bufio.NewReader(e.In).ReadString('\n')
	if err != nil || strings.TrimSpace(typed) != p.Name {
		return refused
	}
	return nil
}

func (e *env) deleteProject(ctx context.Context, s *client.Session, p client.ProjectResponse, timeout time.Duration) error {
	key := uuid.NewString()
	resp, err := s.DeleteProject(ctx, p.Id, &client.DeleteProjectParams{IdempotencyKey: &key})
	if _, err := client.Finish[any](ctx, s, resp, err); err != nil {
		return err
	}
	if err := s.ForgetProject(ctx, p.Id); err != nil { // what comes next would be about nothing
		return err
	}
	e.say("Project %d, %s, is gone for everybody. Its services purge.", p.Id, p.Name)
	proof, err := e.awaitDeletion(ctx, s, p.Id, timeout)
	if err != nil {
		return err
	}
	return e.printDeletion(proof)
}

// Pauses between two looks at a deletion.
const (
	lookSoon = 50 * time.Millisecond
	lookLate = 2 * time.Second
)

// awaitDeletion looks until the deletion has ended, and says of each service when
// it has purged.
func (e *env) awaitDeletion(ctx context.Context, s *client.Session, id int64, timeout time.Duration) (client.ProjectDeletion, error) {
	errLate := codedError{fmt.Errorf("the deletion goes on after %s: GET /api/v1/projects/%d/deletion tells how far it is", timeout, id), exitUnavailable}
	if timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, timeout, errLate)
		defer cancel()
	}
	told := map[string]bool{}
	for pause := lookSoon; ; pause = min(pause*3/2, lookLate) {
		d, err := client.Into[client.ProjectDeletion](s.GetProjectDeletion(ctx, id))
		if errors.Is(context.Cause(ctx), errLate) {
			return d, errLate
		}
		if err != nil {
			return d, fmt.Errorf("the project is gone, and how its purge goes cannot be read: %w", err)
		}
		for _, x := range d.Purges {
			if x.ConfirmedAt != nil && !told[x.Service] {
				told[x.Service] = true
				e.say("  %s purged, %s later.", x.Service, x.ConfirmedAt.Sub(d.RequestedAt).Round(time.Millisecond))
			}
		}
		if d.FinishedAt != nil {
			return d, nil
		}
		t := time.NewTimer(pause)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
		}
	}
}

func (e *env) printDeletion(d client.ProjectDeletion) error {
	if e.json {
		e.print(e.Out, d)
		return nil
	}
	number := func(n int64) string { return strconv.FormatInt(n, 10) }
	t := newTable(e.Out, "SERVICE", "LOOKED AT", "REMOVED", "LEFT", "KEPT", "WHY")
	for _, x := range d.Purges {
		what := "tables"
		if x.Service == "streams" {
			what = "streams and buckets"
		}
		var why []string
		for _, part := range x.Parts {
			if part.Kept > 0 {
				why = append(why, part.Name+": "+part.Why)
			}
		}
		t.row(x.Service, fmt.Sprintf("%d %s", len(x.Parts), what), number(x.Removed), number(x.Left), number(x.Kept), strings.Join(why, "; "))
	}
	return t.flush()
}
