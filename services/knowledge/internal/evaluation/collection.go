package evaluation

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strconv"
	"strings"

	"github.com/commandcenter/commandcenter/services/knowledge/internal/index"
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

// Collection is judged documents.
type Collection struct {
	Documents  []Document
	Queries    []Query // in the order of the file
	Judgements Judgements
}

// Load reads a collection in the BEIR layout.
func Load(fsys fs.FS) (*Collection, error) {
	c := &Collection{Judgements: Judgements{}}
	if err := lines(fsys, "corpus.jsonl", func(l string) error {
		var d Document
		err := json.Unmarshal([]byte(l), &d)
		c.Documents = append(c.Documents, d)
		return err
	}); err != nil {
		return nil, err
	}
	if err := lines(fsys, "queries.jsonl", func(l string) error {
		var q Query
		err := json.Unmarshal([]byte(l), &q)
		c.Queries = append(c.Queries, q)
		return err
	}); err != nil {
		return nil, err
	}
	return c, lines(fsys, "qrels/test.tsv", func(l string) error {
		f := strings.Fields(l)
		if len(f) != 3 {
			return fmt.Errorf("%d columns, want 3", len(f))
		}
		if f[0] == "query-id" {
			return nil
		}
		v, err := strconv.Atoi(f[2])
		if err != nil {
			return err
		}
		if c.Judgements[f[0]] == nil {
			c.Judgements[f[0]] = map[string]int{}
		}
		c.Judgements[f[0]][f[1]] = v
		return nil
	})
}

func lines(fsys fs.FS, name string, each func(string) error) error {
	f, err := fsys.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	r := bufio.NewReader(f)
	for n := 1; ; n++ {
		l, err := r.ReadString('\n')
		if strings.TrimSpace(l) != "" {
			if err := each(l); err != nil {
				return fmt.Errorf("%s line %d: %w", name, n, err)
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
}

// Half says whether a query is in the first (0) or second (1) half of a
// collection: every other query, so that both halves are alike. Tune on one,
// report on the other.
func (c *Collection) Half(n int) func(query string) bool {
	half := map[string]int{}
	for i, q := range c.Queries {
		half[q.ID] = i % 2
	}
	return func(q string) bool { return half[q] == n }
}

// Index puts the documents of c into an index, each as one passage; vectors,
// when not nil, are theirs in the same order.
func (c *Collection) Index(x *index.Index, vectors [][]float32) error {
	for i, d := range c.Documents {
		p := index.Passage{ID: int64(i + 1), Document: int64(i + 1), Title: d.Title, Body: d.Text}
		if vectors != nil {
			p.Vector = vectors[i]
		}
		if err := x.Put([]index.Passage{p}); err != nil {
			return err
		}
	}
	return nil
}

// Run asks every query; vectors are theirs in order, or nil. Options of r
// apply to all: mode, alpha, method; its limit should be 100 or more.
func (c *Collection) Run(x *index.Index, vectors [][]float32, r index.Request) (Run, error) {
	run := Run{}
	for i, q := range c.Queries {
		r.Text = q.Text
		if vectors != nil {
			r.Vector = vectors[i]
		}
		res, err := x.Search(r)
		if err != nil {
			return nil, err
		}
		scores := map[string]float64{}
		for _, h := range res.Hits {
			scores[c.Documents[h.Document-1].ID] = h.Score
		}
		run[q.ID] = scores
	}
	return run, nil
}
