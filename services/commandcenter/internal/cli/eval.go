package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"
	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"github.com/commandcenter/commandcenter/pkg/ireval"
	"github.com/commandcenter/commandcenter/pkg/ireval/trial"
	"github.com/commandcenter/commandcenter/services/commandcenter/internal/client"
	"github.com/commandcenter/commandcenter/services/commandcenter/internal/evaluate"
	"github.com/commandcenter/commandcenter/services/commandcenter/internal/ingest"
)

func (e *env) evalCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "eval",
		Short: "Measure how well search ranks, on judged questions",
		Long: `Figures are those of trec_eval. A judged question that finds nothing counts 0. Bounds
of means are at 95 % by bootstrap, p is of a randomisation test; draws are seeded, so
that a report can be made again.

Half of the questions, by a hash of their id, is for tuning; what is tuned is compared
on the other half.`,
		Example: "  commandcenter eval run --beir scifact\n  commandcenter eval report --qrels qrels.txt ours.run theirs.run",
	}
	return group(c, e.evalImport(), e.evalRun(), e.evalReport(), e.evalApply(), e.evalSets(), e.evalDelete())
}

// evalFlags are those that eval run takes.
type evalFlags struct {
	beir, split, qrels, questions, collection string
	set, label                                string
	rerank                                    bool
	modes                                     []string
	alpha                                     float64
	fusion                                    string
	tune, keep                                bool
	parallel                                  int
	plot, runs                                string
}

func (e *env) evalRun() *cobra.Command {
	var f evalFlags
	c := &cobra.Command{
		Use:   "run",
		Short: "Ask judged questions, and compare the modes of search",
		Long: `Asks a running server over HTTP. With --beir, a collection in the layout of BEIR
(corpus.jsonl, queries.jsonl, qrels/SPLIT.tsv) is uploaded into a project made for
it, which is deleted afterwards; judgements in TREC's form may take the place of its
own (--qrels). With --questions, the documents of the project in use are asked
about: each line is a question as JSON, {"id", "text", "relevant": [{"source",
"heading", "grade"}]}. With --set, the server itself asks the questions that eval
import has kept, and keeps the report.

Hybrid is compared with the better of its legs. --tune looks for its weight on one
half of the questions and says what it is worth on the other.`,
		Example: `  commandcenter eval run --beir scifact --plot scifact.svg
  commandcenter eval run --beir nfcorpus --tune --runs runs
  commandcenter eval run --set handbook --tune
  commandcenter eval run --questions questions.jsonl --modes hybrid --alpha 0.7 --json`,
		Args: nargs(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if given := len(strings.Fields(mark(f.beir) + mark(f.questions) + mark(f.set))); given != 1 {
				return usageError{errors.New("give --beir, --questions or --set")}
			}
			if f.set != "" {
				return e.evaluateSet(cmd, f)
			}
			if f.rerank || f.label != "" {
				return usageError{errors.New("--rerank and --label go with --set")}
			}
			return e.evaluate(cmd, f)
		},
	}
	fs := c.Flags()
	fs.StringVar(&f.beir, "beir", "", "folder of a collection in the layout of BEIR")
	fs.StringVar(&f.split, "split", "test", "which judgements of it: qrels/SPLIT.tsv")
	fs.StringVar(&f.qrels, "qrels", "", "file of judgements to use in their place, as TREC or BEIR has them")
	fs.StringVar(&f.questions, "questions", "", "file of judged questions on documents that the server has")
	fs.StringVar(&f.set, "set", "", "set of questions that the project has (eval sets)")
	fs.StringVar(&f.label, "label", "", "with --set, what to call the evaluation")
	fs.BoolVar(&f.rerank, "rerank", false, "with --set, ask once more with the best 20 re-ranked")
	fs.StringVar(&f.collection, "collection", "", "with --questions or --set, search only this collection")
	fs.StringSliceVar(&f.modes, "modes", []string{"keyword", "vector", "hybrid"}, "modes to compare")
	fs.Float64Var(&f.alpha, "alpha", 0, "weight of the vector leg in hybrid mode, 0 to 1 (default: the server's)")
	fs.StringVar(&f.fusion, "fusion", "", "how the legs are joined: convex or rrf (default: the server's)")
	fs.BoolVar(&f.tune, "tune", false, "tune that weight on one half of the questions as well, and compare on the other")
	fs.BoolVar(&f.keep, "keep", false, "with --beir, keep the project")
	fs.IntVarP(&f.parallel, "parallel", "p", 4, "uploads and questions at a time")
	fs.StringVar(&f.plot, "plot", "", "file to draw the report into, as SVG")
	fs.StringVar(&f.runs, "runs", "", "folder to write the rankings into, as TREC run files")
	values(c, "modes", "keyword", "vector", "hybrid")
	values(c, "fusion", "convex", "rrf")
	e.bind(c, false, "client.server", "client.ca_file", "client.project")
	return ends(c, append(codesOne[:len(codesOne):len(codesOne)], exitUsage)...)
}

// mark is a word for a flag that is given.
func mark(flag string) string {
	if flag == "" {
		return ""
	}
	return "x "
}

func (f evalFlags) settings(alpha bool) ([]trial.Setting, error) {
	var out []trial.Setting
	for _, m := range f.modes {
		s := trial.Setting{Mode: m}
		switch m {
		case "keyword", "vector":
		case "hybrid":
			if s.Fusion = f.fusion; alpha {
				s.Alpha = &f.alpha
			}
		default:
			return nil, usageError{fmt.Errorf("mode %q is none of keyword, vector and hybrid", m)}
		}
		out = append(out, s)
	}
	if f.fusion != "" && f.fusion != "convex" && f.fusion != "rrf" || alpha && !(f.alpha >= 0 && f.alpha <= 1) {
		return nil, usageError{errors.New("--fusion is convex or rrf, and --alpha from 0 to 1")}
	}
	return out, nil
}

func (e *env) evaluate(cmd *cobra.Command, f evalFlags) (err error) {
	settings, err := f.settings(cmd.Flags().Changed("alpha"))
	if err != nil {
		return err
	}
	var c *ireval.Collection
	var questions []trial.Question
	if f.beir != "" {
		c, err = collection(f)
	} else {
		questions, err = readQuestions(f.questions)
	}
	if err != nil {
		return codedError{err, exitUsage}
	}
	p := e.progress(cmd.Context(), true)
	s, err := e.sessionWith(client.Config{Patience: 5 * time.Minute, Paused: p.Paused})
	if err != nil {
		return err
	}
	if err := s.Authenticate(cmd.Context()); err != nil {
		return err
	}
	var r *trial.Report
	var a evaluate.Asking
	if c == nil {
		r = trial.NewReport(filepath.Base(f.questions), trial.Qrels(questions))
		a = evaluate.Asking{Questions: questions, Search: evaluate.Over(s, f.collection)}
	} else {
		in, done, err := e.temporary(cmd.Context(), s, filepath.Base(filepath.Clean(f.beir)), f.keep)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, done()) }()
		if err := upload(cmd.Context(), in, c, f.parallel, p); err != nil {
			return err
		}
		r = trial.NewReport(filepath.Base(filepath.Clean(f.beir)), c.Qrels)
		r.Documents = len(c.Documents)
		a = evaluate.FromBEIR(c, evaluate.Over(in, ""))
	}
	a.Parallel = f.parallel
	if err := e.askAll(cmd.Context(), r, a, settings, f.tune); err != nil {
		return err
	}
	return e.finish(r, f.plot, f.runs)
}

// askAll runs every setting, and the tuned one.
func (e *env) askAll(ctx context.Context, r *trial.Report, a evaluate.Asking, settings []trial.Setting, tune bool) error {
	hybrid := trial.Setting{Mode: "hybrid"}
	for _, s := range settings {
		if s.Mode == "hybrid" {
			hybrid = s
		}
		step, end := e.steps(ctx, s.Mode, len(a.Questions))
		run, err := a.Run(ctx, s, ireval.All, step)
		end()
		if err != nil {
			return err
		}
		r.Add(trial.Row{Name: s.Mode, Setting: &s}, run)
	}
	if tune {
		step, end := e.steps(ctx, "tuning", trial.Steps*r.QueriesTuning)
		alpha, err := a.Tune(ctx, r.Qrels(), hybrid, step)
		end()
		if err != nil {
			return err
		}
		hybrid.Alpha = &alpha
		step, end = e.steps(ctx, "tuned", len(a.Questions))
		run, err := a.Run(ctx, hybrid, ireval.All, step)
		end()
		if err != nil {
			return err
		}
		r.Add(trial.Row{Name: "hybrid, alpha " + strconv.FormatFloat(alpha, 'f', 2, 64), Setting: &hybrid, Tuned: true}, run)
	}
	r.Compare(func(i int) bool { return r.Rows[i].Setting.Mode != "hybrid" })
	return nil
}

func collection(f evalFlags) (*ireval.Collection, error) {
	c, err := ireval.Load(os.DirFS(f.beir), f.split)
	if err == nil && f.qrels != "" {
		c.Qrels, err = readQrels(f.qrels)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.beir, err)
	}
	return c, nil
}

func readQrels(name string) (q ireval.Qrels, err error) {
	err = reading(name, func(r io.Reader) error {
		q, err = ireval.ReadQrels(r)
		return err
	})
	return q, err
}

func readQuestions(name string) (q []trial.Question, err error) {
	err = reading(name, func(r io.Reader) error {
		q, err = trial.ReadQuestions(r)
		return err
	})
	return q, err
}

func reading(name string, read func(io.Reader) error) (err error) {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := read(f); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// temporary makes a project and returns a session in it; done deletes it.
func (e *env) temporary(ctx context.Context, s *client.Session, name string, keep bool) (in *client.Session, done func() error, err error) {
	key := uuid.NewString()
	text := "made by commandcenter eval run"
	resp, err := s.CreateProject(ctx, &client.CreateProjectParams{IdempotencyKey: &key}, client.ProjectCreate{Name: "eval " + name + " " + key[:8], Description: &text})
	p, err := client.Finish[client.ProjectResponse](ctx, s, resp, err)
	if err != nil {
		return nil, nil, err
	}
	done = func() error {
		if keep {
			e.say("Project %d, %s, is kept.", p.Id, p.Name)
			return nil
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute) // after Ctrl-C too
		defer cancel()
		key := uuid.NewString()
		resp, err := s.DeleteProject(ctx, p.Id, &client.DeleteProjectParams{IdempotencyKey: &key})
		if _, err := client.Finish[any](ctx, s, resp, err); err != nil {
			return fmt.Errorf("project %d, %s, is left: %w", p.Id, p.Name, err)
		}
		return nil
	}
	of := e.cfg.Client.Project
	e.cfg.Client.Project = p.Id
	in, err = e.sessionWith(client.Config{Patience: 5 * time.Minute})
	e.cfg.Client.Project = of
	if err != nil {
		return nil, nil, errors.Join(err, done())
	}
	return in, done, nil
}

// upload puts a collection into the project of a session. Each document has to
// be taken: without one, all figures would be wrong. Those without any text are
// found by nobody, and left out.
func upload(ctx context.Context, s *client.Session, c *ireval.Collection, parallel int, p ingest.Progress) error {
	files := make([]ingest.File, 0, len(c.Documents))
	for i, d := range c.Documents {
		if text := evaluate.Text(d); text != "" {
			f := ingest.Bytes(evaluate.FileName(i), []byte(text))
			f.Title = clipped(d.Title)
			files = append(files, f)
		}
	}
	results, err := ingest.Upload(ctx, s, files, ingest.Options{Parallel: parallel, Category: "evaluation", Wait: true}, p)
	if err != nil {
		return err
	}
	for _, r := range results {
		if !r.OK() {
			return fmt.Errorf("%s was not taken, and figures without it would be wrong: %w", r.Name, r.Err)
		}
	}
	return nil
}

// clipped is a title as long as the contract allows.
func clipped(s string) string {
	r := []rune(strings.TrimSpace(s))
	return string(r[:min(len(r), 512)])
}

// steps is a bar on a terminal, and nothing otherwise.
func (e *env) steps(ctx context.Context, name string, total int) (step, end func()) {
	if e.json || !terminal(e.Err) {
		e.say("Asking %s, %s.", name, count(total, "question"))
		return func() {}, func() {}
	}
	p := mpb.NewWithContext(ctx, mpb.WithOutput(e.Err), mpb.WithWidth(40))
	bar := p.AddBar(int64(total), mpb.PrependDecorators(decor.Name(name+" ", decor.WC{W: 10})),
		mpb.AppendDecorators(decor.CountersNoUnit("%d / %d questions"), decor.Elapsed(decor.ET_STYLE_GO, decor.WC{W: 8})))
	return bar.Increment, func() {
		bar.Abort(false) // what gave up is left as it stands
		p.Wait()
	}
}
