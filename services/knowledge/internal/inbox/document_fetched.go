package inbox

import (
	"context"
	"fmt"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/errs"
	ingestionv1 "github.com/commandcenter/commandcenter/proto-events/ingestion/v1"

	"github.com/commandcenter/commandcenter/services/knowledge/internal/document"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/index/terms"
)

// fetchedBy is who adds the documents of sources.
const fetchedBy = "service:ingestion"

// documentFetched takes in a document of a source, under its place: the same place
// again is its next version.
func (h *Handlers) documentFetched(ctx context.Context, m bus.Meta, e *ingestionv1.DocumentFetched) error {
	s := document.Submission{
		Project: m.Project, Principal: fetchedBy, Source: e.GetPlace(), Title: e.GetTitle(), Category: e.GetCategory(), Collection: e.GetCollection(),
		Technology: int64(e.GetTechnologyId()), ContentType: e.GetContentType(), Typed: e.GetTyped(), TextLanguage: e.GetLanguage(),
		Blob: document.Blob{Body: e.GetContent(), Size: int64(len(e.GetContent()))},
	}
	if _, known := terms.ParseLanguage(s.TextLanguage); !known {
		s.TextLanguage = ""
	}
	if e.GetObject() != "" {
		s.Blob = document.Blob{Bucket: bus.BucketBlobs, Name: e.GetObject(), SHA256: e.GetSha256(), Size: int64(e.GetSize())}
	}
	_, err := h.Accept(ctx, s)
	if err != nil && errs.KindOf(err).Refusal() {
		return bus.Bury(fmt.Errorf("document %s of source %d: %w", e.GetPlace(), e.GetSourceId(), err))
	}
	return err
}
