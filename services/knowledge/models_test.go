package knowledge_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/commandcenter/commandcenter/services/knowledge"
)

func TestTheTableSaysWhatIsOnThisMachine(t *testing.T) { // not parallel: the environment
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	t.Setenv("HOME", t.TempDir())
	c := knowledge.DefaultConfig()
	c.Model = "bge-small-en-v1.5"
	all, err := knowledge.EmbeddingModels(c)
	if err != nil {
		t.Fatal(err)
	}
	chosen := 0
	pinned := map[string]bool{
		"all-MiniLM-L6-v2": true, "all-mpnet-base-v2": true, "all-MiniLM-L6-v2-int8": true, "all-mpnet-base-v2-int8": true,
	}
	for _, m := range all {
		if m.State != knowledge.ModelMissing || m.Problem == "" || (m.Dimensions < 1) != (m.Kind == knowledge.Ranks) || len(m.Files) != 2 || !strings.HasSuffix(m.Directory, m.Revision) {
			t.Errorf("%+v", m)
		}
		if m.Chosen {
			chosen++
		}
		if m.Chosen != (m.Name == c.Model || m.Name == c.Rerank.Model) || m.Files[0].Pinned != pinned[m.Name] {
			t.Errorf("%s: chosen %v, files %+v", m.Name, m.Chosen, m.Files)
		}
	}
	if len(all) < 6 || chosen != 2 {
		t.Errorf("%d models, %d chosen", len(all), chosen)
	}
	if err := os.MkdirAll(all[0].Directory, 0o750); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"model.safetensors", "tokenizer.json"} {
		if err := os.WriteFile(filepath.Join(all[0].Directory, name), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	m, err := knowledge.VerifyModel(t.Context(), c, all[0].Name)
	if err != nil || m.State != knowledge.ModelDamaged || m.Problem == "" {
		t.Errorf("damaged files: %+v, %v", m, err)
	}
	if m, err := knowledge.VerifyModel(t.Context(), c, c.Model); err != nil || m.State != knowledge.ModelMissing {
		t.Errorf("no files: %+v, %v", m, err)
	}
	for name, err := range map[string]error{
		"verify": second(knowledge.VerifyModel(t.Context(), c, "no-such-model")),
		"pull":   second(knowledge.PullModel(t.Context(), c, "no-such-model", nil)),
	} {
		if !errors.Is(err, knowledge.ErrNoModel) {
			t.Errorf("%s an unknown model: %v", name, err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

func TestASettingNamesAModelOfTheTableOrNone(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]bool{
		"": true, "true": true, "1": true, "off": true, "false": true, "0": true, "all-MiniLM-L6-v2": true, "all-mpnet-base-v2": true, "gpt": false,
	} {
		c := knowledge.DefaultConfig()
		c.Model = name
		if err := c.Validate(); (err == nil) != want {
			t.Errorf("%q: %v", name, err)
		}
	}
	c := knowledge.DefaultConfig()
	c.ProjectModels = []string{"all-mpnet-base-v2", knowledge.EndpointModel}
	if err := c.Validate(); err == nil {
		t.Error("projects may choose a service, and there is none")
	}
	c.Endpoint = knowledge.Endpoint{Kind: "openai", Model: "small", Dimensions: 1536}
	if err := c.Validate(); err != nil {
		t.Error(err)
	}
	c.Endpoint.Dimensions = 1
	if err := c.Validate(); err == nil || !strings.Contains(err.Error(), "endpoint.dimensions") {
		t.Errorf("vectors of one number: %v", err)
	}
	c = knowledge.DefaultConfig()
	c.Model, c.ProjectModels = "off", []string{"all-mpnet-base-v2"}
	if err := c.Validate(); err == nil {
		t.Error("projects may choose where nothing is embedded")
	}
}
