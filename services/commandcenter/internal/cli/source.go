package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/commandcenter/commandcenter/services/commandcenter/internal/client"
)

func (e *env) sourceCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "source",
		Short: "Where the documents of the project in use come from by themselves",
		Example: `  commandcenter source discover go.dev/blog
  commandcenter source add https://go.dev/blog/feed.atom --full-text
  commandcenter source list`,
	}
	e.bind(c, true, "client.server", "client.ca_file", "client.project")
	return group(c, e.sourceAdd(), e.sourceList(), e.sourceShow(), e.sourceEdit(), e.sourceRun(), e.sourcePreview(), e.sourceHistory(), e.sourceRemove(), e.sourceDiscover(), e.sourceOPML())
}

func (e *env) sourceAdd() *cobra.Command {
	var kind string
	var dry, detach bool
	c := &cobra.Command{
		Use: "add ADDRESS|FOLDER|WORD", Short: "Fetch documents from somewhere", Args: nargs(1, 1),
		Long: `Adds the source at an address, and shows its first run. Where the address is that of a
page, the feed that it names is taken; ` + "`source discover`" + ` shows which there are.`,
		Example: `  commandcenter source add https://go.dev/blog/feed.atom --full-text
  commandcenter source add go.dev/blog --schedule "0 6 * * *"
  commandcenter source add https://docs.example.com/guide/ --type documentation --schedule @weekly
  commandcenter source add NATS --type hackernews --keyword JetStream --min-points 50
  commandcenter source add /srv/handbook --type file_watcher --ignore drafts
  commandcenter source add https://example.com/feed.xml --dry-run`,
	}
	sourceFlags(c)
	c.Flags().StringVar(&kind, "type", "rss", "what it is: "+strings.Join(sourceTypes, ", "))
	c.Flags().BoolVar(&dry, "dry-run", false, "show what it would yield, and add nothing")
	c.Flags().BoolVar(&detach, "detach", false, "do not watch the first run")
	values(c, "type", sourceTypes...)
	c.RunE = func(cmd *cobra.Command, args []string) error {
		ctx := cmd.Context()
		fields, err := saidOfSource(cmd, map[string]any{})
		if err != nil {
			return err
		}
		s, err := e.session()
		if err != nil {
			return err
		}
		fields["type"], fields["url"] = kind, args[0]
		if kind == "hackernews" { // its argument is a word
			config, _ := fields["config"].(map[string]any)
			if config == nil {
				config = map[string]any{}
			}
			more, _ := config["keywords"].([]string)
			config["keywords"] = append([]string{args[0]}, more...)
			fields["config"] = config
			delete(fields, "url")
		}
		if kind == "file_watcher" {
			if fields["path"], err = filepath.Abs(args[0]); err != nil {
				return err
			}
			delete(fields, "url")
		}
		if kind == "rss" && fields["credentials"] == nil {
			found, err := discovered(ctx, s, args[0])
			if err != nil {
				return err
			}
			fields["url"] = or(found.Url, args[0])
			if fields["name"] == nil {
				fields["name"] = found.Name
			}
		}
		if fields["name"] == nil {
			fields["name"] = args[0]
		}
		b, err := body(fields)
		if err != nil {
			return err
		}
		if dry {
			p, err := client.Into[client.SourcePreview](s.PreviewSourceWithBody(ctx, &client.PreviewSourceParams{}, asJSON, b))
			if err != nil {
				return err
			}
			return e.printPreview(p)
		}
		x, err := client.Into[client.IngestionSourceResponse](s.CreateSourceWithBody(ctx, &client.CreateSourceParams{}, asJSON, b))
		if err != nil {
			return err
		}
		if !e.json {
			e.line("Added %d, %s: %s", x.Id, oneLine(x.Name), oneLine(or(x.Url, or(x.Path, ""))))
		}
		if detach {
			if e.json {
				e.print(e.Out, x)
			}
			return nil
		}
		return e.followRun(ctx, s, x.Id)
	}
	return ends(c, codesClient...)
}

var sourceTypes = []string{"rss", "documentation", "file_watcher", "hackernews"}

// discovered is the one source of an address.
func discovered(ctx context.Context, s *client.Session, address string) (client.SourceCandidate, error) {
	b, err := body(map[string]any{"url": address})
	if err != nil {
		return client.SourceCandidate{}, err
	}
	all, err := client.Into[client.SourceCandidates](s.DiscoverSourcesWithBody(ctx, &client.DiscoverSourcesParams{}, asJSON, b))
	if err != nil {
		return client.SourceCandidate{}, err
	}
	if len(all.Candidates) == 0 || all.Candidates[0].Type != "rss" {
		return client.SourceCandidate{}, codedError{fmt.Errorf("there is no feed at %s, and it names none: --type documentation reads its pages", address), exitNotFound}
	}
	return all.Candidates[0], nil
}

func (e *env) sourceDiscover() *cobra.Command {
	return ends(&cobra.Command{
		Use: "discover ADDRESS", Short: "Which sources an address has", Args: nargs(1, 1),
		Example: "  commandcenter source discover go.dev/blog",
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := e.session()
			if err != nil {
				return err
			}
			b, err := body(map[string]any{"url": args[0]})
			if err != nil {
				return err
			}
			all, err := client.Into[client.SourceCandidates](s.DiscoverSourcesWithBody(cmd.Context(), &client.DiscoverSourcesParams{}, asJSON, b))
			if err != nil {
				return err
			}
			if e.json {
				e.print(e.Out, all.Candidates)
				return nil
			}
			if len(all.Candidates) == 0 {
				e.say("Nothing was found: no feed is there, none is named, none is at a usual place.")
				return nil
			}
			t := newTable(e.Out, "TYPE", "NAME", "ADDRESS", "ITEMS", "WHY")
			for _, x := range all.Candidates {
				t.row(string(x.Type), x.Name, or(x.Url, ""), strconv.Itoa(x.Items), x.Why)
			}
			return t.flush()
		},
	}, codesClient...)
}

// sources reads all pages.
func sources(ctx context.Context, s *client.Session) ([]client.IngestionSourceResponse, error) {
	all := []client.IngestionSourceResponse{}
	limit := 100
	for {
		skip := len(all)
		page, err := client.Into[client.IngestionSourceList](s.ListSources(ctx, &client.ListSourcesParams{Skip: &skip, Limit: &limit}))
		if err != nil {
			return nil, err
		}
		if all = append(all, page.Sources...); len(page.Sources) < limit {
			return all, nil
		}
	}
}

// sourceNamed finds one by its id, its name or its address.
func sourceNamed(ctx context.Context, s *client.Session, name string) (client.IngestionSourceResponse, error) {
	if id, err := strconv.ParseInt(name, 10, 64); err == nil && id > 0 {
		return client.Into[client.IngestionSourceResponse](s.GetSource(ctx, id, nil))
	}
	all, err := sources(ctx, s)
	if err != nil {
		return client.IngestionSourceResponse{}, err
	}
	i := slices.IndexFunc(all, func(x client.IngestionSourceResponse) bool {
		return strings.EqualFold(x.Name, strings.TrimSpace(name)) || name != "" && (or(x.Url, "") == name || or(x.Path, "") == name)
	})
	if i < 0 {
		return client.IngestionSourceResponse{}, codedError{fmt.Errorf("no source %q: see `commandcenter source list`", name), exitNotFound}
	}
	return all[i], nil
}

// ofSource runs what is about one source.
func (e *env) ofSource(run func(cmd *cobra.Command, s *client.Session, x client.IngestionSourceResponse) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		s, err := e.session()
		if err != nil {
			return err
		}
		x, err := sourceNamed(cmd.Context(), s, args[0])
		if err != nil {
			return err
		}
		return run(cmd, s, x)
	}
}

func moment(t *time.Time) string {
	if t == nil {
		return "never"
	}
	return t.Local().Format(time.DateTime)
}

// health is how a source is, in a word.
func health(x client.IngestionSourceResponse) string {
	switch {
	case x.ParkedSince != nil:
		return "left alone"
	case x.ErrorCount > 1:
		return fmt.Sprintf("error ×%d", x.ErrorCount)
	}
	return string(x.Status)
}

func (e *env) sourceList() *cobra.Command {
	return ends(&cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "The sources, and how they are", Args: nargs(0, 0),
		Example: "  commandcenter source list\n  commandcenter source list --json | jq -r '.[] | select(.status == \"error\").name'",
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := e.session()
			if err != nil {
				return err
			}
			all, err := sources(cmd.Context(), s)
			if err != nil {
				return err
			}
			if e.json {
				e.print(e.Out, all)
				return nil
			}
			t := newTable(e.Out, "ID", "TYPE", "NAME", "STATUS", "DOCUMENTS", "LAST RUN", "NEXT", "WHERE")
			for _, x := range all {
				next := "-"
				if x.NextRun != nil {
					next = moment(x.NextRun)
				}
				t.row(strconv.FormatInt(x.Id, 10), string(x.Type), x.Name, health(x), strconv.FormatInt(x.DocumentsIngested, 10), moment(x.LastRun), next, cmp.Or(or(x.Url, ""), or(x.Path, "")))
			}
			return t.flush()
		},
	}, codesClient...)
}

func (e *env) sourceShow() *cobra.Command {
	return ends(&cobra.Command{
		Use: "show ID|NAME", Short: "One source, and how it is", Args: nargs(1, 1),
		Example: "  commandcenter source show \"The Go Blog\"",
		RunE: e.ofSource(func(_ *cobra.Command, _ *client.Session, x client.IngestionSourceResponse) error {
			if e.json {
				e.print(e.Out, x)
				return nil
			}
			e.line("%s", e.paint(e.Out, bold, oneLine(x.Name)))
			e.line("  %d · %s · %s · priority %d · %s taken so far", x.Id, x.Type, health(x), x.Priority, count(int(x.DocumentsIngested), "document"))
			for _, f := range []struct{ name, text string }{
				{"address", or(x.Url, "")}, {"path", or(x.Path, "")}, {"schedule", or(x.Schedule, "")}, {"last run", moment(x.LastRun)}, {"last success", moment(x.LastSuccess)},
				{"next", moment(x.NextRun)}, {"last error", or(x.LastError, "")},
			} {
				if f.text != "" && f.text != "never" {
					e.line("  %-12s  %s", f.name, oneLine(f.text))
				}
			}
			if x.HasCredentials {
				e.line("  asked with credentials")
			}
			if x.ParkedSince != nil {
				e.say("It is left alone since %s: `commandcenter source run %d` asks it again.", moment(x.ParkedSince), x.Id)
			}
			return nil
		}),
	}, codesClient...)
}

func (e *env) sourceEdit() *cobra.Command {
	var address, path string
	var enable, disable bool
	c := &cobra.Command{
		Use: "edit ID|NAME", Short: "Say something else of a source", Args: nargs(1, 1),
		Long:    "Changes what the flags name, and leaves the rest. The source is asked anew.",
		Example: "  commandcenter source edit 7 --schedule @daily\n  commandcenter source edit 7 --disable",
	}
	sourceFlags(c)
	c.Flags().StringVar(&address, "url", "", "another address")
	c.Flags().StringVar(&path, "path", "", "another path")
	c.Flags().BoolVar(&enable, "enable", false, "ask it again")
	c.Flags().BoolVar(&disable, "disable", false, "ask it no more for now")
	c.MarkFlagsMutuallyExclusive("enable", "disable")
	c.RunE = e.ofSource(func(cmd *cobra.Command, s *client.Session, x client.IngestionSourceResponse) error {
		config := map[string]any{}
		if err := recode(x.Config, &config); err != nil {
			return err
		}
		fields, err := saidOfSource(cmd, config)
		if err != nil {
			return err
		}
		for name, v := range map[string]string{"url": address, "path": path} {
			if v != "" {
				fields[name] = v
			}
		}
		if enable || disable {
			fields["enabled"] = enable
		}
		if len(fields) == 0 {
			return usageError{errors.New("nothing to change: give a flag")}
		}
		b, err := body(fields)
		if err != nil {
			return err
		}
		now, err := client.Into[client.IngestionSourceResponse](s.UpdateSourceWithBody(cmd.Context(), x.Id, &client.UpdateSourceParams{}, asJSON, b))
		if err != nil {
			return err
		}
		if e.json {
			e.print(e.Out, now)
			return nil
		}
		e.line("Changed %d, %s: %s.", now.Id, oneLine(now.Name), health(now))
		return nil
	})
	return ends(c, codesClient...)
}

func (e *env) sourceRemove() *cobra.Command {
	var documents bool
	c := &cobra.Command{
		Use: "remove ID|NAME", Aliases: []string{"rm", "delete"}, Short: "Fetch no more from a source", Args: nargs(1, 1),
		Long:    "Its history goes. Its documents stay in the knowledge base, unless --documents is given.",
		Example: "  commandcenter source remove 7\n  commandcenter source remove 7 --documents",
		RunE: e.ofSource(func(cmd *cobra.Command, s *client.Session, x client.IngestionSourceResponse) error {
			key := uuid.NewString()
			resp, err := s.DeleteSource(cmd.Context(), x.Id, &client.DeleteSourceParams{IdempotencyKey: &key, Documents: &documents})
			if _, err := client.Finish[struct{}](cmd.Context(), s, resp, err); err != nil {
				return err
			}
			if e.json {
				e.print(e.Out, map[string]any{"id": x.Id, "name": x.Name})
				return nil
			}
			e.line("Removed %d, %s.", x.Id, oneLine(x.Name))
			return nil
		}),
	}
	c.Flags().BoolVar(&documents, "documents", false, "remove its documents too, unless another source has seen them")
	return ends(c, codesClient...)
}
