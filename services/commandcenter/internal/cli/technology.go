package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/commandcenter/commandcenter/services/commandcenter/internal/client"
)

func (e *env) technologyCommand() *cobra.Command {
	c := &cobra.Command{
		Use:     "technology",
		Aliases: []string{"tech"},
		Short:   "What the project in use looks at, and its radar",
		Example: `  commandcenter technology add "NATS JetStream" --domain infrastructure --status evaluation
  commandcenter technology move "NATS JetStream" integrated
  commandcenter technology radar --png radar.png`,
	}
	e.bind(c, true, "client.server", "client.ca_file", "client.project")
	return group(c, e.technologyAdd(), e.technologyList(), e.technologyShow(), e.technologyEdit(), e.technologyMove(), e.technologyDelete(),
		e.technologyRadar(), e.technologyImport())
}

// The words of the contract.
var (
	domains   = []string{"audio-dsp", "ai-ml", "music-theory", "performance", "ui-ux", "infrastructure", "other"}
	statuses  = []string{"discovery", "research", "evaluation", "implementation", "integrated", "archived"}
	rings     = []string{"adopt", "trial", "assess", "hold"}
	quadrants = []string{"techniques", "tools", "platforms", "languages-and-frameworks"}
)

// saidFlags are the flags that say something of a technology, by the field.
func saidFlags(c *cobra.Command) {
	fs := c.Flags()
	fs.String("vendor", "", "who makes it")
	fs.String("domain", "", "what it is for: "+strings.Join(domains, ", "))
	fs.String("status", "", "how far you have come with it: "+strings.Join(statuses, ", "))
	fs.String("ring", "", "where it stands on the radar: "+strings.Join(rings, ", ")+` ("" follows the status)`)
	fs.String("quadrant", "", "where it stands on the radar: "+strings.Join(quadrants, ", ")+` ("" follows the domain)`)
	fs.Int("relevance", 50, "0 to 100")
	fs.Int("priority", 3, "1 to 5, the highest")
	fs.String("description", "", "what it is")
	fs.String("notes", "", "what you think of it")
	fs.String("tags", "", "separated by commas")
	fs.String("website", "", "its page")
	fs.String("documentation", "", "its documentation")
	fs.String("repository", "", "its source")
	values(c, "domain", domains...)
	values(c, "status", statuses...)
	values(c, "ring", rings...)
	values(c, "quadrant", quadrants...)
}

// fieldOf is the field of a flag.
var fieldOf = map[string]string{
	"vendor": "vendor", "domain": "domain", "status": "status", "ring": "ring", "quadrant": "quadrant", "relevance": "relevance_score", "priority": "priority",
	"description": "description", "notes": "notes", "tags": "tags", "website": "website_url", "documentation": "documentation_url", "repository": "repository_url",
}

// said is what the flags that were given say.
func said(c *cobra.Command) map[string]any {
	out := map[string]any{}
	for flag, field := range fieldOf {
		if !c.Flags().Changed(flag) {
			continue
		}
		if n, err := c.Flags().GetInt(flag); err == nil {
			out[field] = n
			continue
		}
		s, _ := c.Flags().GetString(flag) // it is one of the two
		out[field] = s
	}
	return out
}

func body(v any) (io.Reader, error) {
	b, err := json.Marshal(v)
	return bytes.NewReader(b), err
}

const asJSON = "application/json"

func (e *env) technologyAdd() *cobra.Command {
	c := &cobra.Command{
		Use: "add TITLE", Short: "Look at a technology", Args: nargs(1, 1),
		Example: "  commandcenter technology add pgvector --domain ai-ml --status research --priority 4 --website https://github.com/pgvector/pgvector",
		RunE: func(cmd *cobra.Command, args []string) error {
			fields := said(cmd)
			fields["title"] = args[0]
			s, err := e.session()
			if err != nil {
				return err
			}
			b, err := body(fields)
			if err != nil {
				return err
			}
			key := uuid.NewString()
			resp, err := s.CreateTechnologyWithBody(cmd.Context(), &client.CreateTechnologyParams{IdempotencyKey: &key}, asJSON, b)
			t, err := client.Finish[client.TechnologyResponse](cmd.Context(), s, resp, err)
			if err != nil {
				return err
			}
			return e.sayTechnology("Added", t)
		},
	}
	saidFlags(c)
	return ends(c, codesClient...)
}

func (e *env) sayTechnology(done string, t client.TechnologyResponse) error {
	if e.json {
		e.print(e.Out, t)
		return nil
	}
	e.line("%s %d, %s: %s, on ring %s of %s.", done, t.Id, oneLine(t.Title), t.Status, t.RadarRing, t.RadarQuadrant)
	return nil
}

func (e *env) technologyList() *cobra.Command {
	var domain, status, ring, search string
	c := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "The technologies, the most important first", Args: nargs(0, 0),
		Example: "  commandcenter technology list --ring trial\n  commandcenter technology list --search vector --json | jq -r '.[].title'",
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := e.session()
			if err != nil {
				return err
			}
			p := client.ListTechnologiesParams{}
			if domain != "" {
				p.Domain = (*client.TechnologyDomain)(&domain)
			}
			if status != "" {
				p.Status = (*client.TechnologyStatus)(&status)
			}
			if ring != "" {
				p.Ring = (*client.RadarRing)(&ring)
			}
			if search != "" {
				p.Search = &search
			}
			all, err := technologies(cmd.Context(), s, p)
			if err != nil {
				return err
			}
			if e.json {
				e.print(e.Out, all)
				return nil
			}
			t := newTable(e.Out, "ID", "TITLE", "STATUS", "RING", "DOMAIN", "PRIORITY", "RELEVANCE", "CHANGED")
			for _, x := range all {
				t.row(strconv.FormatInt(x.Id, 10), x.Title, string(x.Status), string(x.RadarRing), string(x.Domain), strconv.Itoa(x.Priority), strconv.Itoa(x.RelevanceScore),
					x.UpdatedAt.Local().Format(time.DateOnly))
			}
			return t.flush()
		},
	}
	fs := c.Flags()
	fs.StringVar(&domain, "domain", "", "of this domain alone")
	fs.StringVar(&status, "status", "", "of this status alone")
	fs.StringVar(&ring, "ring", "", "on this ring alone")
	fs.StringVar(&search, "search", "", "with this text in title, description or tags")
	values(c, "domain", domains...)
	values(c, "status", statuses...)
	values(c, "ring", rings...)
	return ends(c, codesClient...)
}

// technologies reads all pages.
func technologies(ctx context.Context, s *client.Session, p client.ListTechnologiesParams) ([]client.TechnologyResponse, error) {
	all := []client.TechnologyResponse{}
	limit := 500
	for {
		skip := len(all)
		p.Skip, p.Limit = &skip, &limit
		page, err := client.Into[client.TechnologyListResponse](s.ListTechnologies(ctx, &p))
		if err != nil {
			return nil, err
		}
		if all = append(all, page.Items...); len(page.Items) < limit {
			return all, nil
		}
	}
}

// technologyNamed finds one by its id or its title.
func technologyNamed(ctx context.Context, s *client.Session, name string) (client.TechnologyResponse, error) {
	if id, err := strconv.ParseInt(name, 10, 64); err == nil && id > 0 {
		t, err := client.Into[client.TechnologyResponse](s.GetTechnology(ctx, id, nil))
		var apiErr *client.APIError
		if !errors.As(err, &apiErr) || apiErr.Status != http.StatusNotFound {
			return t, err
		}
	}
	text := []rune(strings.TrimSpace(name))
	search := string(text[:min(len(text), 200)]) // as much as is looked for
	all, err := technologies(ctx, s, client.ListTechnologiesParams{Search: &search})
	if err != nil {
		return client.TechnologyResponse{}, err
	}
	if i := slices.IndexFunc(all, func(t client.TechnologyResponse) bool { return strings.EqualFold(t.Title, strings.TrimSpace(name)) }); i >= 0 {
		return all[i], nil
	}
	return client.TechnologyResponse{}, codedError{fmt.Errorf("no technology %q: see `commandcenter technology list`", name), exitNotFound}
}

// ofTechnology runs what is about one technology.
func (e *env) ofTechnology(run func(ctx context.Context, s *client.Session, t client.TechnologyResponse) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		s, err := e.session()
		if err != nil {
			return err
		}
		t, err := technologyNamed(cmd.Context(), s, args[0])
		if err != nil {
			return err
		}
		return run(cmd.Context(), s, t)
	}
}

func (e *env) technologyShow() *cobra.Command {
	return ends(&cobra.Command{
		Use: "show ID|TITLE", Short: "What is said of a technology, and how it moved", Args: nargs(1, 1),
		Example: "  commandcenter technology show pgvector\n  commandcenter technology show 7 --json",
		RunE: e.ofTechnology(func(ctx context.Context, s *client.Session, t client.TechnologyResponse) error {
			moves, err := client.Into[client.TechnologyMoves](s.ListTechnologyMoves(ctx, t.Id, nil))
			if err != nil {
				return err
			}
			if e.json {
				e.print(e.Out, map[string]any{"technology": t, "moves": moves.Items})
				return nil
			}
			e.line("%s", e.paint(e.Out, bold, oneLine(t.Title)))
			e.line("  %d · %s · %s · on ring %s of %s · priority %d · relevance %d", t.Id, t.Domain, t.Status, t.RadarRing, t.RadarQuadrant, t.Priority, t.RelevanceScore)
			for _, x := range []struct {
				name string
				text *string
			}{
				{"vendor", t.Vendor}, {"description", t.Description}, {"notes", t.Notes}, {"use cases", t.UseCases}, {"tags", t.Tags},
				{"website", t.WebsiteUrl}, {"documentation", t.DocumentationUrl}, {"repository", t.RepositoryUrl},
			} {
				if x.text != nil {
					e.line("  %-13s  %s", x.name, oneLine(*x.text))
				}
			}
			for _, m := range moves.Items {
				e.line("  %s  %s (%s), by %s", m.MovedAt.Local().Format(time.DateOnly), step(m.FromStatus, m.ToStatus), step(m.FromRing, m.ToRing), oneLine(m.MovedBy))
			}
			return nil
		}),
	}, codesClient...)
}

func step(from *string, to string) string {
	if from == nil || *from == to {
		return to
	}
	return *from + " → " + to
}

// changeTechnology says something else of one, unless it changed since it was read.
func (e *env) changeTechnology(ctx context.Context, s *client.Session, t client.TechnologyResponse, fields map[string]any, done string) error {
	b, err := body(fields)
	if err != nil {
		return err
	}
	key, tag := uuid.NewString(), `"`+strconv.FormatInt(t.Version, 10)+`"`
	resp, err := s.UpdateTechnologyWithBody(ctx, t.Id, &client.UpdateTechnologyParams{IdempotencyKey: &key, IfMatch: &tag}, asJSON, b)
	now, err := client.Finish[client.TechnologyResponse](ctx, s, resp, err)
	if err != nil {
		return err
	}
	return e.sayTechnology(done, now)
}

func (e *env) technologyEdit() *cobra.Command {
	var title string
	c := &cobra.Command{
		Use: "edit ID|TITLE", Short: "Say something else of a technology", Args: nargs(1, 1),
		Long:    "Changes what the flags name, and leaves the rest. An empty text takes away what was said.",
		Example: "  commandcenter technology edit pgvector --priority 5 --notes \"iterative scans since 0.8\"\n  commandcenter technology edit pgvector --title \"pgvector 0.8\"",
	}
	saidFlags(c)
	c.Flags().StringVar(&title, "title", "", "another title")
	c.RunE = func(cmd *cobra.Command, args []string) error {
		fields := said(cmd)
		if title != "" {
			fields["title"] = title
		}
		if len(fields) == 0 {
			return usageError{errors.New("nothing to change: give a flag")}
		}
		return e.ofTechnology(func(ctx context.Context, s *client.Session, t client.TechnologyResponse) error {
			return e.changeTechnology(ctx, s, t, fields, "Changed")
		})(cmd, args)
	}
	return ends(c, codesClient...)
}

func (e *env) technologyMove() *cobra.Command {
	return ends(&cobra.Command{
		Use: "move ID|TITLE STATUS|RING", Short: "Give a technology another status, or put it on a ring", Args: nargs(2, 2),
		Long: "A status is one of " + strings.Join(statuses, ", ") + "; where it leads on the radar, the technology stands. A ring (" + strings.Join(rings, ", ") +
			")\nputs it there whatever its status.",
		Example: "  commandcenter technology move pgvector integrated\n  commandcenter technology move pgvector hold",
		RunE: func(cmd *cobra.Command, args []string) error {
			fields := map[string]any{}
			switch to := args[1]; {
			case slices.Contains(statuses, to):
				fields["status"], fields["ring"] = to, nil
			case slices.Contains(rings, to):
				fields["ring"] = to
			default:
				return usageError{fmt.Errorf("%q is no status (%s) and no ring (%s)", to, strings.Join(statuses, ", "), strings.Join(rings, ", "))}
			}
			return e.ofTechnology(func(ctx context.Context, s *client.Session, t client.TechnologyResponse) error {
				return e.changeTechnology(ctx, s, t, fields, "Moved")
			})(cmd, args)
		},
	}, codesClient...)
}

func (e *env) technologyDelete() *cobra.Command {
	return ends(&cobra.Command{
		Use: "delete ID|TITLE", Aliases: []string{"rm"}, Short: "Look at a technology no more; its documents go with it", Args: nargs(1, 1),
		Example: "  commandcenter technology delete pgvector",
		RunE: e.ofTechnology(func(ctx context.Context, s *client.Session, t client.TechnologyResponse) error {
			key := uuid.NewString()
			resp, err := s.DeleteTechnology(ctx, t.Id, &client.DeleteTechnologyParams{IdempotencyKey: &key})
			if _, err := client.Finish[struct{}](ctx, s, resp, err); err != nil {
				return err
			}
			if e.json {
				e.print(e.Out, map[string]any{"id": t.Id, "title": t.Title})
				return nil
			}
			e.line("Deleted %d, %s.", t.Id, oneLine(t.Title))
			return nil
		}),
	}, codesClient...)
}
