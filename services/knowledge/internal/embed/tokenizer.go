package embed

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"

	"github.com/commandcenter/commandcenter/services/knowledge/internal/embed/unigram"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/embed/wordpiece"
)

// Tokenizer cuts text as the model does: Count is for those who cut text into
// chunks. It is safe for concurrent use, also after Close.
type Tokenizer interface {
	// Encode appends the token numbers of text to dst, between the model's two
	// markers, at most limit numbers in all.
	Encode(dst []int32, text string, limit int) []int32
	// Count is the number of tokens in text, without the markers.
	Count(text string) int
	// Size is one more than the largest token number.
	Size() int
}

// maxTokenizer bounds tokenizer.json, in bytes. The largest of the table has 17 MB.
const maxTokenizer = 64 << 20

// loadTokenizer reads tokenizer.json, of which there are two kinds.
func loadTokenizer(path string) (Tokenizer, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxTokenizer {
		return nil, fmt.Errorf("read %s: %d bytes are too many", path, info.Size())
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var kind struct {
		Model struct {
			Type  string          `json:"type"`
			Vocab json.RawMessage `json:"vocab"`
		} `json:"model"`
	}
	if err := json.Unmarshal(b, &kind); err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	var t Tokenizer
	// Files of old do not say the type; the vocabulary of Unigram is a list.
	if kind.Model.Type == "Unigram" || kind.Model.Type == "" && bytes.HasPrefix(kind.Model.Vocab, []byte("[")) {
		t, err = unigram.Parse(b)
	} else {
		t, err = wordpiece.Parse(b)
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return t, nil
}
