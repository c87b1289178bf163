package embed_test

import (
	"encoding/json"
	"errors"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/commandcenter/commandcenter/services/knowledge/internal/embed"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/embed/bert"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/embed/embedtest"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/embed/kernel"
)

func TestTheTableHoldsTogether(t *testing.T) {
	t.Parallel()
	names := map[string]bool{}
	for i, m := range embed.Models {
		found, ok := embed.Named(m.Name)
		if !ok || found.Name != m.Name || names[m.Name] || names[m.Vectors()] {
			t.Errorf("%s is there twice, or not to be found", m.Name)
		}
		names[m.Name], names[m.Vectors()] = true, true
		full, bytes := strings.CutSuffix(m.Name, "-int8")
		if bytes != m.Profile.Network.Int8 || !strings.HasSuffix(m.Source.Repository, "/"+full) || len(m.Source.Revision) != 40 || len(m.Source.Files) != 2 || m.Source.Size() < 10<<20 {
			t.Errorf("%s: source %+v", m.Name, m.Source)
		}
		if m.About == "" || m.Dim < 1 || m.Profile.Window < 128 || (i == 0) != (m.Name == embed.Default) {
			t.Errorf("%s: %+v", m.Name, m)
		}
	}
	if m, ok := embed.Named(""); !ok || m.Name != embed.Default {
		t.Errorf("no name is %q", m.Name)
	}
	if _, ok := embed.Named("no-such-model"); ok {
		t.Error("an unknown model was found")
	}
}

// onDisk writes a small model with what lies beside published ones.
func onDisk(t *testing.T, beside map[string]string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "mine")
	if err := os.MkdirAll(filepath.Join(dir, "1_Pooling"), 0o750); err != nil {
		t.Fatal(err)
	}
	if err := embedtest.WriteModel(dir, embedtest.Small, 7); err != nil {
		t.Fatal(err)
	}
	for name, text := range beside {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

const plainConfig = `{"model_type": "bert", "num_attention_heads": 2, "layer_norm_eps": 1e-12, "hidden_act": "gelu"}`

func TestADirectoryWithAnotherModelSaysHowItIsRun(t *testing.T) {
	t.Parallel()
	dir := onDisk(t, map[string]string{
		"config.json": plainConfig,
		"modules.json": `[{"type": "sentence_transformers.models.Transformer", "path": ""}, {"type": "sentence_transformers.models.Pooling", "path": "1_Pooling"},
			{"type": "sentence_transformers.models.Normalize", "path": "2_Normalize"}]`,
		"1_Pooling/config.json":             `{"word_embedding_dimension": 64, "pooling_mode_cls_token": true, "pooling_mode_mean_tokens": false}`,
		"sentence_bert_config.json":         `{"max_seq_length": 128}`,
		"config_sentence_transformers.json": `{"prompts": {"query": "query: ", "passage": "passage: "}}`,
	})
	name, p, err := embed.Inspect(dir)
	if err != nil {
		t.Fatal(err)
	}
	want := embed.Profile{Network: bert.Config{Heads: 2, Epsilon: 1e-12, Pooling: bert.First}, Window: 128, Query: "query: ", Passage: "passage: ", Parts: true}
	if p != want || !strings.HasPrefix(name, "mine@") || len(name) != len("mine@")+12 {
		t.Errorf("%s: %+v", name, p)
	}
	e, err := embed.Load(dir, embed.Options{Name: name, Model: embed.Model{Profile: p}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = e.Close() }()
	if e.Name() != name || e.MaxTokens() != 128 || e.Dim() != 64 {
		t.Errorf("%s of %d, %d tokens", e.Name(), e.Dim(), e.MaxTokens())
	}
	// What goes before a question is not what goes before a passage.
	q, err := e.EmbedQuery(deadline(t), "the same text")
	if err != nil {
		t.Fatal(err)
	}
	v, err := e.EmbedBatch(deadline(t), []string{"the same text"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if dot(q, v[0]) > 0.99999 {
		t.Error("question and passage have one vector")
	}
}

func TestWhatCannotBeRunAsItWasMadeIsRefused(t *testing.T) {
	t.Parallel()
	for name, beside := range map[string]map[string]string{
		"no config":          nil,
		"another network":    {"config.json": `{"model_type": "roberta"}`},
		"another activation": {"config.json": `{"model_type": "bert", "hidden_act": "relu"}`},
		"relative places":    {"config.json": `{"model_type": "bert", "position_embedding_type": "relative_key"}`},
		"broken config":      {"config.json": `{`},
		"a part of its own":  {"config.json": plainConfig, "modules.json": `[{"type": "sentence_transformers.models.Dense", "path": "2_Dense"}]`},
		"pooling elsewhere":  {"config.json": plainConfig, "modules.json": `[{"type": "x.Pooling", "path": "../up"}]`},
		"another pooling":    {"config.json": plainConfig, "1_Pooling/config.json": `{"pooling_mode_max_tokens": true}`},
		"broken window":      {"config.json": plainConfig, "sentence_bert_config.json": `[]`},
		"broken prompts":     {"config.json": plainConfig, "config_sentence_transformers.json": `{"prompts": 1}`},
	} {
		if _, p, err := embed.Inspect(onDisk(t, beside)); err == nil {
			t.Errorf("%s: taken as %+v", name, p)
		}
	}
	if _, _, err := embed.Inspect(onDisk(t, nil)); !errors.Is(err, embed.ErrDamaged) {
		t.Errorf("what is not the default model, with nothing that says what else: %v", err)
	}
	if _, _, err := embed.Inspect(t.TempDir()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an empty directory: %v", err)
	}
}

func TestAModelThatIsNamedIsCheckedAsFarAsItIsKnown(t *testing.T) {
	t.Parallel()
	dir := onDisk(t, nil)
	pinned, _ := embed.Named("all-mpnet-base-v2")
	if err := pinned.InDirectory(dir); !errors.Is(err, embed.ErrDamaged) {
		t.Errorf("another model was taken for %s: %v", pinned.Name, err)
	}
	open, _ := embed.Named("bge-small-en-v1.5")
	if err := open.InDirectory(dir); err != nil {
		t.Errorf("what has no pin was refused: %v", err)
	}
	if err := open.InDirectory(t.TempDir()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an empty directory: %v", err)
	}
}

func TestAPassageBeyondTheWindowIsSeenInParts(t *testing.T) {
	t.Parallel()
	dir := onDisk(t, nil)
	open := func(p embed.Profile) *embed.Embedder {
		e, err := embed.Load(dir, embed.Options{Model: embed.Model{Profile: p}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = e.Close() })
		return e
	}
	e := open(embed.Profile{Window: 16, Parts: true})
	a, b := strings.Repeat("a ", 14), strings.Repeat("b ", 14)
	var heard []int
	v, err := e.EmbedBatch(deadline(t), []string{a, b, a + b, "x", strings.Repeat("c ", 1000)}, func(done int) { heard = append(heard, done) })
	if err != nil {
		t.Fatal(err)
	}
	var want []float32
	var square float64
	for i := range v[0] {
		want = append(want, v[0][i]+v[1][i])
		square += float64(want[i]) * float64(want[i])
	}
	if c := dot(v[2], want) / math.Sqrt(square); math.Abs(c-1) > 1e-5 {
		t.Errorf("the whole is no mean of its halves: cosine %v", c)
	}
	for i := range v {
		if l := dot(v[i], v[i]); math.Abs(l-1) > 1e-5 {
			t.Errorf("vector %d has length² %v", i, l)
		}
	}
	if len(v) != 5 || len(heard) == 0 || heard[len(heard)-1] != 5 {
		t.Errorf("%d vectors, progress %v", len(v), heard)
	}
	cut, err := open(embed.Profile{Window: 16}).EmbedBatch(deadline(t), []string{a, a + b}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if dot(cut[0], cut[1]) < 0.99999 {
		t.Error("without parts, what is beyond the window was seen")
	}
}

func TestATokenizerThatCannotBeReadIsNamed(t *testing.T) {
	t.Parallel()
	dir := onDisk(t, nil)
	path := filepath.Join(dir, "tokenizer.json")
	for name, text := range map[string]string{"broken": "{", "another kind": `{"model": {"type": "BPE"}}`, "broken list": `{"model": {"vocab": [1]}}`} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := embed.Load(dir, embed.Options{}); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := os.Truncate(path, 100<<20); err != nil {
		t.Fatal(err)
	}
	if _, err := embed.Load(dir, embed.Options{}); err == nil || !strings.Contains(err.Error(), "too many") {
		t.Errorf("a file of 100 MB: %v", err)
	}
}

// The weights are 438 MB, so they are not fetched for a test: commandcenter models
// pull all-mpnet-base-v2 does that.
func TestThePublishedMPNetAgreesWithTheReference(t *testing.T) {
	t.Parallel()
	m, _ := embed.Named("all-mpnet-base-v2")
	dir, err := embed.Locate(embed.Options{Model: m})
	if err != nil {
		t.Skipf("without the published model: %v", err)
	}
	b, err := os.ReadFile("testdata/mpnet.json")
	if err != nil {
		t.Fatal(err)
	}
	var all []struct {
		Text   string
		Tokens int
		Vector []float64
	}
	if err := json.Unmarshal(b, &all); err != nil {
		t.Fatal(err)
	}
	e, err := embed.LoadWith(dir, embed.Options{Model: m}, kernel.Best())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = e.Close() }()
	if e.Name() != "sentence-transformers/all-mpnet-base-v2@e8c3b32e" || e.Dim() != m.Dim || e.MaxTokens() != 384 {
		t.Errorf("%s of %d, %d tokens", e.Name(), e.Dim(), e.MaxTokens())
	}
	for _, want := range all {
		v, err := e.EmbedBatch(deadline(t), []string{want.Text}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if n := len(e.Tokenizer().Encode(nil, want.Text, e.MaxTokens())); n != want.Tokens {
			t.Errorf("%.30q has %d tokens, want %d", want.Text, n, want.Tokens)
		}
		var cosine, worst float64
		for j, w := range want.Vector {
			cosine += float64(v[0][j]) * w
			worst = max(worst, math.Abs(float64(v[0][j])-w))
		}
		t.Logf("%d tokens: cosine %.7f, largest difference %.1e", want.Tokens, cosine, worst)
		if worst > 5e-6 || cosine < 0.9999 {
			t.Errorf("%.30q: off by %g", want.Text, worst)
		}
	}
	name, p, err := embed.Inspect(dir)
	if err != nil || name != e.Name() || p != m.Profile {
		t.Errorf("as an operator's directory it is %q, %+v, %v", name, p, err)
	}
}
