package ireval

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
)

// Document is one of a collection.
type Document struct {
	ID    string `json:"_id"`
	Title string `json:"title"`
	Text  string `json:"text"`
}

// Query is one of a collection.
type Query struct {
	ID   string `json:"_id"`
	Text string `json:"text"`
}

// Collection is documents, and queries that are judged on them.
type Collection struct {
	Documents []Document
	Queries   []Query // in the order of the file
	Qrels     Qrels
}

// Load reads a collection as BEIR lays it out: corpus.jsonl, queries.jsonl and
// qrels/SPLIT.tsv. Of the queries it keeps those that the split judges: the
// others are of other splits.
func Load(fsys fs.FS, split string) (*Collection, error) {
	if split == "" {
		split = "test"
	}
	c := &Collection{}
	err := within(fsys, path.Join("qrels", split+".tsv"), func(f fs.File) (err error) {
		c.Qrels, err = ReadQrels(f)
		return err
	})
	if err != nil {
		return nil, err
	}
	judged := map[string]bool{}
	for _, id := range c.Qrels.Judged() {
		judged[id] = true
	}
	seen := map[string]bool{}
	if err := jsonLines(fsys, "queries.jsonl", func(q Query) error {
		if err := fresh(seen, q.ID); err != nil {
			return err
		}
		if judged[q.ID] {
			c.Queries = append(c.Queries, q)
		}
		return nil
	}); err != nil {
		return nil, err
	}
	if len(c.Queries) == 0 {
		return nil, fmt.Errorf("qrels/%s.tsv judges none of the queries of queries.jsonl", split)
	}
	clear(seen)
	return c, jsonLines(fsys, "corpus.jsonl", func(d Document) error {
		c.Documents = append(c.Documents, d)
		return fresh(seen, d.ID)
	})
}

func fresh(seen map[string]bool, id string) error {
	if id == "" {
		return errors.New("no _id")
	}
	if seen[id] {
		return fmt.Errorf("_id %s is there twice", short(id))
	}
	seen[id] = true
	return nil
}

func within(fsys fs.FS, name string, read func(fs.File) error) (err error) {
	f, err := fsys.Open(name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := read(f); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

func jsonLines[T any](fsys fs.FS, name string, each func(T) error) error {
	return within(fsys, name, func(f fs.File) error {
		return lines(f, func(_ int, l string) error {
			var v T
			if err := json.Unmarshal([]byte(l), &v); err != nil {
				return err
			}
			return each(v)
		})
	})
}
