package trial

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/commandcenter/commandcenter/pkg/ireval"
)

// Format is how judged questions are written.
type Format string

// The formats. Of Own, judgements stand beside the questions; TREC and BEIR have
// them in a file of their own.
const (
	Own  Format = "json"
	TREC Format = "trec"
	BEIR Format = "beir"
)

// ErrQrels marks what is wrong with judgements, not with questions.
var ErrQrels = errors.New("the judgements")

// Read reads judged questions: of TREC, topics ("id, tab, text" a line, or
// <top> with <num> and <title>) and qrels; of BEIR, queries.jsonl and qrels; of
// its own format, see [ReadQuestions]. Questions without a positive judgement are
// left out, and counted; judgements of questions that there are not are passed
// over.
func Read(f Format, questions, qrels io.Reader) (out []Question, unjudged int, err error) {
	var asked []ireval.Query
	switch f {
	case Own:
		out, err = ReadQuestions(questions)
		return out, 0, err
	case TREC:
		asked, err = readTopics(questions)
	case BEIR:
		asked, err = readQueries(questions)
	default:
		return nil, 0, fmt.Errorf("the format %q is none of json, trec and beir", f)
	}
	if err != nil {
		return nil, 0, err
	}
	judged, err := ireval.ReadQrels(qrels)
	if err != nil {
		return nil, 0, fmt.Errorf("%w: %w", ErrQrels, err)
	}
	seen := map[string]bool{}
	for _, q := range asked {
		switch {
		case q.ID == "" || strings.TrimSpace(q.Text) == "":
			return nil, 0, fmt.Errorf("question %q has no id, or no text", short(q.ID))
		case seen[q.ID]:
			return nil, 0, fmt.Errorf("question %s is there twice", short(q.ID))
		}
		seen[q.ID] = true
		if x := judgedBy(q, judged); len(x.Relevant) > 0 {
			out = append(out, x)
		} else {
			unjudged++
		}
	}
	if len(out) == 0 {
		return nil, 0, fmt.Errorf("%w: none is of a question that is there", ErrQrels)
	}
	return out, unjudged, nil
}

// FromBEIR are the judged questions of a collection.
func FromBEIR(c *ireval.Collection) []Question {
	var out []Question
	for _, q := range c.Queries {
		out = append(out, judgedBy(q, c.Qrels))
	}
	return out
}

func judgedBy(q ireval.Query, judged ireval.Qrels) Question {
	x := Question{ID: q.ID, Text: q.Text}
	for _, d := range ireval.Run(scores(judged[q.ID])).Ranked("") {
		if grade := judged[q.ID][d]; grade > 0 {
			x.Relevant = append(x.Relevant, Section{Source: d, Grade: grade})
		}
	}
	return x
}

// scores makes a run of one query of judgements, whose order is the same every
// time.
func scores(judged map[string]int) map[string]map[string]float64 {
	out := make(map[string]float64, len(judged))
	for d, grade := range judged {
		out[d] = float64(grade)
	}
	return map[string]map[string]float64{"": out}
}

func scan(r io.Reader, each func(n int, line string) error) error {
	s := bufio.NewScanner(r)
	s.Buffer(nil, 1<<20)
	for n := 1; s.Scan(); n++ {
		l := strings.TrimSpace(strings.TrimPrefix(s.Text(), "\ufeff"))
		if l == "" {
			continue
		}
		if err := each(n, l); err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
	}
	return s.Err()
}

func readQueries(r io.Reader) (out []ireval.Query, err error) {
	return out, scan(r, func(_ int, l string) error {
		var q ireval.Query
		if err := json.Unmarshal([]byte(l), &q); err != nil {
			return err
		}
		out = append(out, q)
		return nil
	})
}

// readTopics reads lines, or the mark-up of TREC's ad-hoc tasks, whose tags need
// not be closed.
func readTopics(r io.Reader) (out []ireval.Query, err error) {
	marked, inTitle := false, false
	return out, scan(r, func(_ int, l string) error {
		tag, rest := "", l
		if strings.HasPrefix(l, "<") {
			if i := strings.IndexByte(l, '>'); i > 0 {
				tag, rest = strings.ToLower(l[1:i]), strings.TrimSpace(l[i+1:])
			}
		}
		rest = strings.TrimSpace(strings.TrimSuffix(strings.TrimSuffix(rest, "</title>"), "</num>"))
		switch {
		case tag == "top":
			marked, inTitle = true, false
			out = append(out, ireval.Query{})
		case !marked:
			id, text, ok := strings.Cut(l, "\t")
			if !ok {
				return errors.New("no tab between id and text")
			}
			out = append(out, ireval.Query{ID: strings.TrimSpace(id), Text: strings.TrimSpace(text)})
		case len(out) == 0:
		case tag == "num":
			out[len(out)-1].ID, inTitle = strings.TrimSpace(strings.TrimPrefix(rest, "Number:")), false
		case tag == "title":
			out[len(out)-1].Text, inTitle = strings.TrimSpace(strings.TrimPrefix(rest, "Topic:")), true
		case tag != "":
			inTitle = false
		case inTitle:
			out[len(out)-1].Text = strings.TrimSpace(out[len(out)-1].Text + " " + rest)
		}
		return nil
	})
}

func short(s string) string {
	if r := []rune(s); len(r) > 60 {
		return string(r[:60]) + "…"
	}
	return s
}
