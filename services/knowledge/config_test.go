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
	for _, key := range []string{"wait", "extractors", "max_chunks", "chunk_tokens", "index_memory_mb", "index_quiet", "jobs", "alpha", "fusion", "housekeeping", "orphans", "removals", "rerank.candidates", "rerank.deadline", "rerank.at_once"} {
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

func TestAReRankerIsOneOfTheTableOrAService(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]struct {
		change func(*knowledge.Rerank)
		ok     bool
	}{
		"the other one of the table": {func(r *knowledge.Rerank) { r.Model = "ms-marco-TinyBERT-L2-v2" }, true},
		"off":                        {func(r *knowledge.Rerank) { r.Model = "off" }, true},
		"no such model":              {func(r *knowledge.Rerank) { r.Model = "all-MiniLM-L6-v2" }, false},
		"always, by none":            {func(r *knowledge.Rerank) { r.Model, r.On = "off", true }, false},
		"a service that is none":     {func(r *knowledge.Rerank) { r.Model = knowledge.EndpointModel }, false},
		"a service": {func(r *knowledge.Rerank) {
			r.Model, r.Endpoint = knowledge.EndpointModel, knowledge.RerankEndpoint{Kind: "tei", URL: "http://127.0.0.1:8080"}
		}, true},
		"a service without an address": {func(r *knowledge.Rerank) { r.Endpoint.Kind = "tei" }, false},
	} {
		c := knowledge.DefaultConfig()
		want.change(&c.Rerank)
		if err := c.Validate(); (err == nil) != want.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}
