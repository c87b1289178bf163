package evaluation

import (
	"io/fs"

	"github.com/commandcenter/commandcenter/pkg/ireval"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/index"
)

// Collection is judged documents that can be put into an index.
type Collection struct{ *ireval.Collection }

// Load reads a collection in the BEIR layout.
func Load(fsys fs.FS) (*Collection, error) {
	c, err := ireval.Load(fsys, "test")
	return &Collection{c}, err
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
func (c *Collection) Run(x *index.Index, vectors [][]float32, r index.Request) (ireval.Run, error) {
	run := ireval.Run{}
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
