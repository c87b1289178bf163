package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/commandcenter/commandcenter/services/commandcenter/internal/client"
)

func (e *env) busSchema() *cobra.Command {
	c := group(&cobra.Command{
		Use:   "schema",
		Short: "Which facts other teams may say, and in which form (over HTTP)",
		Long: `What a team says on ext.p<project>.<team>.<noun>.<fact>.v<n> is checked against the
JSON Schema that is registered for it, and said again as ingestion.fact.accepted.
What does not fit is a dead letter. A version never changes: register the next.`,
		Example: "  commandcenter bus schema register billing.invoice.paid.v1 invoice-paid.json\n  commandcenter bus schema list",
	}, e.schemaRegister(), e.schemaList(), e.schemaDelete())
	e.bind(c, true, "client.server", "client.ca_file", "client.project")
	return c
}

// schemaName reads team.noun.fact.v1.
func schemaName(s string) (n client.EventSchemaNew, err error) {
	t := strings.Split(s, ".")
	if len(t) != 4 || !strings.HasPrefix(t[3], "v") {
		return n, usageError{fmt.Errorf("%q: want team.noun.fact.v1", s)}
	}
	if n.Version, err = strconv.Atoi(t[3][1:]); err != nil {
		return n, usageError{fmt.Errorf("%q: want a version such as v1", s)}
	}
	n.Team, n.Noun, n.Fact = t[0], t[1], t[2]
	return n, nil
}

func (e *env) schemaRegister() *cobra.Command {
	return ends(&cobra.Command{
		Use: "register TEAM.NOUN.FACT.vN FILE|-", Short: "Register the form of a fact", Args: nargs(2, 2),
		Example: "  commandcenter bus schema register billing.invoice.paid.v1 invoice-paid.json\n  echo '{\"type\": \"object\"}' | commandcenter bus schema register docs.document.published.v1 -",
		RunE: func(cmd *cobra.Command, args []string) error {
			n, err := schemaName(args[0])
			if err != nil {
				return err
			}
			text, err := e.input(args[1])
			if err != nil {
				return usageError{err}
			}
			if err := json.Unmarshal(text, &n.Schema); err != nil {
				return usageError{fmt.Errorf("%s is no JSON object: %w", args[1], err)}
			}
			s, err := e.session()
			if err != nil {
				return err
			}
			key := uuid.NewString()
			x, err := client.Into[client.EventSchema](s.RegisterEventSchema(cmd.Context(), &client.RegisterEventSchemaParams{IdempotencyKey: &key}, n))
			if err != nil {
				return err
			}
			if e.json {
				e.print(e.Out, x)
				return nil
			}
			e.line("Registered as %d, for what is said on %s.", x.Id, x.Subject)
			return nil
		},
	}, append(slices.Clone(codesClient), exitRefused)...)
}

// input reads a file, or standard input.
func (e *env) input(name string) ([]byte, error) {
	if name == "-" {
		return io.ReadAll(io.LimitReader(e.In, 1<<20))
	}
	return os.ReadFile(name)
}

func (e *env) schemaList() *cobra.Command {
	var team string
	c := &cobra.Command{
		Use: "list", Short: "Registered forms", Args: nargs(0, 0),
		Example: "  commandcenter bus schema list --team billing",
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := e.session()
			if err != nil {
				return err
			}
			list, err := client.Into[client.EventSchemaList](s.ListEventSchemas(cmd.Context(), &client.ListEventSchemasParams{Team: some(team)}))
			if err != nil {
				return err
			}
			if e.json {
				e.print(e.Out, list)
				return nil
			}
			if len(list.Items) == 0 {
				e.say("No schemas.")
				return nil
			}
			t := newTable(e.Out, "ID", "SUBJECT", "REGISTERED")
			for _, x := range list.Items {
				t.row(strconv.FormatInt(x.Id, 10), x.Subject, x.CreatedAt.Local().Format("2006-01-02 15:04"))
			}
			return t.flush()
		},
	}
	c.Flags().StringVar(&team, "team", "", "only those of this team")
	return ends(c, codesClient...)
}

func (e *env) schemaDelete() *cobra.Command {
	return ends(&cobra.Command{
		Use: "delete ID|FACT", Short: "Take no more facts of this form", Args: nargs(1, 1),
		Example: "  commandcenter bus schema delete 3\n  commandcenter bus schema delete billing.invoice.paid.v1",
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := e.session()
			if err != nil {
				return err
			}
			id, err := schemaNamed(cmd.Context(), s, args[0])
			if err != nil {
				return err
			}
			key := uuid.NewString()
			if _, err := client.Into[struct{}](s.DeleteEventSchema(cmd.Context(), id, &client.DeleteEventSchemaParams{IdempotencyKey: &key})); err != nil {
				return err
			}
			if e.json {
				e.print(e.Out, map[string]any{"id": id, "deleted": true})
				return nil
			}
			e.line("Deleted.")
			return nil
		},
	}, append(slices.Clone(codesClient), exitNotFound)...)
}

// schemaNamed finds a schema by its number, by the name under which it was
// registered, or by its subject.
func schemaNamed(ctx context.Context, s *client.Session, name string) (int64, error) {
	if id, err := strconv.ParseInt(name, 10, 64); err == nil {
		return id, nil
	}
	list, err := client.Into[client.EventSchemaList](s.ListEventSchemas(ctx, &client.ListEventSchemasParams{}))
	if err != nil {
		return 0, err
	}
	for _, x := range list.Items {
		// ext.p1.billing.invoice.paid.v1 is registered as billing.invoice.paid.v1.
		if _, fact, ok := strings.Cut(strings.TrimPrefix(x.Subject, "ext."), "."); ok && (fact == name || x.Subject == name) {
			return x.Id, nil
		}
	}
	return 0, codedError{fmt.Errorf("no schema %q: see `commandcenter bus schema list`", name), exitNotFound}
}
