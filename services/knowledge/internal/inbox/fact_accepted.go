package inbox

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/errs"
	ingestionv1 "github.com/commandcenter/commandcenter/proto-events/ingestion/v1"

	"github.com/commandcenter/commandcenter/services/knowledge/internal/document"
)

// published is the data of a document that a team has published, whatever else
// its schema says.
type published struct {
	Title       string `json:"title"`
	Content     string `json:"content"`
	ContentType string `json:"content_type"` // markdown when empty
	URL         string `json:"url"`          // names the document: the same again is its next version
	Category    string `json:"category"`
	Collection  string `json:"collection"`
}

// place is an address without its scheme: names of documents are paths.
func place(url string) string {
	if _, rest, ok := strings.Cut(url, "://"); ok {
		return rest
	}
	return url
}

// factAccepted takes in the documents that other teams publish:
// document.published, in any version, with title and content. Of all other
// facts it wants nothing.
func (h *Handlers) factAccepted(ctx context.Context, m bus.Meta, e *ingestionv1.FactAccepted) error {
	if e.GetNoun() != "document" || e.GetFact() != "published" {
		return nil
	}
	text, err := e.GetData().MarshalJSON()
	if err != nil {
		return bus.Bury(fmt.Errorf("read %s: %w", e.GetFactId(), err))
	}
	var d published
	if err := json.Unmarshal(text, &d); err != nil {
		return bus.Bury(fmt.Errorf("read %s: %w", e.GetFactId(), err))
	}
	if d.Content == "" {
		return bus.Bury(fmt.Errorf("%s has no content", e.GetFactId()))
	}
	s := document.Submission{
		Project: m.Project, Principal: "team:" + e.GetTeam(), Source: place(d.URL), Title: d.Title, Category: d.Category, Collection: d.Collection,
		ContentType: d.ContentType, Blob: document.Blob{Body: []byte(d.Content), Size: int64(len(d.Content))},
	}
	if s.Source == "" {
		s.Source = d.Title
	}
	if s.Source == "" {
		s.Source = e.GetFactId()
	}
	if s.Category == "" {
		s.Category = e.GetTeam()
	}
	if s.ContentType == "" {
		s.ContentType = "text/markdown"
	}
	_, err = h.Accept(ctx, s)
	if err != nil && errs.KindOf(err).Refusal() {
		return bus.Bury(err)
	}
	return err
}
