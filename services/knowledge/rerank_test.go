package knowledge

import (
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/commandcenter/commandcenter/services/knowledge/internal/embed"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/embed/embedtest"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/reranker"
)

func TestTheReRankersAreThoseOfTheSettings(t *testing.T) {
	t.Parallel()
	names := func(change func(*Rerank)) (out string) {
		c := DefaultConfig()
		change(&c.Rerank)
		for _, k := range rankers(c, embed.NewGate(1), slog.New(slog.DiscardHandler)) {
			out += k.Name + " "
		}
		return out
	}
	service := RerankEndpoint{Kind: "cohere", Model: "rerank-v3.5", Key: "k"}
	for want, change := range map[string]func(*Rerank){
		"":                                     func(r *Rerank) { r.Model = "off" },
		"ms-marco-MiniLM-L6-v2 ":               func(*Rerank) {},
		"ms-marco-MiniLM-L6-v2 " + "endpoint ": func(r *Rerank) { r.Endpoint = service },
		"endpoint ":                            func(r *Rerank) { r.Endpoint, r.Model = service, EndpointModel },
	} {
		if got := names(change); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestACrossEncoderOfADirectoryGivesScoresFromZeroToOne(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	shape := embedtest.Shape{Layers: 1, Dim: 384, Inner: 96, Places: 128, Head: true}
	if err := embedtest.WriteModel(dir, shape, 3); err != nil {
		t.Fatal(err)
	}
	c := DefaultConfig()
	c.Rerank.ModelDir = dir
	load := func() (reranker.Ranker, error) {
		return rankers(c, embed.NewGate(2), slog.New(slog.DiscardHandler))[0].Load(t.Context())
	}
	r, err := load()
	if err != nil {
		t.Fatal(err)
	}
	scores, err := r.Score(t.Context(), "which?", []string{"this one", "or that one", ""})
	if err != nil || len(scores) != 3 || !strings.Contains(r.Name(), "@") {
		t.Errorf("%s: %v, %v", r.Name(), scores, err)
	}
	for _, s := range scores {
		if !(s > 0 && s < 1) {
			t.Errorf("%v", scores)
		}
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	c.Rerank.ModelDir = t.TempDir()
	var f *reranker.Failure
	if _, err := load(); !errors.As(err, &f) || strings.Contains(f.Reason, c.Rerank.ModelDir) || !strings.Contains(f.Reason, "not been fetched") {
		t.Errorf("no files: %v", err)
	}
}
