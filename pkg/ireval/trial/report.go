package trial

import (
	"math"

	"github.com/commandcenter/commandcenter/pkg/ireval"
)

// Names are the figures of a report, the one that decides first.
var Names = []string{"ndcg@10", "recall@100", "mrr@10", "map", "p@10"}

// Decisive is the figure that settings are compared and tuned by.
const Decisive = "ndcg@10"

// Setting is how to search.
type Setting struct {
	Mode   string   `json:"mode"`
	Alpha  *float64 `json:"alpha,omitempty"`  // nil: that of whoever is asked
	Fusion string   `json:"fusion,omitempty"` // "": as above
	Rerank bool     `json:"rerank,omitempty"`
}

// String is a short name of the setting.
func (s Setting) String() string {
	if s.Rerank {
		return s.Mode + ", re-ranked"
	}
	return s.Mode
}

// Point is what a weight came to in tuning, on the half of the questions that is
// there for it.
type Point struct {
	Alpha float64 `json:"alpha"`
	NDCG  float64 `json:"ndcg10"`
}

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
	// Curve is what was tried in tuning, where a server has tuned.
	Curve []Point `json:"curve,omitempty"`

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

// Steps is how many weights of the vector leg are tried in tuning.
const Steps = 21

// Weight is the weight at a step, from 0 to 1.
func Weight(step int) float64 { return math.Round(float64(step)*100/(Steps-1)) / 100 }

// Better reports whether a weight with the figure v is to be taken in place of
// the best one so far. Of equal ones the most even is.
func Better(weight, v, bestWeight, best float64) bool {
	return v > best || v == best && math.Abs(weight-.5) < math.Abs(bestWeight-.5)
}
