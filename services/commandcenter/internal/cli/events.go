package cli

import (
	"context"
	"encoding/json"
	"math"
	"time"

	"github.com/spf13/cobra"

	"github.com/commandcenter/commandcenter/services/commandcenter/internal/client"
)

type eventFlags struct {
	service, noun, fact, about, after string
	since                             time.Duration
	limit                             int
	internal, follow                  bool
	past                              bool   // whether what was said is asked for
	project                           *int64 // nil for the one that the server takes
}

func (e *env) busEvents() *cobra.Command {
	var f eventFlags
	c := &cobra.Command{
		Use:   "events",
		Short: "What was said in the project, and what is said from now on (over HTTP)",
		Long: `Asks the server for facts of the project, as the user that you are logged in as.
With --follow it shows what is said from now on, without gap or repetition, also
after the connection or the server was away; with --since or --after as well, it
begins with all of the past from there. With --json each fact that is followed
is one line.`,
		Example: `  commandcenter bus events --since 1h
  commandcenter bus events --service knowledge --fact indexed --json | jq '.events[].data'
  commandcenter bus events --follow
  commandcenter bus events --follow --since 10m`,
		Args: nargs(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			f.past = !f.follow || cmd.Flags().Changed("since") || cmd.Flags().Changed("after")
			s, err := e.session()
			if err != nil {
				return err
			}
			return e.events(cmd.Context(), s, f)
		},
	}
	fs := c.Flags()
	fs.StringVar(&f.service, "service", "", "only what this service says")
	fs.StringVar(&f.noun, "noun", "", "only what is about this: document")
	fs.StringVar(&f.fact, "fact", "", "only this fact: indexed")
	fs.StringVar(&f.about, "about", "", "only what is about the thing of this id")
	lasting(fs, &f.since, "since", 24*time.Hour, "how far to look back; --follow does not, unless this is given")
	fs.StringVar(&f.after, "after", "", "only what was said after this position, in place of --since")
	fs.IntVarP(&f.limit, "limit", "n", 100, "most facts of the past")
	fs.BoolVar(&f.internal, "internal", false, "also facts that are not public; for an admin of the project")
	fs.BoolVarP(&f.follow, "follow", "f", false, "go on with what is said from now on")
	e.bind(c, false, "client.server", "client.ca_file", "client.project")
	return ends(c, codesClient...)
}

func (e *env) events(ctx context.Context, s *client.Session, f eventFlags) error {
	if f.follow {
		// By its number: the default project may be another when the stream is taken
		// up again, as when one was removed from it.
		project, err := thisProject(ctx, s)
		if err != nil {
			return err
		}
		f.project = &project
	}
	if !f.past {
		f.since, f.limit = 0, math.MaxInt // the place where the past ends
	}
	past, err := e.history(ctx, s, f)
	if err != nil {
		return err
	}
	if !f.follow {
		if e.json {
			e.print(e.Out, past)
			return nil
		}
		for _, x := range past.Events {
			e.printEvent(x)
		}
		if len(past.Events) == 0 {
			e.say("Nothing of that was said.")
		}
		if past.NextCursor != nil {
			e.say("There is more: --limit, or --after %s.", past.Position)
		}
		return nil
	}
	for _, x := range past.Events {
		if f.past {
			e.printEvent(x)
		}
	}
	e.say("Following. Ctrl-C ends it.")
	p := client.FollowEventsParams{
		XProjectID: f.project,
		Service:    some(f.service), Noun: some(f.noun), Fact: some(f.fact), AggregateId: some(f.about), Internal: &f.internal, After: &past.Position,
	}
	return s.Follow(ctx, p, func(x client.Event) error { e.printEvent(x); return nil }, func(err error) { e.say("%s", err) })
}

// history reads page by page, since a page may hold less than was asked for.
func (e *env) history(ctx context.Context, s *client.Session, f eventFlags) (client.EventPage, error) {
	all := client.EventPage{Events: []client.Event{}}
	since := time.Now().Add(-f.since)
	p := client.ListEventsParams{
		XProjectID: f.project,
		Service:    some(f.service), Noun: some(f.noun), Fact: some(f.fact), AggregateId: some(f.about), Internal: &f.internal, After: some(f.after), Since: &since,
	}
	if f.after != "" {
		p.Since = nil
	}
	for {
		n := min(f.limit-len(all.Events), 500)
		p.Limit = &n
		page, err := client.Into[client.EventPage](s.ListEvents(ctx, &p))
		if err != nil {
			return all, err
		}
		all.Events = append(all.Events, page.Events...)
		all.NextCursor, all.Position = page.NextCursor, page.Position
		if page.NextCursor == nil || len(all.Events) >= f.limit {
			return all, nil
		}
		p.Cursor = page.NextCursor
	}
}

func (e *env) printEvent(x client.Event) {
	if e.json {
		e.print(e.Out, x)
		return
	}
	data, err := json.Marshal(x.Data)
	if err != nil {
		data = []byte("null")
	}
	e.line("%s %s", e.paint(e.Out, dim, x.RecordedAt.Local().Format("15:04:05.000")), e.paint(e.Out, bold, x.Subject))
	e.line("  %s", oneLine(string(data)))
}

// some is a parameter that is left out when it is empty.
func some(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
