package evaluate

import (
	"context"
	"fmt"
	"math"

	"github.com/commandcenter/commandcenter/pkg/ireval"
)

// Names are the figures of a report, the one that decides first.
var Names = []string{"ndcg@10", "recall@100", "mrr@10", "map", "p@10"}

// Decisive is the figure that settings are compared and tuned by.
const Decisive = "ndcg@10"

// Row is what one setting, or one run file, came to.
type Row struct {
	Name    string             `json:"name"`
	Setting *Setting           `json:"setting,omitempty"`
	Tuned   bool               `json:"tuned,omitempty"`
	Figures map[string]float64 `json:"figures"` // means over all queries
	// Low and High bound the mean of nDCG@10 at 95 %.
	Low    float64 `json:"low"`
	High   float64 `json:"high"`
	Tuning float64 `json:"ndcg10_tuning_half"`
	Report float64 `json:"ndcg10_report_half"`
	// Against says by how much nDCG@10 is above that of the row that it is compared
	// with.
	Against *Against `json:"against,omitempty"`

	values, held []float64 // of nDCG@10, for all and for the report's half
}

// Against is a comparison with another row.
type Against struct {
	Name    string  `json:"name"`
	Half    string  `json:"half"` // "report", or "all" where nothing was tuned
	Queries int     `json:"queries"`
	Mean    float64 `json:"mean"`
	Low     float64 `json:"low"`
	High    float64 `json:"high"`
	P       float64 `json:"p"`
	Better  int     `json:"better"`
	Same    int     `json:"same"`
}

// Report is what came of the questions.
type Report struct {
	Title         string `json:"title"`
	Documents     int    `json:"documents,omitempty"`
	Queries       int    `json:"queries"`
	QueriesTuning int    `json:"queries_tuning_half"`
	QueriesReport int    `json:"queries_report_half"`
	Rows          []Row  `json:"rows"`

	qrels ireval.Qrels
	runs  []ireval.Run
}

// NewReport begins a report by judgements.
func NewReport(title string, q ireval.Qrels) *Report {
	r := &Report{Title: title, qrels: q}
	for _, id := range q.Judged() {
		if r.Queries++; ireval.Tuning.Has(id) {
			r.QueriesTuning++
		} else {
			r.QueriesReport++
		}
	}
	return r
}

// seed of all draws: a report that is made again says the same.
const seed = 1

// Add measures a run.
func (r *Report) Add(row Row, run ireval.Run) {
	measures := ireval.Measures(Names...)
	all := ireval.Evaluate(r.qrels, run, nil, measures...)
	row.Figures = map[string]float64{}
	for _, n := range Names {
		row.Figures[n] = all.Mean(n)
	}
	row.values = all.Values[Decisive]
	row.Low, row.High = ireval.Interval(row.values, seed)
	held := ireval.Evaluate(r.qrels, run, ireval.Report.Has, measures[0])
	row.held, row.Report = held.Values[Decisive], held.Mean(Decisive)
	row.Tuning = ireval.Evaluate(r.qrels, run, ireval.Tuning.Has, measures[0]).Mean(Decisive)
	r.Rows, r.runs = append(r.Rows, row), append(r.runs, run)
}

// Qrels are the judgements.
func (r *Report) Qrels() ireval.Qrels { return r.qrels }

// Run returns the run of a row.
func (r *Report) Run(row int) ireval.Run { return r.runs[row] }

// Compare compares the other rows with the best of those that base says. What was
// tuned is compared on the half that it was not tuned on.
func (r *Report) Compare(base func(row int) bool) {
	best := -1
	for i, x := range r.Rows {
		if base(i) && (best < 0 || x.Figures[Decisive] > r.Rows[best].Figures[Decisive]) {
			best = i
		}
	}
	for i := range r.Rows {
		x := &r.Rows[i]
		if best < 0 || base(i) {
			continue
		}
		a, b, half := r.Rows[best].values, x.values, "all"
		if x.Tuned {
			a, b, half = r.Rows[best].held, x.held, string(ireval.Report)
		}
		d := ireval.Compare(a, b, seed)
		x.Against = &Against{r.Rows[best].Name, half, d.Queries, d.Mean, d.Low, d.High, d.P, d.Better, d.Same}
	}
}

// Step is how finely the weight is tuned.
const Step = .05

// Steps is how many weights [Tune] tries.
const Steps = 21

// Tune finds the weight of the vector leg with the best nDCG@10 on the half that
// is there for it. Of equal ones the most even is taken.
func (a Asking) Tune(ctx context.Context, q ireval.Qrels, s Setting, done func()) (alpha float64, err error) {
	best := -1.0
	for i := range Steps {
		w := math.Round(float64(i)*Step*100) / 100
		s.Alpha = &w
		run, err := a.Run(ctx, s, ireval.Tuning, done)
		if err != nil {
			return 0, fmt.Errorf("weight %.2f: %w", w, err)
		}
		v := ireval.Evaluate(q, run, ireval.Tuning.Has, ireval.Measures(Decisive)...).Mean(Decisive)
		if v > best || v == best && math.Abs(w-.5) < math.Abs(alpha-.5) {
			best, alpha = v, w
		}
	}
	return alpha, nil
}
