package cli

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/commandcenter/commandcenter/services/commandcenter/internal/client"
)

type answerFlags struct {
	mode, category, collection, rerank string
	limit, around                      int
	group, fresh                       bool
}

func (e *env) answerCommand() *cobra.Command {
	var f answerFlags
	c := &cobra.Command{
		Use:   "answer QUESTION",
		Short: "Answer a question in words, from the documents of the project",
		Long: `A language model of the instance answers from passages that are found as
search finds them, and its citations are checked: a number in brackets is a passage
that there is, and of words that are quoted it is said whether they stand there. The
answer is printed while it is written; with --json it is one document at the end.`,
		Example: `  commandcenter answer "what survives a kill -9?"
  commandcenter answer "how are secrets kept?" --collection default --passages 12
  commandcenter answer "what does an admin do that a member cannot?" --json | jq '.citations'`,
		Args: nargs(1, -1),
		RunE: func(cmd *cobra.Command, args []string) error { return e.answer(cmd, strings.Join(args, " "), f) },
	}
	fs := c.Flags()
	fs.StringVar(&f.mode, "mode", "", "search by hybrid, vector or keyword (default: hybrid)")
	fs.IntVarP(&f.limit, "passages", "n", 0, "most passages that the language model is given (default: as is set)")
	fs.StringVar(&f.category, "category", "", "only this category")
	fs.StringVar(&f.collection, "collection", "", "only this collection")
	fs.BoolVar(&f.group, "documents", false, "the best passage of each document alone")
	fs.IntVar(&f.around, "around", 0, "give as many passages before and after each as well, up to 3")
	fs.StringVar(&f.rerank, "rerank", "", "rank the passages anew before: true, false, or the name of a model (default: as is set)")
	fs.Lookup("rerank").NoOptDefVal = "true"
	fs.BoolVar(&f.fresh, "fresh", false, "have the answer written anew, though one is kept that is about the same passages")
	values(c, "mode", "hybrid", "vector", "keyword")
	e.bind(c, false, "client.server", "client.ca_file", "client.project")
	return ends(c, codesClient...)
}

func (e *env) answer(cmd *cobra.Command, question string, f answerFlags) error {
	s, err := e.session()
	if err != nil {
		return err
	}
	p := &client.AnswerQuestionParams{Collection: some(f.collection), Rerank: some(f.rerank)}
	if f.mode != "" {
		m := client.AnswerQuestionParamsMode(f.mode)
		p.Mode = &m
	}
	if f.fresh {
		kept := false
		p.Cache = &kept
	}
	if f.group {
		g := client.AnswerQuestionParamsGroup("document")
		p.Group = &g
	}
	if f.around != 0 {
		p.Neighbours = &f.around
	}
	q := client.KnowledgeQuestion{Question: question, Category: some(f.category)}
	if f.limit != 0 {
		q.Limit = &f.limit
	}
	heard := false
	a, err := s.Ask(cmd.Context(), p, q, func(text string) error {
		if !e.json {
			heard = true
			_, err := fmt.Fprint(e.Out, lined(text))
			return err
		}
		return nil
	})
	if heard {
		e.line("")
	}
	if err != nil {
		return err
	}
	if e.json {
		e.print(e.Out, a)
	} else {
		e.printCitations(a)
	}
	e.sayHowAnswered(a)
	return nil
}

// lined is a text that may have several lines, without what else a terminal would
// obey.
func lined(text string) string {
	lines := strings.Split(text, "\n")
	for i := range lines {
		lines[i] = oneLine(lines[i])
	}
	return strings.Join(lines, "\n")
}

// printCitations prints the passages that are cited, each once, with the words that
// are quoted of it.
func (e *env) printCitations(a client.KnowledgeAnswer) {
	if a.Outcome == client.NoAnswer {
		e.line("The documents do not say.")
	}
	var told []int
	for _, c := range a.Citations {
		if !slices.Contains(told, c.Number) {
			if len(told) == 0 {
				e.line("")
			}
			told = append(told, c.Number)
			title := oneLine(c.Title)
			if h := heading(c.HeadingPath, nil, title); h != "" {
				title += e.paint(e.Out, dim, " › "+h)
			}
			if c.SourceFile != c.Title {
				title += e.paint(e.Out, dim, "  "+oneLine(c.SourceFile))
			}
			if c.Page != nil {
				title += e.paint(e.Out, dim, fmt.Sprintf(", page %d", *c.Page))
			}
			e.line("%s %s", e.paint(e.Out, bold, fmt.Sprintf("[%d]", c.Number)), title)
			for _, q := range a.Citations {
				if q.Number == c.Number && q.Quote != nil {
					e.printQuote(*q.Quote, or(q.Verified, false))
				}
			}
		}
	}
}

func (e *env) printQuote(quote string, stands bool) {
	if stands {
		e.line("    %s", e.paint(e.Out, green, "“"+oneLine(quote)+"” stands there"))
		return
	}
	e.line("    %s", e.paint(e.Out, red, "“"+oneLine(quote)+"” does not stand there"))
}

// sayHowAnswered says what to mind.
func (e *env) sayHowAnswered(a client.KnowledgeAnswer) {
	say := func(format string, args ...any) {
		fmt.Fprintf(e.Err, format+"\n", args...) // only talk
	}
	if a.Outcome == client.Uncited {
		say("No passage is cited for this: it may be invented.")
	}
	if len(a.Invented) > 0 {
		say("Citations of passages that there are not were taken out: %d.", len(a.Invented))
	}
	if a.Truncated {
		say("The model had more to say than it was allowed to.")
	}
	if a.WrittenFor != nil {
		say("Written before, for the question %q; --fresh has it written anew.", oneLine(*a.WrittenFor))
	}
	if a.Retrieval.Degraded != nil {
		say("Searched in mode %s: %s", a.Retrieval.Mode, oneLine(*a.Retrieval.Degraded))
	}
	if a.Retrieval.NotReranked != nil {
		say("Not re-ranked: %s", oneLine(*a.Retrieval.NotReranked))
	}
}
