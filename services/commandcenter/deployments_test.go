package main_test

import (
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/commandcenter/commandcenter/pkg/archtest"
)

// These tests read files outside the module, which the test cache does not
// watch: `make deployments` runs them with -count=1.

const top = "../.."

func read(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(top, name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// documents decodes every document of a YAML file.
func documents(t *testing.T, name string) []map[string]any {
	t.Helper()
	var out []map[string]any
	d := yaml.NewDecoder(strings.NewReader(string(read(t, name))))
	for {
		var doc map[string]any
		err := d.Decode(&doc)
		if err != nil && err.Error() == "EOF" {
			return out
		}
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		out = append(out, doc)
	}
}

// deployed lists the files below deployments with one of the endings.
func deployed(t *testing.T, endings ...string) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(filepath.Join(top, "deployments"), func(name string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() && slices.Contains(endings, filepath.Ext(name)) {
			rel, relErr := filepath.Rel(top, name)
			out = append(out, rel)
			return relErr
		}
		return err
	})
	if err != nil || len(out) == 0 {
		t.Fatalf("no %v below deployments: %v", endings, err)
	}
	return out
}

func TestEveryDeploymentFileParses(t *testing.T) {
	t.Parallel()
	for _, name := range append(deployed(t, ".yaml"), "docker-compose.yml", ".golangci.yml") {
		for _, doc := range documents(t, name) {
			if len(doc) == 0 {
				t.Errorf("%s: an empty document", name)
			}
		}
	}
	for _, name := range deployed(t, ".json") {
		if !json.Valid(read(t, name)) {
			t.Errorf("%s is no JSON", name)
		}
	}
}

func TestEveryServiceRunsInContainersAsWell(t *testing.T) {
	t.Parallel()
	m, err := archtest.Load(".")
	if err != nil {
		t.Fatal(err)
	}
	compose, _ := documents(t, "docker-compose.yml")[0]["services"].(map[string]any)
	scraped := string(read(t, "deployments/prometheus/prometheus.yaml"))
	for _, s := range services(t, m) {
		c, ok := compose[s].(map[string]any)
		if !ok {
			t.Errorf("docker-compose.yml has no service %s", s)
			continue
		}
		if command, _ := c["command"].([]any); !slices.Equal(command, []any{"serve", s}) {
			t.Errorf("docker-compose.yml: %s runs %v", s, c["command"])
		}
		if !strings.Contains(scraped, s+":9100") {
			t.Errorf("prometheus.yaml does not scrape %s", s)
		}
	}
}

// TestVariablesNamedInContainersAndAdviceAreSettings: one that nobody reads is
// worse than none.
func TestVariablesNamedInContainersAndAdviceAreSettings(t *testing.T) {
	t.Parallel()
	known := map[string]bool{"CC_CONFIG": true, "CC_PG_BIN": true}
	var entries []struct{ Env string }
	code, out, errs := run(t, "config", "list", "--json")
	if err := json.Unmarshal([]byte(out), &entries); err != nil || code != 0 || len(entries) == 0 {
		t.Fatalf("config list: %d %s%s", code, out, errs)
	}
	for _, e := range entries {
		known[e.Env] = true
	}
	names := append(deployed(t, ".yaml", ".md"), "docker-compose.yml", "deployments/Dockerfile", "README.md", "CONTRIBUTING.md", "services/knowledge/internal/embed/fetch/fetch.go")
	found := 0
	for _, name := range names {
		for _, v := range regexp.MustCompile(`\bCC_[A-Z0-9_]+\b`).FindAllString(string(read(t, name)), -1) {
			if found++; !known[v] {
				t.Errorf("%s: nobody reads %s", name, v)
			}
		}
	}
	if found < 10 {
		t.Errorf("only %d variables found: the test looks at the wrong files", found)
	}
}

func TestTheImageIsBuiltFromFilesThatExist(t *testing.T) {
	t.Parallel()
	copies := regexp.MustCompile(`(?m)^COPY ((?:--\S+ )*)(.+)$`).FindAllStringSubmatch(string(read(t, "deployments/Dockerfile")), -1)
	if len(copies) == 0 {
		t.Fatal("no COPY found")
	}
	allowed := string(read(t, "deployments/Dockerfile.dockerignore"))
	for _, c := range copies {
		if strings.Contains(c[1], "--from=") {
			continue
		}
		words := strings.Fields(c[2])
		for _, source := range words[:len(words)-1] {
			if _, err := os.Stat(filepath.Join(top, source)); err != nil {
				t.Errorf("COPY %s: %v", source, err)
			}
			if first, _, _ := strings.Cut(source, "/"); !strings.Contains(allowed, "!"+first+"\n") {
				t.Errorf("COPY %s: .dockerignore leaves %s out", source, first)
			}
		}
	}
}

func TestFilesThatContainersMountExist(t *testing.T) {
	t.Parallel()
	compose, _ := documents(t, "docker-compose.yml")[0]["services"].(map[string]any)
	mounts := 0
	for name, s := range compose {
		service, _ := s.(map[string]any)
		volumes, _ := service["volumes"].([]any)
		for _, v := range volumes {
			text, _ := v.(string)
			source, _, _ := strings.Cut(text, ":")
			if !strings.HasPrefix(source, "./") {
				continue
			}
			mounts++
			if _, err := os.Stat(filepath.Join(top, source)); err != nil {
				t.Errorf("%s mounts %s: %v", name, source, err)
			}
		}
	}
	if mounts == 0 {
		t.Error("no mounts found: the test looks at the wrong place")
	}
}

var (
	metricName = regexp.MustCompile(`\b[a-z][a-z0-9]*(?:_[a-z0-9]+)+\b`)
	quoted     = regexp.MustCompile(`"[^"]*"`)
	grouping   = regexp.MustCompile(`\b(by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)`)
)

// asked lists the metrics of a PromQL expression.
func asked(expr string) []string {
	plain := grouping.ReplaceAllString(quoted.ReplaceAllString(expr, `""`), "")
	plain = regexp.MustCompile(`\{[^}]*\}`).ReplaceAllString(plain, "")
	var out []string
	for _, name := range metricName.FindAllString(plain, -1) {
		if !strings.HasPrefix(name, "histogram_") && !strings.HasPrefix(name, "count_") && name != "label_replace" {
			out = append(out, name)
		}
	}
	return out
}

// TestAlertsAndDashboardsAskForMetricsThatExist: an alert on a name that nobody
// writes is silent for ever.
func TestAlertsAndDashboardsAskForMetricsThatExist(t *testing.T) {
	t.Parallel()
	code := source(t)
	var exprs []string
	for _, group := range documents(t, "deployments/prometheus/alerts.yaml")[0]["groups"].([]any) {
		for _, rule := range group.(map[string]any)["rules"].([]any) {
			exprs = append(exprs, rule.(map[string]any)["expr"].(string))
		}
	}
	var board struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(read(t, "deployments/grafana/commandcenter.json"), &board); err != nil {
		t.Fatal(err)
	}
	for _, p := range board.Panels {
		for _, target := range p.Targets {
			exprs = append(exprs, target.Expr)
		}
	}
	checked := 0
	for _, expr := range exprs {
		for _, name := range asked(expr) {
			checked++
			if strings.HasPrefix(name, "go_") || strings.HasPrefix(name, "process_") {
				continue // of the collectors of the Prometheus client
			}
			base := name
			for _, suffix := range []string{"_bucket", "_count", "_sum"} {
				base = strings.TrimSuffix(base, suffix)
			}
			if !strings.Contains(code, `"`+name+`"`) && !strings.Contains(code, `"`+base+`"`) {
				t.Errorf("nobody writes %s, asked for by %s", name, expr)
			}
		}
	}
	if checked < 20 {
		t.Errorf("only %d metrics found in %d expressions: the test looks at the wrong place", checked, len(exprs))
	}
}

// source is the text of every Go file of pkg and services that is not a test.
func source(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	for _, module := range []string{"pkg", "services"} {
		err := filepath.WalkDir(filepath.Join(top, module), func(name string, e fs.DirEntry, err error) error {
			if err != nil || e.IsDir() || filepath.Ext(name) != ".go" || strings.HasSuffix(name, "_test.go") {
				return err
			}
			data, err := os.ReadFile(name)
			b.Write(data)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return b.String()
}
