package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/commandcenter/commandcenter/services/commandcenter/internal/client"
)

func (e *env) knowledgeSettings() *cobra.Command {
	var mode, alpha, fusion, backend string
	var languages []string
	c := &cobra.Command{
		Use: "settings", Short: "Show how the project is searched, and change it", Args: nargs(0, 0),
		Long: `Without flags, shows what is set and what holds. With flags, an admin sets what
searches go by that do not say otherwise; "default" follows the instance.

Words have stems by the language of a document. Of several languages each document
tells by its text which is its own, and the first one is taken where it cannot be
told. The index is made anew in the background; until then the one of before answers.

Vectors are searched in the memory of the instance, or by pgvector where its database has
that extension, which takes less memory and more time. A job moves them; until it has
ended the back end of before answers.`,
		Example: `  commandcenter knowledge settings
  commandcenter knowledge settings --languages en,de,fr
  commandcenter knowledge settings --alpha 0.7 --fusion convex
  commandcenter knowledge settings --backend pgvector
  commandcenter knowledge settings --mode default --languages default --json`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			change := map[string]any{}
			for name, v := range map[string]string{"mode": mode, "fusion": fusion, "backend": backend} {
				if cmd.Flags().Changed(name) {
					change[name] = orDefault(v)
				}
			}
			if cmd.Flags().Changed("alpha") {
				if change["alpha"] = orDefault(alpha); alpha != instance {
					v, err := strconv.ParseFloat(alpha, 64)
					if err != nil || !(v >= 0 && v <= 1) {
						return usageError{fmt.Errorf("--alpha: %q is no number from 0 to 1, nor default", alpha)}
					}
					change["alpha"] = v
				}
			}
			if cmd.Flags().Changed("languages") {
				if change["languages"] = any(languages); len(languages) == 1 && languages[0] == instance {
					change["languages"] = nil
				}
			}
			s, err := e.session()
			if err != nil {
				return err
			}
			var set client.KnowledgeSettings
			if len(change) > 0 {
				set, err = e.setKnowledge(cmd.Context(), s, change)
			} else {
				set, err = client.Into[client.KnowledgeSettings](s.GetKnowledgeSettings(cmd.Context(), &client.GetKnowledgeSettingsParams{}))
			}
			if err != nil {
				return err
			}
			return e.printKnowledge(set)
		},
	}
	fs := c.Flags()
	fs.StringVar(&mode, "mode", "", "set which legs are used: hybrid, vector, keyword or default")
	fs.StringVar(&alpha, "alpha", "", "set the weight of the vector leg in hybrid mode: 0 to 1, or default")
	fs.StringVar(&fusion, "fusion", "", "set how the legs are joined: convex, rrf or default")
	fs.StringVar(&backend, "backend", "", "set where vectors are searched: memory, pgvector, pgvector-half or default")
	fs.StringSliceVar(&languages, "languages", nil, "set the languages of texts as ISO 639-1 has them, the usual one first, or default")
	values(c, "mode", "hybrid", "vector", "keyword", instance)
	values(c, "fusion", "convex", "rrf", instance)
	values(c, "backend", "memory", "pgvector", "pgvector-half", instance)
	e.bind(c, false, "client.server", "client.ca_file", "client.project")
	return ends(c, codesClient...)
}

func orDefault(v string) any {
	if v == instance {
		return nil
	}
	return v
}

// setKnowledge changes settings of the project; nil follows the instance.
func (e *env) setKnowledge(ctx context.Context, s *client.Session, change map[string]any) (set client.KnowledgeSettings, err error) {
	body, err := json.Marshal(change) // the client's type cannot say null
	if err != nil {
		return set, err
	}
	key := uuid.NewString()
	resp, err := s.SetKnowledgeSettingsWithBody(ctx, &client.SetKnowledgeSettingsParams{IdempotencyKey: &key}, "application/json", bytes.NewReader(body))
	return client.Finish[client.KnowledgeSettings](ctx, s, resp, err)
}

func (e *env) printKnowledge(set client.KnowledgeSettings) error {
	if e.json {
		e.print(e.Out, set)
		return nil
	}
	alpha, languages := "", ""
	if set.Alpha != nil {
		alpha = strconv.FormatFloat(*set.Alpha, 'f', -1, 64)
	}
	if set.Languages != nil {
		languages = strings.Join(*set.Languages, ",")
	}
	t := newTable(e.Out, "SETTING", "IN FORCE", "OF THE PROJECT")
	t.row("mode", set.Effective.Mode, string(or(set.Mode, "")))
	t.row("alpha", strconv.FormatFloat(set.Effective.Alpha, 'f', -1, 64), alpha)
	t.row("fusion", set.Effective.Fusion, string(or(set.Fusion, "")))
	t.row("languages", strings.Join(set.Effective.Languages, ","), languages)
	t.row("backend", set.Effective.Backend, string(set.Backend))
	t.row("model", or(set.EmbeddingModel, set.DefaultModel), or(set.EmbeddingModel, ""))
	return t.flush()
}
