package evaluation

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/ireval"
	"github.com/commandcenter/commandcenter/pkg/ireval/trial"
	"github.com/commandcenter/commandcenter/pkg/tenant"
)

// Bounds of what a project keeps.
const (
	MaxSets        = 100
	MaxQuestions   = 5000    // of a set
	MaxJudgements  = 100_000 // of a set
	MaxText        = 4096    // characters of a question, as of a search
	MaxID          = 200     // characters of the id of a question
	MaxDocument    = 1024    // characters of a judged document, and of a heading
	MaxEvaluations = 200
	MaxUnfinished  = 4
	Depth          = 100 // documents of a ranking that are kept
	Reranked       = 20  // passages that are ranked anew
)

// Errors.
var (
	ErrNoSet = errs.New(errs.NotFound, "there is no such set of judged questions")
	ErrNone  = errs.New(errs.NotFound, "there is no such evaluation")
	// ErrGone says that an evaluation was deleted while it was at work.
	ErrGone = errors.New("the evaluation is gone")
)

// Set is judged questions of a project.
type Set struct {
	ID         int64
	Name       string
	Questions  int
	Judgements int
	Principal  string // who imported it last
	CreatedAt  time.Time
	UpdatedAt  time.Time
}

var nameForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._ -]{0,99}$`)

// CheckName says what is wrong with the name of a set.
func CheckName(name string) error {
	if !nameForm.MatchString(name) || strings.TrimSpace(name) != name {
		return errs.InvalidField("value_error", "name must be of up to 100 letters, digits, dots, blanks, underscores and hyphens, and begin with a letter or digit", "body", "name")
	}
	return nil
}

// CheckQuestions says what is wrong with the questions of a set.
func CheckQuestions(questions []trial.Question) error {
	fault := func(format string, args ...any) error {
		return errs.InvalidField("value_error", fmt.Sprintf(format, args...), "body", "questions")
	}
	if len(questions) > MaxQuestions {
		return errs.InvalidField("too_long", fmt.Sprintf("a set has %d questions at most, and these are %d", MaxQuestions, len(questions)), "body", "questions")
	}
	judgements := 0
	for _, q := range questions {
		if !tidy(q.ID, MaxID) || strings.ContainsFunc(q.ID, unicode.IsSpace) {
			return fault("the id of a question must be of up to %d characters without blanks: %.60q", MaxID, q.ID)
		}
		if q.Text == "" || utf8.RuneCountInString(q.Text) > MaxText || strings.ContainsRune(q.Text, 0) {
			return fault("question %s must be of up to %d characters", q.ID, MaxText)
		}
		judged := map[string]bool{}
		for _, s := range q.Relevant {
			if !tidy(s.Source, MaxDocument) || s.Heading != "" && !tidy(s.Heading, MaxDocument) {
				return fault("question %s: a document, or a heading, must be of up to %d characters", q.ID, MaxDocument)
			}
			if s.Grade < 0 || s.Grade > 1000 {
				return fault("question %s: a grade must be from 0 to 1000", q.ID)
			}
			if judged[s.Name()] {
				return fault("question %s: %.60s is judged twice", q.ID, s.Name())
			}
			judged[s.Name()] = true
		}
		judgements += len(q.Relevant)
	}
	if judgements > MaxJudgements {
		return errs.InvalidField("too_long", fmt.Sprintf("a set has %d judgements at most, and these are %d", MaxJudgements, judgements), "body", "qrels")
	}
	return nil
}

func tidy(s string, most int) bool {
	return s != "" && utf8.ValidString(s) && utf8.RuneCountInString(s) <= most && !strings.ContainsFunc(s, unicode.IsControl)
}

// State is what becomes of an evaluation.
type State string

// The states.
const (
	Queued  State = "queued"
	Running State = "running"
	Done    State = "done"
	Failed  State = "failed"
)

// Evaluation is one of a set: what was asked in which ways, and what came of it.
type Evaluation struct {
	ID         int64
	Project    tenant.Project
	Set        int64 // 0 when it is gone
	SetName    string
	Label      string
	Collection string // asked within; "" is all
	Settings   []trial.Setting
	Tune       bool
	State      State
	Error      string // of Failed
	Asked      int    // searches that were made
	Total      int    // that there are to make
	Model      string // whose vectors were searched; "" before that is known
	Generation int64  // of the index, when the last question was asked
	Curve      []trial.Point
	Report     *trial.Report // of Done
	Job        uuid.UUID
	Principal  string
	CreatedAt  time.Time
	FinishedAt time.Time // zero until it is
}

// Tuned is the row of the report that was tuned, and whether there is one.
func (e Evaluation) Tuned() (trial.Row, bool) {
	if e.Report != nil {
		for _, r := range e.Report.Rows {
			if r.Tuned && r.Setting != nil && r.Setting.Alpha != nil {
				return r, true
			}
		}
	}
	return trial.Row{}, false
}

// Row finds a row of the report: by its name, or the last one for "".
func (e Evaluation) Row(name string) (int, error) {
	if e.Report == nil || len(e.Report.Rows) == 0 {
		return 0, errs.Newf(errs.Conflict, "the evaluation is %s: there is no report yet", e.State)
	}
	if name == "" {
		return len(e.Report.Rows) - 1, nil
	}
	var names []string
	for i, r := range e.Report.Rows {
		if r.Name == name {
			return i, nil
		}
		names = append(names, r.Name)
	}
	return 0, errs.InvalidField("enum", "the evaluation has the rows "+strings.Join(names, "; "), "query", "row")
}

// Searches is how many there are to make.
func Searches(questions []trial.Question, settings int, tune bool) int {
	n := settings * len(questions)
	if tune {
		n += len(questions) // by the weight that was found
		for _, q := range questions {
			if ireval.Tuning.Has(q.ID) {
				n += trial.Steps
			}
		}
	}
	return n
}

// Answered is how one question was answered in one way.
type Answered struct {
	Question string
	Names    []string           // of what was found, best first, each once
	Figures  map[string]float64 // when all is done
}

// Scores are the names of a run's question.
func (a Answered) Scores() map[string]float64 { return ireval.Listed(a.Names) }
