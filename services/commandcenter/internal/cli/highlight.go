package cli

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/commandcenter/commandcenter/services/commandcenter/internal/client"
)

// Highlights go through cutting and wrapping as two runes that texts do not
// have, and become colours at the end.
const (
	markOn  = '\ue000'
	markOff = '\ue001'
)

// marked is the text of a passage with its highlights; on a terminal without
// colours, the text alone.
func (e *env) marked(r client.KnowledgeSearchResult) string {
	if r.Highlights == nil || e.paint(e.Out, bold, "x") == "x" {
		return r.Content
	}
	runes := []rune(r.Content)
	for i, c := range runes {
		if c == markOn || c == markOff {
			runes[i] = '\ufffd'
		}
	}
	var b strings.Builder
	at := 0
	for _, h := range *r.Highlights {
		if h.Start < at || h.End <= h.Start || h.End > len(runes) {
			continue
		}
		b.WriteString(string(runes[at:h.Start]))
		b.WriteRune(markOn)
		b.WriteString(string(runes[h.Start:h.End]))
		b.WriteRune(markOff)
		at = h.End
	}
	b.WriteString(string(runes[at:]))
	return b.String()
}

// plainly takes the marks off again.
func plainly(s string) string {
	return strings.NewReplacer(string(markOn), "", string(markOff), "").Replace(s)
}

// shine paints what stands between marks.
func (e *env) shine(line string) string {
	var b strings.Builder
	for {
		before, rest, ok := strings.Cut(line, string(markOn))
		b.WriteString(plainly(before))
		if !ok {
			return b.String()
		}
		word, after, _ := strings.Cut(rest, string(markOff))
		b.WriteString(e.paint(e.Out, bold, plainly(word)))
		line = after
	}
}

// shares are the lines that explain a score, if the answer has them.
func shares(m map[string]any) []string {
	account, ok := m["explanation"].(map[string]any)
	if !ok {
		return nil
	}
	lines := []string{fmt.Sprintf("words %.3f, meaning %.3f at weight %.2f", account["lexical"], account["cosine"], account["vector_weight"])}
	terms, _ := account["terms"].([]any)
	for _, t := range terms {
		if s, ok := t.(map[string]any); ok {
			lines = append(lines, fmt.Sprintf("  %s: %.3f (idf %.2f, %.0f in the text, %.0f in titles)", oneLine(fmt.Sprint(s["term"])), s["score"], s["idf"], s["in_body"], s["in_title"]))
		}
	}
	return lines
}

// sayHowRead tells how many passages match in all, and how the query was read
// when that is asked for.
func (e *env) sayHowRead(h http.Header, shown int, explain bool) {
	if read, err := url.PathUnescape(h.Get("CC-Search-Query")); explain && err == nil && read != "" {
		e.say("Read as: %s", oneLine(read))
	}
	if total := h.Get("CC-Search-Total"); total != "" && total != "0" && total != fmt.Sprint(shown) {
		e.say("%s passages match by words.", oneLine(total))
	}
}
