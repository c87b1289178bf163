package embed

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/commandcenter/commandcenter/services/knowledge/internal/embed/bert"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/embed/fetch"
)

// Profile is what has to be known of a model beside its files. The zero value is
// that of the default model.
type Profile struct {
	Network bert.Config
	Window  int    // tokens of a text that it sees at once, markers included; 0: 256
	Query   string // goes before a question
	Passage string // goes before a passage
	Parts   bool   // a passage beyond the window is seen in parts, whose vectors are averaged
}

// Model is a model that can be fetched.
type Model struct {
	Name    string // as settings call it
	About   string // half a line for people
	Dim     int
	Source  fetch.Model
	Profile Profile
}

// Default is the name of the model that is used where none is chosen.
const Default = "all-MiniLM-L6-v2"

// Models is the table of those that are known, the default first, each once more with
// weights of a byte. It is a constant.
var Models = withInt8([]Model{
	{
		Name: Default, About: "English; small and fast", Dim: 384, Source: fetch.MiniLM,
		Profile: Profile{Window: 256},
	},
	{
		Name: "all-mpnet-base-v2", About: "English; better, and some eight times the work", Dim: 768, Source: fetch.MPNet,
		Profile: Profile{Window: 384, Network: bert.Config{Heads: 12, Epsilon: 1e-5}},
	},
	{
		Name: "bge-small-en-v1.5", About: "English; made for finding passages by questions", Dim: 384, Source: fetch.BGESmall,
		Profile: Profile{Window: 512, Network: bert.Config{Heads: 12, Pooling: bert.First}, Query: "Represent this sentence for searching relevant passages: "},
	},
	{
		// Its publisher has it see 128 tokens, fewer than a passage has.
		Name: "paraphrase-multilingual-MiniLM-L12-v2", About: "some fifty languages", Dim: 384, Source: fetch.Multilingual,
		Profile: Profile{Window: 128, Network: bert.Config{Heads: 12}, Parts: true},
	},
})

// ofBytes ends the name of a model with weights of a byte, and that of its vectors.
const ofBytes = "-int8"

func withInt8(models []Model) []Model {
	all := models
	for _, m := range models {
		m.Name += ofBytes
		m.About = "weights of a byte: half of the work, and nearly the same vectors"
		m.Profile.Network.Int8 = true
		all = append(all, m)
	}
	return all
}

// Vectors identifies what the model makes: vectors of different names do not mix.
func (m Model) Vectors() string {
	if m.Profile.Network.Int8 {
		return m.Source.Name() + ofBytes
	}
	return m.Source.Name()
}

// DefaultRanker is the name of the re-ranker that is used where none is chosen.
const DefaultRanker = "ms-marco-MiniLM-L6-v2"

// Rankers is the table of the cross-encoders that are known, the default first.
// It is a constant.
var Rankers = []Model{
	{
		Name: DefaultRanker, About: "English; ranks what was found anew", Source: fetch.MSMarcoMiniLM,
		Profile: Profile{Window: 512, Network: bert.Config{Heads: 12, Head: true}},
	},
	{
		Name: "ms-marco-TinyBERT-L2-v2", About: "English; some ten times as fast, and less sure", Source: fetch.MSMarcoTiny,
		Profile: Profile{Window: 512, Network: bert.Config{Heads: 2, Head: true}},
	},
}

// RankerNamed finds a re-ranker of the table by its name; "" is the default.
func RankerNamed(name string) (Model, bool) {
	i := slices.IndexFunc(Rankers, func(m Model) bool { return m.Name == cmp.Or(name, DefaultRanker) })
	if i < 0 {
		return Model{}, false
	}
	return Rankers[i], true
}

// Named finds a model of the table by its name; "" is the default.
func Named(name string) (Model, bool) {
	i := slices.IndexFunc(Models, func(m Model) bool { return m.Name == cmp.Or(name, Default) })
	if i < 0 {
		return Model{}, false
	}
	return Models[i], true
}

// InDirectory checks that the files in a directory are those of the model, as far
// as it is known what they have to be.
func (m Model) InDirectory(dir string) error {
	for _, f := range m.Source.Files {
		if f.Pinned() {
			continue
		}
		if _, err := os.Stat(filepath.Join(dir, f.Name)); err != nil {
			return fmt.Errorf("model directory %s: %w", dir, err)
		}
		return nil
	}
	if err := m.Source.Check(dir); err != nil {
		return fmt.Errorf("model directory %s: %w", dir, err)
	}
	return nil
}

// Inspect looks at a directory with a model that an operator put there: one of the
// table, or, with a config.json, whatever other one of the family it says. name
// identifies it: that of the table, or one that follows from the bytes of the
// weights.
func Inspect(dir string) (name string, p Profile, err error) {
	size, sum, err := fetch.Sum(filepath.Join(dir, fetch.WeightsFile))
	if err != nil {
		return "", p, fmt.Errorf("model directory %s: %w", dir, err)
	}
	for _, m := range Models {
		for _, f := range m.Source.Files {
			if f.Name == fetch.WeightsFile && f.Pinned() && f.Size == size && f.SHA256 == sum && m.Source.Check(dir) == nil {
				return m.Vectors(), m.Profile, nil
			}
		}
	}
	var c struct {
		Type    string  `json:"model_type"`
		Heads   int     `json:"num_attention_heads"`
		Epsilon float32 `json:"layer_norm_eps"`
		Act     string  `json:"hidden_act"`
		Places  string  `json:"position_embedding_type"`
	}
	found, err := readJSON(filepath.Join(dir, "config.json"), &c)
	switch {
	case err != nil:
		return "", p, err
	case !found:
		// Then it has to be the default model, and is not.
		return "", p, fmt.Errorf("model directory %s: %w", dir, errors.Join(fetch.MiniLM.Check(dir), errors.New("and there is no config.json of another model")))
	case c.Type != "bert" && c.Type != "mpnet", c.Act != "" && c.Act != "gelu", c.Places != "" && c.Places != "absolute":
		return "", p, fmt.Errorf("model directory %s: a network %q with %q and %q places cannot be run", dir, c.Type, c.Act, c.Places)
	}
	p.Network = bert.Config{Heads: c.Heads, Epsilon: c.Epsilon}
	if err := p.sentence(dir); err != nil {
		return "", p, fmt.Errorf("model directory %s: %w", dir, err)
	}
	base := filepath.Base(dir)
	if base == "." || base == string(filepath.Separator) {
		base = "model"
	}
	return base + "@" + sum[:12], p, nil
}

// sentence reads what sentence-transformers keeps beside a network: how the rows
// become a vector, how much is seen, and what goes before a text.
func (p *Profile) sentence(dir string) error {
	var modules []struct {
		Type string `json:"type"`
		Path string `json:"path"`
	}
	if _, err := readJSON(filepath.Join(dir, "modules.json"), &modules); err != nil {
		return err
	}
	pooling := "1_Pooling"
	for _, m := range modules {
		switch m.Type[strings.LastIndexByte(m.Type, '.')+1:] {
		case "Transformer", "Normalize":
		case "Pooling":
			if pooling = m.Path; !filepath.IsLocal(pooling) {
				return fmt.Errorf("modules.json leads to %q", m.Path)
			}
		default:
			return fmt.Errorf("a part %q cannot be run", m.Type)
		}
	}
	var how map[string]any
	if _, err := readJSON(filepath.Join(dir, pooling, "config.json"), &how); err != nil {
		return err
	}
	for key, on := range how {
		switch {
		case !strings.HasPrefix(key, "pooling_mode_") || on != true || key == "pooling_mode_mean_tokens":
		case key == "pooling_mode_cls_token":
			p.Network.Pooling = bert.First
		default:
			return fmt.Errorf("%s cannot be done", key)
		}
	}
	var seen struct {
		Tokens int `json:"max_seq_length"`
	}
	if _, err := readJSON(filepath.Join(dir, "sentence_bert_config.json"), &seen); err != nil {
		return err
	}
	p.Window = cmp.Or(max(seen.Tokens, 0), 512)
	p.Parts = p.Window < 256
	var before struct {
		Prompts map[string]string `json:"prompts"`
	}
	if _, err := readJSON(filepath.Join(dir, "config_sentence_transformers.json"), &before); err != nil {
		return err
	}
	p.Query, p.Passage = before.Prompts["query"], cmp.Or(before.Prompts["document"], before.Prompts["passage"])
	return nil
}

// readJSON reads a small file; found is false when it is not there.
func readJSON(path string, into any) (found bool, err error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if info.Size() > 1<<20 {
		return false, fmt.Errorf("%s: %d bytes are too many", path, info.Size())
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return false, err
	}
	if err := json.Unmarshal(b, into); err != nil {
		return false, fmt.Errorf("%s: %w", path, err)
	}
	return true, nil
}
