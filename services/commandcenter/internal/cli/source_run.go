package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"
	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"github.com/commandcenter/commandcenter/services/commandcenter/internal/client"
)

// recode makes one value of another, by their JSON.
func recode(from, to any) error {
	b, err := json.Marshal(from)
	if err != nil || string(b) == "null" {
		return err
	}
	return json.Unmarshal(b, to)
}

func (e *env) sourceRun() *cobra.Command {
	var detach bool
	c := &cobra.Command{
		Use: "run ID|NAME", Short: "Ask a source now, and watch", Args: nargs(1, 1),
		Example: "  commandcenter source run \"The Go Blog\"\n  commandcenter source run 7 --detach",
		RunE: e.ofSource(func(cmd *cobra.Command, s *client.Session, x client.IngestionSourceResponse) error {
			r, err := client.Into[client.IngestionRun](s.TriggerManualRun(cmd.Context(), x.Id, &client.TriggerManualRunParams{}))
			if err != nil {
				return err
			}
			if detach {
				if e.json {
					e.print(e.Out, r)
					return nil
				}
				e.line("Run %s of %s is queued.", r.TaskId, oneLine(r.SourceName))
				return nil
			}
			return e.followRun(cmd.Context(), s, x.Id)
		}),
	}
	c.Flags().BoolVar(&detach, "detach", false, "do not watch it")
	return ends(c, codesClient...)
}

// look is how often a run is looked at.
const look = 400 * time.Millisecond

// followRun shows the latest run of a source until it has ended.
func (e *env) followRun(ctx context.Context, s *client.Session, id int64) error {
	var p *mpb.Progress
	var bar *mpb.Bar
	doing := ""
	if !e.json && terminal(e.Err) {
		p = mpb.NewWithContext(ctx, mpb.WithOutput(e.Err), mpb.WithWidth(40))
		bar = p.AddBar(0, mpb.BarRemoveOnComplete(), mpb.PrependDecorators(decor.Name("fetching ")),
			mpb.AppendDecorators(decor.CountersNoUnit("%d / %d documents "), decor.Any(func(decor.Statistics) string { return doing })))
	}
	end := func() {
		if bar != nil {
			bar.Abort(true)
			p.Wait()
		}
	}
	tick := time.NewTicker(look)
	defer tick.Stop()
	limit := 1
	for {
		page, err := client.Into[client.SourceRunPage](s.ListSourceRuns(ctx, id, &client.ListSourceRunsParams{Limit: &limit}))
		if err != nil {
			end()
			return err
		}
		if len(page.Items) > 0 {
			r := page.Items[0]
			if bar != nil {
				doing = oneLine(or(r.Doing, ""))
				bar.SetTotal(int64(max(r.Total, r.Seen)), false)
				bar.SetCurrent(int64(r.Seen))
			}
			if r.State == "done" || r.State == "failed" {
				end()
				return e.sayRun(r)
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			end()
			return context.Cause(ctx)
		}
	}
}

// took is what came of a run, in a line.
func took(r client.SourceRun) string {
	parts := []string{fmt.Sprintf("%d new or changed", r.Taken), fmt.Sprintf("%d unchanged", r.Unchanged)}
	for _, x := range []struct {
		n    int
		what string
	}{{r.Elsewhere, "of other sources"}, {r.Gone, "gone"}, {r.Failed, "failed"}} {
		if x.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", x.n, x.what))
		}
	}
	return strings.Join(parts, ", ") + "; " + size(r.Bytes)
}

func (e *env) sayRun(r client.SourceRun) error {
	if e.json {
		e.print(e.Out, r)
	}
	if r.State == "failed" {
		return codedError{errors.New(or(r.Error, "the run failed")), exitRefused}
	}
	if e.json {
		return nil
	}
	if r.Note != nil {
		e.line("%s", oneLine(*r.Note))
	}
	e.line("%s", took(r))
	if r.Error != nil {
		e.say("Not read: %s", oneLine(*r.Error))
	}
	return nil
}

func (e *env) sourceHistory() *cobra.Command {
	var limit int
	c := &cobra.Command{
		Use: "history ID|NAME", Short: "When a source was asked, and what came of it", Args: nargs(1, 1),
		Example: "  commandcenter source history 7 --limit 5",
		RunE: e.ofSource(func(cmd *cobra.Command, s *client.Session, x client.IngestionSourceResponse) error {
			page, err := client.Into[client.SourceRunPage](s.ListSourceRuns(cmd.Context(), x.Id, &client.ListSourceRunsParams{Limit: &limit}))
			if err != nil {
				return err
			}
			if e.json {
				e.print(e.Out, page.Items)
				return nil
			}
			t := newTable(e.Out, "STARTED", "TOOK", "BY", "STATE", "WHAT CAME OF IT")
			for _, r := range page.Items {
				d, what := "-", took(r)
				if r.StartedAt != nil && r.FinishedAt != nil {
					d = r.FinishedAt.Sub(*r.StartedAt).Round(10 * time.Millisecond).String()
				}
				if r.Error != nil {
					what = *r.Error
				} else if r.Note != nil && r.Seen == 0 {
					what = *r.Note
				}
				t.row(moment(r.StartedAt), d, string(r.Trigger), string(r.State), what)
			}
			return t.flush()
		}),
	}
	c.Flags().IntVar(&limit, "limit", 20, "most runs, up to 200")
	return ends(c, codesClient...)
}

func (e *env) sourcePreview() *cobra.Command {
	var limit int
	c := &cobra.Command{
		Use: "preview ID|NAME", Short: "What the next run of a source would take", Args: nargs(1, 1),
		Example: "  commandcenter source preview 7",
		RunE: e.ofSource(func(cmd *cobra.Command, s *client.Session, x client.IngestionSourceResponse) error {
			p, err := client.Into[client.SourcePreview](s.PreviewKeptSource(cmd.Context(), x.Id, &client.PreviewKeptSourceParams{Limit: &limit}))
			if err != nil {
				return err
			}
			return e.printPreview(p)
		}),
	}
	c.Flags().IntVar(&limit, "limit", 10, "most documents, up to 50")
	return ends(c, codesClient...)
}

func (e *env) printPreview(p client.SourcePreview) error {
	if e.json {
		e.print(e.Out, p)
		return nil
	}
	if p.Note != nil {
		e.line("%s", e.paint(e.Out, dim, oneLine(*p.Note)))
	}
	t := newTable(e.Out, "TITLE", "PUBLISHED", "SIZE", "KEPT AS")
	for _, d := range p.Documents {
		published := "-"
		if d.PublishedAt != nil {
			published = d.PublishedAt.Local().Format(time.DateOnly)
		}
		t.row(d.Title, published, size(int64(d.Size)), d.Place)
	}
	if len(p.Documents) > 0 {
		if err := t.flush(); err != nil {
			return err
		}
	}
	if p.More {
		e.say("And more.")
	}
	if p.Unchanged > 0 {
		e.say("%s as before.", count(p.Unchanged, "document"))
	}
	for _, f := range p.Failed {
		e.say("Not read: %s", oneLine(f))
	}
	if p.MovedTo != nil {
		e.say("It has moved to %s.", oneLine(*p.MovedTo))
	}
	return nil
}

func (e *env) sourceOPML() *cobra.Command {
	c := &cobra.Command{Use: "opml", Short: "Feeds as a list, of a feed reader and for one", Example: "  commandcenter source opml import feeds.opml\n  commandcenter source opml export feeds.opml"}
	return group(c, ends(&cobra.Command{
		Use: "import FILE", Short: "Fetch the feeds of a list", Args: nargs(1, 1), Example: "  commandcenter source opml import feeds.opml",
		RunE: func(cmd *cobra.Command, args []string) error {
			text, err := os.ReadFile(args[0])
			if err != nil {
				return codedError{err, exitUsage}
			}
			s, err := e.session()
			if err != nil {
				return err
			}
			key := uuid.NewString()
			resp, err := s.ImportOPML(cmd.Context(), &client.ImportOPMLParams{IdempotencyKey: &key}, client.OPMLImport{Opml: string(text)})
			r, err := client.Finish[client.OPMLImported](cmd.Context(), s, resp, err)
			if err != nil {
				return err
			}
			if e.json {
				e.print(e.Out, r)
				return nil
			}
			for _, x := range r.Sources {
				e.line("Added %s, %s", strconv.FormatInt(x.Id, 10), oneLine(x.Name))
			}
			e.line("%s added, %d there already.", count(r.Added, "feed"), r.Known)
			return nil
		},
	}, codesClient...), ends(&cobra.Command{
		Use: "export [FILE]", Short: "The feeds of the project as a list", Args: nargs(0, 1), Example: "  commandcenter source opml export feeds.opml\n  commandcenter source opml export > feeds.opml",
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := e.session()
			if err != nil {
				return err
			}
			resp, err := s.ExportOPML(cmd.Context(), &client.ExportOPMLParams{})
			if len(args) == 1 {
				return download(args[0])(resp, err)
			}
			if err == nil && resp.StatusCode != 200 {
				_, err = client.Into[any](resp, nil)
			}
			if err != nil {
				return err
			}
			defer resp.Body.Close() //nolint:errcheck // read only
			_, err = io.Copy(e.Out, resp.Body)
			return err
		},
	}, codesClient...))
}
