package cli

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/commandcenter/commandcenter/services/commandcenter/internal/client"
	"github.com/commandcenter/commandcenter/services/knowledge"
)

type searchFlags struct {
	mode, fusion, category, collection string
	rerank                             string
	alpha, diversity                   float64
	limit, offset, around, candidates  int
	full, group, explain, fresh        bool
}

func (e *env) searchCommand() *cobra.Command {
	var f searchFlags
	c := &cobra.Command{
		Use:   "search QUERY",
		Short: "Search the documents of the project",
		Example: `  commandcenter search "what survives a kill -9"
  commandcenter search outbox --mode keyword --limit 3
  commandcenter search '"exactly once" +retry -queue' --documents
  commandcenter search 'embed* lang:go (symbol:parse OR title:config)' --explain
  commandcenter search "how are secrets kept" --collection default --json | jq '.[0].source_file'`,
		Args: nargs(1, -1),
		RunE: func(cmd *cobra.Command, args []string) error { return e.search(cmd, strings.Join(args, " "), f) },
	}
	fs := c.Flags()
	fs.StringVar(&f.mode, "mode", "", "hybrid, vector or keyword (default: as the project has it, or else hybrid)")
	fs.Float64Var(&f.alpha, "alpha", 0, "weight of the vector leg in hybrid mode, 0 to 1 (default: as the project has it, or else as tuned)")
	fs.StringVar(&f.fusion, "fusion", "", "how the legs are joined: convex or rrf (default: as the project has it, or else convex)")
	fs.IntVarP(&f.limit, "limit", "n", 5, "most results")
	fs.StringVar(&f.category, "category", "", "only this category")
	fs.StringVar(&f.collection, "collection", "", "only this collection")
	fs.IntVar(&f.offset, "offset", 0, "how many of the best to leave out, for a second page")
	fs.BoolVar(&f.group, "documents", false, "the best passage of each document alone")
	fs.Float64Var(&f.diversity, "diversity", 0, "how much likeness to a better passage counts against one, 0 to 1")
	fs.IntVar(&f.around, "around", 0, "print as many passages before and after each, up to 3")
	fs.StringVar(&f.rerank, "rerank", "", "rank the best anew by a model that reads query and passage together: true, false, or its name (default: as is set)")
	fs.Lookup("rerank").NoOptDefVal = "true"
	fs.IntVar(&f.candidates, "candidates", 0, "how many of the best are ranked anew (default: as is set)")
	fs.BoolVar(&f.explain, "explain", false, "how the query was read, and what each word gave to a score")
	fs.BoolVar(&f.fresh, "fresh", false, "search anew, though an answer is kept and nothing has changed since")
	fs.BoolVar(&f.full, "full", false, "print whole passages")
	values(c, "mode", "hybrid", "vector", "keyword")
	values(c, "fusion", "convex", "rrf")
	values(c, "rerank", "true", "false", knowledge.EndpointModel)
	e.bind(c, false, "client.server", "client.ca_file", "client.project")
	return ends(c, codesClient...)
}

func (e *env) search(cmd *cobra.Command, query string, f searchFlags) error {
	s, err := e.session()
	if err != nil {
		return err
	}
	params := &client.QueryKnowledgeBaseParams{}
	if f.mode != "" {
		m := client.QueryKnowledgeBaseParamsMode(f.mode)
		params.Mode = &m
	}
	if f.fusion != "" {
		m := client.QueryKnowledgeBaseParamsFusion(f.fusion)
		params.Fusion = &m
	}
	if cmd.Flags().Changed("alpha") {
		params.Alpha = &f.alpha
	}
	if f.offset != 0 {
		params.Offset = &f.offset
	}
	if f.group {
		g := client.QueryKnowledgeBaseParamsGroup("document")
		params.Group = &g
	}
	if f.diversity != 0 {
		params.Diversity = &f.diversity
	}
	if f.around != 0 {
		params.Neighbours = &f.around
	}
	if f.fresh {
		kept := false
		params.Cache = &kept
	}
	if f.explain {
		params.Explain = &f.explain
	}
	if f.rerank != "" {
		params.Rerank = &f.rerank
	}
	if f.candidates != 0 {
		params.Candidates = &f.candidates
	}
	if f.collection != "" {
		params.Collection = &f.collection
	}
	body := client.KnowledgeSearchRequest{Query: query, Limit: &f.limit}
	if f.category != "" {
		body.Category = &f.category
	}
	var header http.Header
	resp, err := s.QueryKnowledgeBase(cmd.Context(), params, body)
	if resp != nil {
		header = resp.Header
	}
	found, err := client.Into[[]client.KnowledgeSearchResult](resp, err)
	if err != nil {
		return err
	}
	if e.json {
		e.print(e.Out, found)
	} else {
		e.printResults(found, f.full, f.offset)
		e.sayHowRead(header, len(found), f.explain)
	}
	if len(found) == 0 && !e.json {
		e.sayWhyNothing(cmd.Context(), s, params.Collection)
	}
	// An answer with nothing in it does not say so either: here it is said to
	// programs too, beside the answer.
	if why, used := header.Get("CC-Search-Degraded"), header.Get("CC-Search-Mode"); why != "" && used != f.mode {
		fmt.Fprintf(e.Err, "Searched in mode %s: %s\n", used, oneLine(why)) // only talk
	}
	if why := header.Get("CC-Search-Not-Reranked"); why != "" {
		fmt.Fprintf(e.Err, "Not re-ranked: %s\n", oneLine(why)) // only talk
	}
	return nil
}

// sayWhyNothing tells of a search without results what may be the reason: that
// there is nothing to search, or not yet.
func (e *env) sayWhyNothing(ctx context.Context, s *client.Session, collection *string) {
	most := 100
	all, err := client.Into[client.DocumentPage](s.ListDocuments(ctx, &client.ListDocumentsParams{Collection: collection, Limit: &most}))
	if err != nil {
		return // the answer itself stands
	}
	indexing := 0
	for _, d := range all.Items {
		if d.State == client.DocumentStateIndexing {
			indexing++
		}
	}
	where := "The project"
	if collection != nil {
		where = "The collection"
	}
	switch {
	case all.Total == 0:
		e.say("%s has no documents yet: `commandcenter ingest` puts some in.", where)
	case indexing > 0:
		e.say("%s of the latest %d %s still being indexed: search again in a moment.", count(indexing, "document"), len(all.Items), verb(indexing))
	}
}

func verb(n int) string {
	if n == 1 {
		return "is"
	}
	return "are"
}

func (e *env) printResults(found []client.KnowledgeSearchResult, full bool, offset int) {
	if len(found) == 0 {
		e.say("Nothing found.")
		return
	}
	width := e.width()
	for i, r := range found {
		title := oneLine(r.Title)
		marked := e.marked(r)
		within, content := leadingHeadings(marked)
		for i := range within {
			within[i] = plainly(within[i])
		}
		if h := heading(r.Metadata["heading_path"], within, title); h != "" {
			title += e.paint(e.Out, dim, " › "+h)
		}
		e.line("%s %s  %s", e.paint(e.Out, bold, fmt.Sprintf("%2d.", offset+i+1)), e.paint(e.Out, bold, title), e.paint(e.Out, green, strconv.FormatFloat(r.Score, 'f', 3, 64)))
		var about []string
		if r.SourceFile != nil && *r.SourceFile != r.Title {
			about = append(about, oneLine(*r.SourceFile))
		}
		if page, ok := r.Metadata["page"].(float64); ok {
			about = append(about, fmt.Sprintf("page %.0f", page))
		}
		about = append(about, oneLine(r.Category))
		if legs := legs(r.Metadata); legs != "" {
			about = append(about, legs)
		}
		if r.Others != nil && *r.Others > 0 {
			about = append(about, fmt.Sprintf("%d more of this document", *r.Others))
		}
		e.line("    %s", e.paint(e.Out, dim, strings.Join(about, " · ")))
		for _, l := range shares(r.Metadata) {
			e.line("    %s", e.paint(e.Out, dim, l))
		}
		e.context(r.Before, width)
		text := snippet(content, 3*(width-4))
		if full {
			text = marked
		}
		for _, l := range wrap(text, width-4, full) {
			e.line("    %s", e.shine(l))
		}
		e.context(r.After, width)
		if i < len(found)-1 {
			e.line("")
		}
	}
}

// context prints a neighbour of a passage.
func (e *env) context(texts *[]string, width int) {
	if texts == nil {
		return
	}
	for _, t := range *texts {
		for _, l := range wrap(snippet(t, 2*(width-6)), width-6, false) {
			e.line("    %s", e.paint(e.Out, dim, "┊ "+l))
		}
	}
}

// heading is the way to the passage, without the title that stands before it.
// within are the headings that the passage itself begins with.
func heading(path any, within []string, title string) string {
	var parts []string
	switch p := path.(type) {
	case string:
		parts = strings.Split(p, " > ")
	case []string:
		parts = slices.Clone(p)
	case []any:
		for _, v := range p {
			parts = append(parts, fmt.Sprint(v))
		}
	}
	for _, h := range within {
		if !slices.Contains(parts, h) {
			parts = append(parts, h)
		}
	}
	if len(parts) > 0 && strings.EqualFold(parts[0], title) {
		parts = parts[1:]
	}
	return oneLine(strings.Join(parts, " › "))
}

// leadingHeadings takes the Markdown headings off the beginning of a passage:
// they are shown above it.
func leadingHeadings(content string) (headings []string, rest string) {
	rest = content
	for {
		line, after, _ := strings.Cut(rest, "\n")
		text := strings.TrimLeft(line, "#")
		if text == line || !strings.HasPrefix(text, " ") || strings.TrimSpace(after) == "" {
			return headings, rest
		}
		headings = append(headings, strings.TrimSpace(text))
		rest = strings.TrimLeft(after, "\n")
	}
}

// legs shows what each leg gave, if the server says so.
func legs(m map[string]any) string {
	var out []string
	for _, leg := range []string{"lexical", "vector"} {
		l, ok := m[leg].(map[string]any)
		if !ok {
			continue
		}
		if score, ok := l["score"].(float64); ok {
			out = append(out, fmt.Sprintf("%s %.3f", leg, score))
		}
	}
	if r, ok := m["rerank"].(map[string]any); ok {
		if rank, ok := r["first_rank"].(float64); ok {
			out = append(out, fmt.Sprintf("re-ranked from %.0f", rank))
		}
	}
	return strings.Join(out, ", ")
}

// snippet is a piece of a passage on one line, cut at words: the beginning, or
// where the first word of the query is when that lies beyond.
func snippet(s string, most int) string {
	s = strings.Join(strings.Fields(s), " ")
	runes := []rune(s)
	if len(runes) <= most {
		return s
	}
	if first := slices.Index(runes, markOn); first > most*3/4 {
		from := min(first-most/4, len(runes)-most)
		for from < first && runes[from] != ' ' {
			from++
		}
		if runes = runes[from:]; len(runes) <= most {
			return "…" + string(runes)
		}
		runes = append([]rune("…"), runes...)
	}
	cut := string(runes[:most])
	if i := strings.LastIndex(cut, " "); i > most/2 {
		cut = cut[:i]
	}
	return cut + " …"
}

// wrap breaks text into lines of at most width runes. Whole passages keep
// their own lines.
func wrap(s string, width int, keep bool) []string {
	width = max(width, 20)
	var out []string
	if keep {
		for l := range strings.Lines(s) {
			out = append(out, oneLine(strings.TrimRight(l, "\n")))
		}
		return out
	}
	line, n := "", 0
	for w := range strings.FieldsSeq(oneLine(s)) {
		l := len([]rune(w))
		if n > 0 && n+1+l > width {
			out = append(out, line)
			line, n = "", 0
		}
		if n > 0 {
			line, n = line+" ", n+1
		}
		line, n = line+w, n+l
	}
	if n > 0 {
		out = append(out, line)
	}
	return out
}

func (e *env) width() int {
	if w := columns(e.Out); w > 40 {
		return min(w, 110)
	}
	return 100
}
