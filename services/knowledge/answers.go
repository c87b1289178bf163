package knowledge

import (
	"errors"
	"fmt"
	"time"

	"github.com/commandcenter/commandcenter/services/knowledge/internal/answer"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/remote"
)

// Answering is the language model that answers questions, and how much it does.
type Answering struct {
	Kind    string `config:"kind" usage:"how the language model is spoken to: openai, or compatible for Ollama, vLLM and others; empty has none, and questions are not answered in words"`
	URL     string `config:"url" usage:"its address, before /chat/completions; empty is the public one of openai"`
	Model   string `config:"model" usage:"its name, as the service calls it"`
	Key     string `config:"key" secret:"true" usage:"the key that the service is given"`
	KeyFile string `config:"key_file" usage:"a file with the key, in place of key"`

	Passages   int           `config:"passages" usage:"passages that the language model is given, where a question does not say, 1 to 20"`
	Context    int           `config:"context" usage:"most characters of them; the worst are left out"`
	Tokens     int           `config:"tokens" usage:"most tokens of an answer, what the language model thinks included"`
	Deadline   time.Duration `config:"deadline" usage:"longest time for an answer"`
	AtOnce     int           `config:"at_once" usage:"answers that one process has written at a time; more are refused"`
	PerProject int           `config:"per_project" usage:"how many of them for one project"`
	CacheMB    int           `config:"cache_mb" usage:"memory for answers, which are given again to the same question about the same passages; 0 keeps none"`
	Similar    float64       `config:"similar" usage:"how similar a question must be, as the cosine of its vector, to be given the answer to another about the same passages: 0.95 is much; 0 gives it to none"`
}

func (c Answering) validate() error {
	var faults []error
	between := func(name string, n, least, most int) {
		if n < least || n > most {
			faults = append(faults, fmt.Errorf("answer.%s: from %d to %d", name, least, most))
		}
	}
	if c.Kind != "" {
		if err := c.chat().Validate(); err != nil {
			faults = append(faults, fmt.Errorf("answer.%w", err))
		}
	}
	between("passages", c.Passages, 1, answer.MaxPassages)
	between("context", c.Context, 1000, 100_000)
	between("tokens", c.Tokens, 16, 16_384)
	between("at_once", c.AtOnce, 1, 32)
	between("per_project", c.PerProject, 1, 32)
	if c.CacheMB < 0 {
		faults = append(faults, errors.New("answer.cache_mb: not below 0"))
	}
	if !(c.Similar >= 0 && c.Similar <= 1) {
		faults = append(faults, errors.New("answer.similar: from 0 to 1"))
	}
	if c.Deadline < time.Second || c.Deadline > 4*time.Minute {
		faults = append(faults, errors.New("answer.deadline: from 1s to 4m"))
	}
	return errors.Join(faults...)
}

func (c Answering) chat() remote.ChatConfig {
	return remote.ChatConfig{Kind: c.Kind, URL: c.URL, Model: c.Model, Key: c.Key, KeyFile: c.KeyFile}
}

// model is the language model, nil when there is none.
func (c Answering) model() (answer.Model, error) {
	if c.Kind == "" {
		return nil, nil //nolint:nilnil // there is none, which is no fault
	}
	return remote.OpenChat(c.chat())
}

func (c Answering) config(m *metrics) answer.Config {
	return answer.Config{
		Passages: c.Passages, Context: c.Context, Tokens: c.Tokens, Deadline: c.Deadline, AtOnce: c.AtOnce, PerProject: c.PerProject, Memory: int64(c.CacheMB) << 20, Similar: c.Similar, Observe: m.answered,
	}
}
