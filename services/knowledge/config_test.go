package knowledge_test

import (
	"strings"
	"testing"

	"github.com/commandcenter/commandcenter/services/knowledge"
)

func TestDefaultsAreValidAndFaultsAreToldAtOnce(t *testing.T) {
	t.Parallel()
	if err := knowledge.DefaultConfig().Validate(); err != nil {
		t.Fatal(err)
	}
	err := knowledge.Config{}.Validate()
	if err == nil {
		t.Fatal("an empty configuration is valid")
	}
	for _, key := range []string{"wait", "extractors", "max_chunks", "chunk_tokens", "index_memory_mb", "jobs", "alpha", "fusion", "housekeeping", "orphans", "removals"} {
		if !strings.Contains(err.Error(), key+":") {
			t.Errorf("%q is not named in: %v", key, err)
		}
	}
	if _, err := knowledge.New(knowledge.Deps{}, knowledge.Config{}); err == nil {
		t.Error("a service was made of an empty configuration")
	}
	if _, err := knowledge.New(knowledge.Deps{}, knowledge.DefaultConfig()); err == nil {
		t.Error("a service was made without a database")
	}
}
