package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/commandcenter/commandcenter/services/commandcenter/internal/client"
)

func (e *env) projectCommand() *cobra.Command {
	c := &cobra.Command{
		Use:     "project",
		Short:   "List, create, choose, rename, delete, export and import projects",
		Example: "  commandcenter project list\n  commandcenter project create Apollo --description 'to the moon'\n  commandcenter project use Apollo",
	}
	e.bind(c, true, "client.server", "client.ca_file", "client.project")
	return group(c, e.projectList(), e.projectCreate(), e.projectUse(), e.projectDefault(), e.projectRename(), e.projectDelete(), e.projectExport(), e.projectImport(), e.projectVerify())
}

func (e *env) projectList() *cobra.Command {
	return ends(&cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "The projects that you belong to; * marks the one in use",
		Example: "  commandcenter project list\n  commandcenter project list --json | jq '.[] | [.id, .name]'",
		Args:    nargs(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := e.session()
			if err != nil {
				return err
			}
			all, err := projects(cmd.Context(), s)
			if err != nil {
				return err
			}
			if e.json {
				e.print(e.Out, all)
				return nil
			}
			inUse := inUse(s, all)
			t := newTable(e.Out, "", "ID", "NAME", "ROLE", "DESCRIPTION")
			for _, p := range all {
				mark := ""
				if p.Id == inUse {
					mark = "*"
				}
				t.row(mark, strconv.FormatInt(p.Id, 10), p.Name, or(p.Role, ""), or(p.Description, ""))
			}
			return t.flush()
		},
	}, codesClient...)
}

// inUse is the project that commands are about, by the server's rule when none
// was chosen; 0 for none.
func inUse(s *client.Session, all []client.ProjectResponse) int64 {
	if id := s.Project(); id != 0 {
		return id
	}
	for _, p := range all {
		if or(p.IsDefault, false) {
			return p.Id
		}
	}
	if len(all) > 0 {
		return all[0].Id
	}
	return 0
}

// thisProject is the project in use, for operations that want it named.
func thisProject(ctx context.Context, s *client.Session) (int64, error) {
	if id := s.Project(); id != 0 {
		return id, nil
	}
	all, err := projects(ctx, s)
	if err != nil {
		return 0, err
	}
	if id := inUse(s, all); id != 0 {
		return id, nil
	}
	return 0, codedError{errors.New("you belong to no project: see `commandcenter project create`"), exitNotFound}
}

// projects reads all pages.
func projects(ctx context.Context, s *client.Session) ([]client.ProjectResponse, error) {
	all := []client.ProjectResponse{}
	limit := 1000
	for {
		skip := len(all)
		page, err := client.Into[[]client.ProjectResponse](s.ListProjects(ctx, &client.ListProjectsParams{Skip: &skip, Limit: &limit}))
		if err != nil {
			return nil, err
		}
		all = append(all, page...)
		if len(page) < limit {
			return all, nil
		}
	}
}

func (e *env) projectCreate() *cobra.Command {
	var description string
	var use bool
	c := &cobra.Command{
		Use:     "create NAME",
		Short:   "Create a project",
		Example: "  commandcenter project create Apollo\n  commandcenter project create Apollo --description 'to the moon' --use",
		Args:    nargs(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := e.session()
			if err != nil {
				return err
			}
			body := client.ProjectCreate{Name: args[0]}
			if description != "" {
				body.Description = &description
			}
			key := uuid.NewString()
			resp, err := s.CreateProject(cmd.Context(), &client.CreateProjectParams{IdempotencyKey: &key}, body)
			p, err := client.Finish[client.ProjectResponse](cmd.Context(), s, resp, err)
			if err != nil {
				return err
			}
			if use {
				if err := s.UseProject(cmd.Context(), p.Id); err != nil {
					return err
				}
			}
			if e.json {
				e.print(e.Out, p)
				return nil
			}
			e.line("Created project %d, %s.", p.Id, p.Name)
			return nil
		},
	}
	c.Flags().StringVar(&description, "description", "", "what it is about")
	c.Flags().BoolVar(&use, "use", false, "use it from now on")
	return ends(c, codesClient...)
}

func (e *env) projectUse() *cobra.Command {
	return ends(&cobra.Command{
		Use:   "use ID|NAME|SLUG",
		Short: "Use a project for the commands that follow",
		Long: `Takes the id of a project, also as subjects of the bus have it (p2), its name, or
its slug: the name in lower case, with a dash for all that is no letter or digit.`,
		Example: "  commandcenter project use 2\n  commandcenter project use Apollo\n  commandcenter project use moon-landing",
		Args:    nargs(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := e.session()
			if err != nil {
				return err
			}
			all, err := projects(cmd.Context(), s)
			if err != nil {
				return err
			}
			p, err := pick(all, args[0])
			if err != nil {
				return err
			}
			if err := s.UseProject(cmd.Context(), p.Id); err != nil {
				return err
			}
			if e.json {
				e.print(e.Out, p)
				return nil
			}
			e.line("Using project %d, %s.", p.Id, p.Name)
			return nil
		},
	}, append(slices.Clone(codesClient), exitNotFound)...)
}

func (e *env) projectDefault() *cobra.Command {
	return ends(&cobra.Command{
		Use:   "default ID|NAME|SLUG",
		Short: "Make a project the one of calls that name none",
		Long: `The server keeps it, for every client of yours; the choice of ` + "`project use`" + ` is
this machine's, and comes first here.`,
		Example: "  commandcenter project default Apollo",
		Args:    nargs(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := e.session()
			if err != nil {
				return err
			}
			all, err := projects(cmd.Context(), s)
			if err != nil {
				return err
			}
			p, err := pick(all, args[0])
			if err != nil {
				return err
			}
			key := uuid.NewString()
			resp, err := s.SetDefaultProject(cmd.Context(), p.Id, &client.SetDefaultProjectParams{IdempotencyKey: &key})
			if _, err := client.Finish[any](cmd.Context(), s, resp, err); err != nil {
				return err
			}
			if e.json {
				e.print(e.Out, p)
				return nil
			}
			e.line("Calls that name no project are of %d, %s.", p.Id, p.Name)
			return nil
		},
	}, append(slices.Clone(codesClient), exitNotFound)...)
}

// pick finds a project by id, else by its name, else by its slug; what is not
// an id must be unambiguous.
func pick(all []client.ProjectResponse, want string) (client.ProjectResponse, error) {
	for _, fits := range []func(p client.ProjectResponse) bool{
		func(p client.ProjectResponse) bool { return strconv.FormatInt(p.Id, 10) == want },
		func(p client.ProjectResponse) bool { return p.Name == want },
		func(p client.ProjectResponse) bool { return "p"+strconv.FormatInt(p.Id, 10) == want },
		func(p client.ProjectResponse) bool { return slug(want) != "" && slug(p.Name) == slug(want) },
	} {
		var found []client.ProjectResponse
		var ids []string
		for _, p := range all {
			if fits(p) {
				found, ids = append(found, p), append(ids, strconv.FormatInt(p.Id, 10))
			}
		}
		switch len(found) {
		case 1:
			return found[0], nil
		case 0:
			continue
		}
		return client.ProjectResponse{}, usageError{fmt.Errorf("%d projects are called %q: give one of the ids %s", len(found), want, strings.Join(ids, ", "))}
	}
	return client.ProjectResponse{}, codedError{fmt.Errorf("no project %q: see `commandcenter project list`", want), exitNotFound}
}

// slug is a name as one types it: in lower case, with a dash for whatever is
// neither letter nor digit.
func slug(name string) string {
	words := strings.FieldsFunc(strings.ToLower(name), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
	return strings.Join(words, "-")
}
