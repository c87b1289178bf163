package cli

import (
	"errors"
	"net/http"
	"strconv"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/commandcenter/commandcenter/services/commandcenter/internal/client"
)

func (e *env) evalSets() *cobra.Command {
	c := &cobra.Command{
		Use: "sets", Short: "The sets of judged questions of the project", Args: nargs(0, 0),
		Example: "  commandcenter eval sets\n  commandcenter eval sets --json | jq -r '.[].name'",
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := e.session()
			if err != nil {
				return err
			}
			all, err := client.Into[[]client.JudgedSet](s.ListJudgements(cmd.Context(), &client.ListJudgementsParams{}))
			if err != nil {
				return err
			}
			if e.json {
				e.print(e.Out, all)
				return nil
			}
			t := newTable(e.Out, "SET", "QUESTIONS", "JUDGEMENTS", "IMPORTED")
			for _, x := range all {
				t.row(oneLine(x.Name), strconv.Itoa(x.Questions), strconv.Itoa(x.Judgements), x.UpdatedAt.Local().Format("2006-01-02 15:04"))
			}
			return t.flush()
		},
	}
	e.bind(c, false, "client.server", "client.ca_file", "client.project")
	return ends(c, codesClient...)
}

func (e *env) evalApply() *cobra.Command {
	var row string
	c := &cobra.Command{
		Use: "apply EVALUATION", Short: "Search the project as an evaluation found best", Args: nargs(1, 1),
		Long:    "Sets mode, weight and fusion of the project to those of the row that was tuned, or of\n--row. `commandcenter knowledge settings` shows them, and takes them back.",
		Example: "  commandcenter eval apply 3\n  commandcenter eval apply 3 --row keyword --json",
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := strconv.ParseInt(args[0], 10, 64)
			if err != nil || id < 1 {
				return usageError{errors.New("name the evaluation by its number")}
			}
			s, err := e.session()
			if err != nil {
				return err
			}
			var body client.EvaluationApply
			if row != "" {
				body.Row = &row
			}
			key := uuid.NewString()
			resp, err := s.ApplyEvaluation(cmd.Context(), id, &client.ApplyEvaluationParams{IdempotencyKey: &key}, body)
			set, err := client.Finish[client.KnowledgeSettings](cmd.Context(), s, resp, err)
			if err != nil {
				return err
			}
			return e.printKnowledge(set)
		},
	}
	c.Flags().StringVar(&row, "row", "", "the row of the report to take (default: the tuned one)")
	e.bind(c, false, "client.server", "client.ca_file", "client.project")
	return ends(c, codesOne...)
}

func (e *env) evalDelete() *cobra.Command {
	c := &cobra.Command{
		Use: "delete EVALUATION|SET", Short: "Remove an evaluation by its number, or a set of questions by its name", Args: nargs(1, 1),
		Example: "  commandcenter eval delete 3\n  commandcenter eval delete scifact",
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			s, err := e.session()
			if err != nil {
				return err
			}
			key := uuid.NewString()
			var resp *http.Response
			if id, notNumber := strconv.ParseInt(args[0], 10, 64); notNumber == nil {
				resp, err = s.DeleteEvaluation(ctx, id, &client.DeleteEvaluationParams{IdempotencyKey: &key})
			} else {
				var set client.JudgedSet
				if set, err = judgedSet(ctx, s, args[0]); err != nil {
					return err
				}
				resp, err = s.DeleteJudgements(ctx, set.Id, &client.DeleteJudgementsParams{IdempotencyKey: &key})
			}
			if _, err := client.Finish[any](ctx, s, resp, err); err != nil {
				return err
			}
			if e.json {
				e.print(e.Out, map[string]any{"name": args[0], "done": "deleted"})
				return nil
			}
			e.line("Deleted %s.", oneLine(args[0]))
			return nil
		},
	}
	e.bind(c, false, "client.server", "client.ca_file", "client.project")
	return ends(c, codesOne...)
}
