package postgres

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/jmoiron/sqlx"
	"google.golang.org/protobuf/proto"

	"github.com/commandcenter/commandcenter/pkg/tenant"
	knowledgev1 "github.com/commandcenter/commandcenter/proto-events/knowledge/v1"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/document"
)

// replayPage is how many documents are read at once: whoever listens may be
// slow, and must hold no transaction meanwhile.
const replayPage = 500

// Replay tells which documents there are, and how far each is, with the versions
// of now: those of one project, or of all for the instance, that have changed
// since the time.
func (s *Store) Replay(ctx context.Context, p tenant.Project, since time.Time, tell func(fact proto.Message, at time.Time) error) error {
	const q = `
		SELECT ` + documentColumns + ` FROM documents d
		WHERE  ($1::bigint = 0 OR d.project_id = $1) AND d.updated_at >= $2 AND d.id > $3
		ORDER  BY d.id
		LIMIT  $4`
	for after := int64(0); ; {
		var rows []row
		err := s.db.AcrossProjects(ctx, "tell which documents there are", func(ctx context.Context, tx *sqlx.Tx) error {
			return tx.SelectContext(ctx, &rows, q, int64(p), since.UTC(), after, replayPage)
		})
		if err != nil {
			return fmt.Errorf("replay documents: %w", err)
		}
		for _, r := range rows {
			after = r.ID
			d := r.document()
			if err := tell(received(d), d.CreatedAt); err != nil {
				return err
			}
			switch d.State {
			case document.Indexed:
				err = tell(indexed(d), d.UpdatedAt)
			case document.Failed:
				err = tell(failed(d), d.UpdatedAt)
			case document.Indexing:
			}
			if err != nil {
				return err
			}
		}
		if len(rows) < replayPage {
			return nil
		}
	}
}

func received(d document.Document) *knowledgev1.DocumentReceived {
	return &knowledgev1.DocumentReceived{
		ProjectId: int32(d.Project), DocumentId: strconv.FormatInt(d.ID, 10), Version: int32(d.Version), Title: d.Title, Filename: d.Source,
		ContentType: d.ContentType, Size: int32(d.Size), Sha256: d.SHA256, Collection: d.Collection, Category: d.Category, CreatedBy: int32(d.CreatedBy),
	}
}

func indexed(d document.Document) *knowledgev1.DocumentIndexed {
	return &knowledgev1.DocumentIndexed{
		ProjectId: int32(d.Project), DocumentId: strconv.FormatInt(d.ID, 10), Version: int32(d.Version), Title: d.Title, Collection: d.Collection,
		Category: d.Category, Chunks: int32(d.Chunks), EmbeddingModel: d.Model, Generation: int32(d.Generation),
	}
}

func failed(d document.Document) *knowledgev1.DocumentFailed {
	return &knowledgev1.DocumentFailed{
		ProjectId: int32(d.Project), DocumentId: strconv.FormatInt(d.ID, 10), Version: int32(d.Version), Reason: d.Reason, Detail: d.Error,
	}
}
