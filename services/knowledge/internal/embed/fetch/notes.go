package fetch

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// NotesFile is where the sums of files without a pin are noted, beside them.
const NotesFile = "first-fetch.json"

// Note is what a file without a pin was when it was fetched first.
type Note struct {
	Size    int64     `json:"size"`
	SHA256  string    `json:"sha256"`
	Source  string    `json:"source"`
	Fetched time.Time `json:"fetched_at"`
}

var errNoNote = errors.New("not noted")

// Notes are those of a model that lies in dir, by the names of its files.
func Notes(dir string) (map[string]Note, error) { return readNotes(dir) }

func readNotes(dir string) (map[string]Note, error) {
	b, err := os.ReadFile(filepath.Join(dir, NotesFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var all map[string]Note
	if err := json.Unmarshal(b, &all); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrDamaged, NotesFile, err)
	}
	return all, nil
}

// note writes down what the files without a pin are.
func (o Options) note(dir string) error {
	all := map[string]Note{}
	for _, f := range o.Model.Files {
		if f.Pinned() {
			continue
		}
		size, sum, err := Sum(filepath.Join(dir, f.Name))
		if err != nil {
			return err
		}
		all[f.Name] = Note{Size: size, SHA256: sum, Source: o.Hub, Fetched: o.now().UTC()}
	}
	if len(all) == 0 {
		return nil
	}
	b, err := json.MarshalIndent(all, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, NotesFile), append(b, '\n'), 0o600)
}
