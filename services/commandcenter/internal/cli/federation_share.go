package cli

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/commandcenter/commandcenter/services/commandcenter/internal/client"
)

func (e *env) federationShare() *cobra.Command {
	var name string
	c := &cobra.Command{
		Use:     "share SLUG",
		Short:   "Let an instance search the project in use",
		Long:    "Everybody who may search in that instance then finds the documents of the\nproject, from there. It takes an admin of the project.",
		Example: "  commandcenter federation share north --name Handbook",
		Args:    nargs(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := e.session()
			if err != nil {
				return err
			}
			key := uuid.NewString()
			resp, err := s.ShareProject(cmd.Context(), &client.ShareProjectParams{IdempotencyKey: &key}, client.ShareCreate{Instance: args[0], Name: text(name)})
			sh, err := client.Finish[client.Share](cmd.Context(), s, resp, err)
			if err != nil {
				return err
			}
			if e.json {
				e.print(e.Out, sh)
				return nil
			}
			e.line("%s may search the project, as %q.", sh.Instance, sh.Name)
			return nil
		},
	}
	c.Flags().StringVar(&name, "name", "", "what the project is called there")
	return ends(c, append([]int{exitNotFound}, codesClient...)...)
}

func (e *env) federationUnshare() *cobra.Command {
	return ends(&cobra.Command{
		Use:     "unshare SLUG",
		Short:   "Let an instance search the project no more",
		Example: "  commandcenter federation unshare north",
		Args:    nargs(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := e.session()
			if err != nil {
				return err
			}
			key := uuid.NewString()
			resp, err := s.UnshareProject(cmd.Context(), args[0], &client.UnshareProjectParams{IdempotencyKey: &key})
			if _, err := client.Finish[any](cmd.Context(), s, resp, err); err != nil {
				return err
			}
			if e.json {
				e.print(e.Out, map[string]any{"instance": args[0], "done": "unshare"})
				return nil
			}
			e.line("%s may search the project no more.", args[0])
			return nil
		},
	}, append([]int{exitNotFound}, codesClient...)...)
}

func (e *env) federationShares() *cobra.Command {
	return ends(&cobra.Command{
		Use:     "shares",
		Short:   "The instances that may search the project in use",
		Example: "  commandcenter federation shares --json",
		Args:    nargs(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := e.session()
			if err != nil {
				return err
			}
			all, err := client.Into[[]client.Share](s.ListShares(cmd.Context(), &client.ListSharesParams{}))
			if err != nil {
				return err
			}
			if e.json {
				e.print(e.Out, orEmpty(all))
				return nil
			}
			if len(all) == 0 {
				e.say("Nothing is shared.")
				return nil
			}
			t := newTable(e.Out, "INSTANCE", "NAME THERE", "SINCE")
			for _, sh := range all {
				t.row(sh.Instance, sh.Name, sh.CreatedAt.Local().Format(time.DateTime))
			}
			return t.flush()
		},
	}, codesClient...)
}

func (e *env) federationSearch() *cobra.Command {
	var limit int
	var within time.Duration
	var only []string
	c := &cobra.Command{
		Use:   "search QUERY",
		Short: "Search the project, and what other instances share",
		Long: `Asks this instance and every admitted one at once, and shows what has come in
time. Standard error says who has not answered, and why.`,
		Example: "  commandcenter federation search 'how do we land'\n  commandcenter federation search 'how do we land' --instance north --within 1s",
		Args:    nargs(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := e.session()
			if err != nil {
				return err
			}
			ms := int(within.Milliseconds())
			body := client.FederatedSearch{Query: args[0], Limit: &limit, TimeoutMs: &ms}
			if len(only) > 0 {
				body.Instances = &only
			}
			a, err := client.Into[client.FederatedAnswer](s.SearchFederation(cmd.Context(), &client.SearchFederationParams{}, body))
			if err != nil {
				return err
			}
			if e.json {
				e.print(e.Out, a)
				return nil
			}
			e.printFound(a.Results)
			if len(a.Results) == 0 {
				e.say("Nothing found.")
			}
			e.say("%s instances answered.", a.Summary)
			for _, i := range a.Instances {
				if i.Reason != nil {
					e.say("  %s: %s", oneLine(i.Instance), oneLine(*i.Reason))
				}
			}
			return nil
		},
	}
	c.Flags().IntVarP(&limit, "limit", "n", 10, "most results")
	c.Flags().DurationVar(&within, "within", 3*time.Second, "how long others may take")
	c.Flags().StringSliceVar(&only, "instance", nil, "ask this one alone; may be given several times")
	return ends(c, codesClient...)
}

// printFound shows passages as `search` does, with where each is from.
func (e *env) printFound(found []client.FederatedResult) {
	width := e.width()
	for i, r := range found {
		title := oneLine(r.Title)
		within, content := leadingHeadings(r.Content)
		if h := heading(r.HeadingPath, within, title); h != "" {
			title += e.paint(e.Out, dim, " › "+h)
		}
		e.line("%s %s  %s", e.paint(e.Out, bold, fmt.Sprintf("%2d.", i+1)), e.paint(e.Out, bold, title), e.paint(e.Out, green, strconv.FormatFloat(r.Score, 'f', 3, 64)))
		about := []string{oneLine(r.Instance) + " / " + oneLine(r.Project)}
		if f := or(r.SourceFile, ""); f != "" && f != r.Title {
			about = append(about, oneLine(f))
		}
		e.line("    %s", e.paint(e.Out, dim, strings.Join(append(about, oneLine(r.Category)), " · ")))
		for _, l := range wrap(snippet(content, 3*(width-4)), width-4, false) {
			e.line("    %s", l)
		}
		if i < len(found)-1 {
			e.line("")
		}
	}
}
