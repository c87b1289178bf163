package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/commandcenter/commandcenter/pkg/ireval/trial"
	"github.com/commandcenter/commandcenter/services/commandcenter/internal/client"
)

// trialOf is an evaluation as a server tells it, with the report as it is printed.
type trialOf struct {
	client.Evaluation
	Report *trial.Report `json:"report"`
}

func (e *env) evalImport() *cobra.Command {
	var questions, topics, qrels, beir, split string
	var add bool
	c := &cobra.Command{
		Use:   "import NAME",
		Short: "Keep judged questions in the project, for eval run --set",
		Long: `Reads questions as JSON lines (--questions; see eval run), topics and qrels of TREC
(--topics, --qrels), or the questions of a collection in the layout of BEIR (--beir),
whose documents are in the project already. Judged documents are called by their file
name; where none of the names has an ending, without it.

A set of the same name is replaced; with --add the questions come to it.`,
		Example: `  commandcenter eval import handbook --questions questions.jsonl
  commandcenter eval import robust --topics topics.txt --qrels qrels.txt
  commandcenter eval import scifact --beir scifact --json`,
		Args: nargs(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			all, unjudged, err := questionsOf(questions, topics, qrels, beir, split)
			if err != nil {
				return codedError{err, exitUsage}
			}
			s, err := e.session()
			if err != nil {
				return err
			}
			var set client.JudgedSetImported
			for part := range parts(all) {
				if set, err = e.sendQuestions(cmd.Context(), s, args[0], part, add); err != nil {
					return err
				}
				add = true
			}
			set.Unjudged = unjudged
			if e.json {
				e.print(e.Out, set)
				return nil
			}
			e.line("%s: %s, %s.", set.Set.Name, count(set.Set.Questions, "question"), count(set.Set.Judgements, "judgement"))
			if unjudged > 0 {
				e.say("%s without a positive judgement were left out.", count(unjudged, "question"))
			}
			return nil
		},
	}
	fs := c.Flags()
	fs.StringVar(&questions, "questions", "", "file of judged questions, one as JSON a line")
	fs.StringVar(&topics, "topics", "", "file of questions, as TREC has them or as id, tab and text a line")
	fs.StringVar(&qrels, "qrels", "", "file of judgements for --topics, as TREC or BEIR has them")
	fs.StringVar(&beir, "beir", "", "folder of a collection in the layout of BEIR")
	fs.StringVar(&split, "split", "test", "which judgements of it: qrels/SPLIT.tsv")
	fs.BoolVar(&add, "add", false, "add to the set of that name")
	e.bind(c, false, "client.server", "client.ca_file", "client.project")
	return ends(c, codesClient...)
}

// questionsOf reads judged questions from where the flags say.
func questionsOf(questions, topics, qrels, beir, split string) (all []trial.Question, unjudged int, err error) {
	given := 0
	for _, f := range []string{questions, topics, beir} {
		if f != "" {
			given++
		}
	}
	if given != 1 || (topics != "") != (qrels != "") {
		return nil, 0, errors.New("give --questions, --topics with --qrels, or --beir")
	}
	format := trial.TREC
	switch {
	case questions != "":
		all, err = readQuestions(questions)
		return all, 0, err
	case beir != "":
		format, topics, qrels = trial.BEIR, filepath.Join(beir, "queries.jsonl"), filepath.Join(beir, "qrels", split+".tsv")
	}
	err = reading(qrels, func(judged io.Reader) error {
		return reading(topics, func(asked io.Reader) (err error) {
			all, unjudged, err = trial.Read(format, asked, judged)
			return err
		})
	})
	return all, unjudged, err
}

// partBytes is about how much of a set one call takes.
const partBytes = 400_000

// parts yields as many JSON lines of questions as one call takes.
func parts(all []trial.Question) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		var b strings.Builder
		for _, q := range all {
			line, err := json.Marshal(q)
			if err != nil {
				continue // of strings and numbers: it does not fail
			}
			if b.Len() > 0 && b.Len()+len(line) > partBytes {
				if !yield(b.String()) {
					return
				}
				b.Reset()
			}
			b.Write(line)
			b.WriteByte('\n')
		}
		if b.Len() > 0 {
			yield(b.String())
		}
	}
}

func (e *env) sendQuestions(ctx context.Context, s *client.Session, name, lines string, add bool) (client.JudgedSetImported, error) {
	key := uuid.NewString()
	resp, err := s.ImportJudgements(ctx, &client.ImportJudgementsParams{IdempotencyKey: &key}, client.JudgementsImport{Name: name, Format: client.JudgementsImportFormatJson, Questions: lines, Add: &add})
	return client.Finish[client.JudgedSetImported](ctx, s, resp, err)
}

// judgedSet finds a set by its name.
func judgedSet(ctx context.Context, s *client.Session, name string) (client.JudgedSet, error) {
	all, err := client.Into[[]client.JudgedSet](s.ListJudgements(ctx, &client.ListJudgementsParams{}))
	if err != nil {
		return client.JudgedSet{}, err
	}
	for _, x := range all {
		if x.Name == name {
			return x, nil
		}
	}
	return client.JudgedSet{}, codedError{fmt.Errorf("there is no set %s: `commandcenter eval sets` lists them", oneLine(name)), exitNotFound}
}

// evaluateSet has the server ask a set, and prints what came of it.
func (e *env) evaluateSet(cmd *cobra.Command, f evalFlags) error {
	ctx := cmd.Context()
	s, err := e.session()
	if err != nil {
		return err
	}
	set, err := judgedSet(ctx, s, f.set)
	if err != nil {
		return err
	}
	start := client.EvaluationStart{JudgementsId: set.Id, Tune: &f.tune, Rerank: &f.rerank}
	var modes []client.EvaluationStartModes
	for _, m := range f.modes {
		modes = append(modes, client.EvaluationStartModes(m))
	}
	start.Modes = &modes
	if cmd.Flags().Changed("alpha") {
		start.Alpha = &f.alpha
	}
	if f.fusion != "" {
		fusion := client.EvaluationStartFusion(f.fusion)
		start.Fusion = &fusion
	}
	if f.collection != "" {
		start.Collection = &f.collection
	}
	if f.label != "" {
		start.Label = &f.label
	}
	key := uuid.NewString()
	resp, err := s.StartEvaluation(ctx, &client.StartEvaluationParams{IdempotencyKey: &key}, start)
	begun, err := client.Finish[client.Evaluation](ctx, s, resp, err)
	if err != nil {
		return err
	}
	e.say("Evaluation %d of %s: %s to make. It goes on when this command is interrupted.", begun.Id, set.Name, count(begun.Total, "search"))
	done, err := e.awaitEvaluation(ctx, s, begun.Id)
	if err != nil {
		return err
	}
	return e.printEvaluation(ctx, s, done, f.plot, f.runs)
}

// awaitEvaluation waits until an evaluation has ended, and says how far it is.
func (e *env) awaitEvaluation(ctx context.Context, s *client.Session, id int64) (trialOf, error) {
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	told := time.Now()
	for {
		x, err := client.Into[trialOf](s.GetEvaluation(ctx, id, &client.GetEvaluationParams{}))
		switch {
		case err != nil:
			return x, err
		case x.State == client.EvaluationStateDone:
			return x, nil
		case x.State == client.EvaluationStateFailed:
			return x, fmt.Errorf("evaluation %d failed: %s", id, oneLine(or(x.Error, "")))
		}
		if time.Since(told) > 5*time.Second {
			told = time.Now()
			e.say("%d of %s.", x.Asked, count(x.Total, "search"))
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return x, context.Cause(ctx)
		}
	}
}

// printEvaluation prints a report of the server's, and fetches what was asked for
// beside it.
func (e *env) printEvaluation(ctx context.Context, s *client.Session, x trialOf, plot, runs string) error {
	if x.Report == nil {
		return codedError{fmt.Errorf("evaluation %d is %s: there is no report yet", x.Id, x.State), exitRefused}
	}
	if plot != "" {
		if err := download(plot)(s.PlotEvaluation(ctx, x.Id, &client.PlotEvaluationParams{})); err != nil {
			return err
		}
	}
	if runs != "" {
		if err := os.MkdirAll(runs, 0o755); err != nil { //nolint:gosec // G301: rankings for whoever reads the folder
			return err
		}
		for _, r := range x.Report.Rows {
			name := filepath.Join(runs, strings.NewReplacer(", ", "-", " ", "-").Replace(r.Name)+".run")
			if err := download(name)(s.GetEvaluationRun(ctx, x.Id, &client.GetEvaluationRunParams{Row: &r.Name})); err != nil {
				return err
			}
		}
	}
	if e.json {
		e.print(e.Out, x)
		return nil
	}
	e.line("%s", e.paint(e.Out, dim, fmt.Sprintf("evaluation %d, by %s, index generation %d", x.Id, oneLine(or(x.Model, "words alone")), or(x.IndexGeneration, 0))))
	if err := e.printReport(x.Report); err != nil {
		return err
	}
	for _, r := range x.Report.Rows {
		if r.Tuned {
			e.say("`commandcenter eval apply %d` makes that weight the project's.", x.Id)
		}
	}
	return nil
}

// download writes an answer to a file.
func download(name string) func(resp *http.Response, err error) error {
	return func(resp *http.Response, err error) error {
		if err == nil && resp.StatusCode != http.StatusOK {
			_, err = client.Into[any](resp, nil)
		}
		if err != nil {
			return err
		}
		defer resp.Body.Close() // read only
		var b bytes.Buffer
		if _, err := io.Copy(&b, resp.Body); err != nil {
			return err
		}
		return writing(name, func(w io.Writer) error {
			_, err := w.Write(b.Bytes())
			return err
		})
	}
}

// reportOf prints what a server has: all evaluations, one of them, or by how much
// another is above it.
func (e *env) reportOf(cmd *cobra.Command, args []string, against int64, row, plot, runs string) error {
	ctx := cmd.Context()
	s, err := e.session()
	if err != nil {
		return err
	}
	if len(args) == 0 {
		return e.listEvaluations(ctx, s)
	}
	id, err := strconv.ParseInt(args[0], 10, 64)
	if err != nil || id < 1 || len(args) > 1 {
		return usageError{errors.New("name one evaluation by its number, or run files with --qrels")}
	}
	if against == 0 {
		x, err := client.Into[trialOf](s.GetEvaluation(ctx, id, &client.GetEvaluationParams{}))
		if err != nil {
			return err
		}
		return e.printEvaluation(ctx, s, x, plot, runs)
	}
	params := &client.CompareEvaluationsParams{With: id}
	if row != "" {
		params.Row, params.WithRow = &row, &row
	}
	d, err := client.Into[client.EvaluationComparison](s.CompareEvaluations(ctx, against, params))
	if err != nil {
		return err
	}
	if e.json {
		e.print(e.Out, d)
		return nil
	}
	verdict := "which may be chance"
	if d.Significant {
		verdict = "which is not by chance"
	}
	e.line("%s of evaluation %d is %+.4f nDCG@10 against %s of %d, %s: 95 %% within [%+.4f, %+.4f], p %.4f", oneLine(d.WithRow), id, d.Mean, oneLine(d.Row), against, verdict, d.Low, d.High, d.P)
	e.line("%s, of which %d are better and %d the same (%s).", count(d.Queries, "question"), d.Better, d.Same, map[bool]string{true: "all of them", false: "the report's half"}[d.Half == client.EvaluationComparisonHalfAll])
	return nil
}

func (e *env) listEvaluations(ctx context.Context, s *client.Session) error {
	most := 200
	all, err := client.Into[struct{ Items []trialOf }](s.ListEvaluations(ctx, &client.ListEvaluationsParams{Limit: &most}))
	if err != nil {
		return err
	}
	if e.json {
		e.print(e.Out, all.Items)
		return nil
	}
	t := newTable(e.Out, "EVALUATION", "SET", "LABEL", "STATE", "BEST nDCG@10", "BY", "BEGUN")
	for _, x := range all.Items {
		best, by := "", oneLine(or(x.Error, ""))
		if x.Report != nil {
			v := -1.0
			for _, r := range x.Report.Rows {
				if r.Figures[trial.Decisive] > v {
					v, by = r.Figures[trial.Decisive], r.Name
				}
			}
			best = strconv.FormatFloat(v, 'f', 4, 64)
		}
		t.row(strconv.FormatInt(x.Id, 10), oneLine(x.Judgements), oneLine(or(x.Label, "")), string(x.State), best, by, x.CreatedAt.Local().Format("2006-01-02 15:04"))
	}
	return t.flush()
}
