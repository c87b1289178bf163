package gateway_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/commandcenter/commandcenter/services/gateway"
)

// TestWhatTakesThePlaceOfKnowledgeBeastIsThere compares KNOWLEDGEBEAST.md with the
// contract: what it names here exists, and what is left out has a reason.
func TestWhatTakesThePlaceOfKnowledgeBeastIsThere(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("KNOWLEDGEBEAST.md")
	if err != nil {
		t.Fatal(err)
	}
	doc, err := openapi3.NewLoader().LoadFromData(gateway.OpenAPI())
	if err != nil {
		t.Fatal(err)
	}
	known, tools := map[string]bool{}, map[string]bool{}
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			known[method+" "+strings.TrimSuffix(path, "/")] = true
			if name, ok := op.Extensions["x-mcp"].(string); ok {
				tools[name] = true
			}
		}
	}
	quoted := regexp.MustCompile("`([^`]+)`")
	rows, seen := 0, map[string]bool{}
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if len(cells) != 3 || strings.HasPrefix(cells[0], "---") || strings.TrimSpace(cells[0]) == "there" {
			continue
		}
		rows++
		if strings.TrimSpace(cells[1]) == "–" && strings.TrimSpace(cells[2]) == "" {
			t.Errorf("left out without a reason: %s", line)
		}
		for _, m := range quoted.FindAllStringSubmatch(cells[1], -1) {
			name := m[1]
			seen[name] = true
			if ok := known[name] || tools[name] || strings.HasPrefix(name, "commandcenter "); !ok {
				t.Errorf("there is no %s: %s", name, line)
			}
		}
	}
	if rows < 45 {
		t.Errorf("only %d rows were read", rows)
	}
	for name := range tools {
		if strings.HasPrefix(name, "kb_") && !seen[name] {
			t.Errorf("the tool %s is not told of", name)
		}
	}
}
