package cli

import (
	"context"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/commandcenter/commandcenter/services/commandcenter/internal/client"
)

func (e *env) knowledgeTemplates() *cobra.Command {
	c := ends(&cobra.Command{
		Use: "templates", Short: "Ways to begin a project", Args: nargs(0, 0),
		Example: "  commandcenter knowledge templates\n  commandcenter knowledge templates --json | jq '.[].name'",
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := e.session()
			if err != nil {
				return err
			}
			all, err := client.Into[[]client.KnowledgeTemplate](s.ListKnowledgeTemplates(cmd.Context(), &client.ListKnowledgeTemplatesParams{}))
			if err != nil {
				return err
			}
			if e.json {
				e.print(e.Out, all)
				return nil
			}
			t := newTable(e.Out, "NAME", "MODEL", "OFFERED", "WHAT FOR")
			for _, x := range all {
				offered := "yes"
				if !x.ModelOffered {
					offered = "no"
				}
				t.row(x.Name, x.EmbeddingModel, offered, x.Description)
			}
			return t.flush()
		},
	}, codesClient...)
	e.bind(c, false, "client.server", "client.ca_file", "client.project")
	return c
}

func (e *env) knowledgeApply() *cobra.Command {
	c := ends(&cobra.Command{
		Use: "apply TEMPLATE", Short: "Begin the project in use as a template says", Args: nargs(1, 1),
		Long: `Chooses the embedding model of the template, where the instance offers it, and adds
its sample documents, which have the category "template". Applying it again changes
nothing.`,
		Example: "  commandcenter knowledge apply documentation\n  commandcenter knowledge apply code-search --project 7",
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := e.session()
			if err != nil {
				return err
			}
			return e.apply(cmd.Context(), s, args[0])
		},
	}, codesClient...)
	e.bind(c, false, "client.server", "client.ca_file", "client.project")
	return c
}

func (e *env) apply(ctx context.Context, s *client.Session, template string) error {
	key := uuid.NewString()
	resp, err := s.ApplyKnowledgeTemplate(ctx, template, &client.ApplyKnowledgeTemplateParams{IdempotencyKey: &key})
	a, err := client.Finish[client.KnowledgeTemplateApplied](ctx, s, resp, err)
	if err != nil {
		return err
	}
	if e.json {
		e.print(e.Out, a)
		return nil
	}
	for _, d := range a.Documents {
		e.line("%s", oneLine(d.Filename))
	}
	if a.ModelChosen {
		e.say("The project's model is %s.", oneLine(a.EmbeddingModel))
	} else {
		e.say("The project keeps its model: %s is not offered here; knowledge.project_models says which are.", oneLine(a.EmbeddingModel))
	}
	return nil
}
