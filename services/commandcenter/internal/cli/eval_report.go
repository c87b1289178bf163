package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/commandcenter/commandcenter/pkg/ireval"
	"github.com/commandcenter/commandcenter/pkg/ireval/trial"
)

func (e *env) evalReport() *cobra.Command {
	var qrels, plot, runs, row string
	var against int64
	c := &cobra.Command{
		Use:   "report [EVALUATION] | --qrels FILE RUN...",
		Short: "What evaluations came to, or measure run files and compare them with the first",
		Long: `Without --qrels, lists the evaluations of the project (eval run --set), prints the
report of one, or says by how much it is above another (--against).

With --qrels, reads rankings in TREC's form, of this product (eval run --runs) or of any other, and
judgements as TREC or BEIR has them. Then it asks no server.`,
		Example: `  commandcenter eval report 3 --plot report.svg --runs runs
  commandcenter eval report 4 --against 3 --row hybrid
  commandcenter eval report --qrels qrels.txt bm25.run hybrid.run
  commandcenter eval report --qrels qrels/test.tsv *.run --plot compared.svg --json`,
		Args: nargs(0, 20),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case qrels == "":
				return e.reportOf(cmd, args, against, row, plot, runs)
			case len(args) == 0:
				return usageError{errors.New("name run files")}
			case against != 0 || row != "" || runs != "":
				return usageError{errors.New("--against, --row and --runs go with an evaluation")}
			}
			q, err := readQrels(qrels)
			if err != nil {
				return codedError{err, exitUsage}
			}
			r := trial.NewReport(filepath.Base(qrels), q)
			for i, name := range args {
				var run ireval.Run
				if err := reading(name, func(f io.Reader) (err error) {
					run, err = ireval.ReadRun(f)
					return err
				}); err != nil {
					return codedError{err, exitUsage}
				}
				r.Add(trial.Row{Name: strings.TrimSuffix(filepath.Base(name), ".run")}, run)
				r.Rows[i].Name = oneLine(r.Rows[i].Name)
			}
			r.Compare(func(i int) bool { return i == 0 })
			return e.finish(r, plot, "")
		},
	}
	c.Flags().StringVar(&qrels, "qrels", "", "file of judgements")
	c.Flags().StringVar(&plot, "plot", "", "file to draw the report into, as SVG")
	c.Flags().StringVar(&runs, "runs", "", "folder to fetch the rankings of an evaluation into, as TREC run files")
	c.Flags().Int64Var(&against, "against", 0, "number of the evaluation to compare with")
	c.Flags().StringVar(&row, "row", "", "the row of both to compare (default: the last of each)")
	e.bind(c, false, "client.server", "client.ca_file", "client.project")
	return ends(c, append(codesOne[:len(codesOne):len(codesOne)], exitUsage)...)
}

// finish prints a report and writes what was asked for beside it.
func (e *env) finish(r *trial.Report, plot, runs string) error {
	if plot != "" {
		if err := writing(plot, r.Plot); err != nil {
			return err
		}
	}
	if runs != "" {
		if err := os.MkdirAll(runs, 0o755); err != nil { //nolint:gosec // G301: rankings for whoever reads the folder
			return err
		}
		for i, x := range r.Rows {
			tag := strings.NewReplacer(", ", "-", " ", "-").Replace(x.Name)
			if err := writing(filepath.Join(runs, tag+".run"), func(w io.Writer) error { return ireval.WriteRun(w, r.Run(i), tag) }); err != nil {
				return err
			}
		}
		if err := writing(filepath.Join(runs, "qrels.txt"), func(w io.Writer) error { return ireval.WriteQrels(w, r.Qrels()) }); err != nil {
			return err
		}
	}
	if e.json {
		e.print(e.Out, r)
		return nil
	}
	return e.printReport(r)
}

func writing(name string, write func(io.Writer) error) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	return errors.Join(write(f), f.Close())
}

func (e *env) printReport(r *trial.Report) error {
	e.line("%s: %s, %d for tuning and %d for the report", oneLine(r.Title), count(r.Queries, "judged question"), r.QueriesTuning, r.QueriesReport)
	f := func(v float64) string { return strconv.FormatFloat(v, 'f', 4, 64) }
	t := newTable(e.Out, "", "nDCG@10", "95 %", "TUNING", "REPORT", "RECALL@100", "MRR@10", "MAP", "P@10", "AGAINST")
	for _, x := range r.Rows {
		against := ""
		if a := x.Against; a != nil {
			against = fmt.Sprintf("%s %+.4f [%+.4f, %+.4f], p %.4f", a.Name, a.Mean, a.Low, a.High, a.P)
			if a.Half != "all" {
				against += ", on the report's half"
			}
		}
		t.row(x.Name, f(x.Figures["ndcg@10"]), fmt.Sprintf("%.3f–%.3f", x.Low, x.High), f(x.Tuning), f(x.Report),
			f(x.Figures["recall@100"]), f(x.Figures["mrr@10"]), f(x.Figures["map"]), f(x.Figures["p@10"]), against)
	}
	return t.flush()
}
