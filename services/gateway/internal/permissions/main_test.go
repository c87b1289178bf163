package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestThePageTellsWhoMayCallWhat(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "page.md")
	if err := run([]string{"../../openapi.yaml", file}); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		"\n## knowledge\n",
		"| login | `POST /api/v1/auth/login` | everybody | – |",
		"| getFederatedProject | `GET /api/fed/projects/{slug}` | an instance, by its key | – |",
		"| getCurrentUserInfo | `GET /api/v1/auth/me` | logged in | read |",
		"| queryKnowledgeBase | `POST /api/v1/knowledge/query` | viewer | read |",
		"| deleteProject | `DELETE /api/v1/projects/{project_id}` | owner | admin |",
		"| transferProject | `POST /api/v1/projects/{project_id}/transfer` | owner | – |",
		"| addDocument | `POST /api/v1/knowledge/documents` | member | write |",
	} {
		if !strings.Contains(string(got), line) {
			t.Errorf("no %q", line)
		}
	}
	committed, err := os.ReadFile("../../PERMISSIONS.md")
	if err != nil || string(committed) != string(got) {
		t.Errorf("PERMISSIONS.md is not what make gen writes: %v", err)
	}
}

func TestWhatIsNoContractHasNoPage(t *testing.T) {
	t.Parallel()
	bad := filepath.Join(t.TempDir(), "bad.yaml")
	if err := os.WriteFile(bad, []byte("openapi: 3.0.3"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{nil, {"none.yaml", "page"}, {bad, "page"}} {
		if err := run(args); err == nil {
			t.Errorf("%v is taken", args)
		}
	}
}
