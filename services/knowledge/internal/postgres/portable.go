package postgres

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/jmoiron/sqlx"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/pg"
	"github.com/commandcenter/commandcenter/pkg/portable"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/document"
)

// Refers returns the bytes of a document's row, see [portable.Referring].
func Refers(ctx context.Context, tx *sqlx.Tx, p tenant.Project, table string, row []byte) (*portable.Object, error) {
	if table != "documents" {
		return nil, nil
	}
	var d struct {
		SHA256 string `json:"sha256"`
	}
	if err := json.Unmarshal(row, &d); err != nil {
		return nil, fmt.Errorf("read a document: %w", err)
	}
	o := portable.Object{SHA256: d.SHA256}
	const q = `SELECT size, bucket, name, body FROM blobs WHERE project_id = $1 AND sha256 = $2`
	if err := tx.QueryRowxContext(ctx, q, int64(p), d.SHA256).Scan(&o.Size, &o.Bucket, &o.Name, &o.Body); err != nil {
		return nil, fmt.Errorf("find the bytes of a document: %w", err)
	}
	return &o, nil
}

// Keep keeps bytes that documents are going to refer to; [Store.Tidy] throws away
// those that none did.
func (s *Store) Keep(ctx context.Context, p tenant.Project, b document.Blob) error {
	return s.db.InTenant(ctx, p, func(ctx context.Context, tx *sqlx.Tx) error { return keepBlob(ctx, tx, p, b) })
}

// Kept returns where bytes are that were kept.
func (s *Store) Kept(ctx context.Context, p tenant.Project, sha256 string) (b document.Blob, err error) {
	err = s.db.InTenant(ctx, p, func(ctx context.Context, tx *sqlx.Tx) error {
		const q = `SELECT sha256, size, bucket, name, body FROM blobs WHERE project_id = $1 AND sha256 = $2`
		err := tx.QueryRowxContext(ctx, q, int64(p), sha256).Scan(&b.SHA256, &b.Size, &b.Bucket, &b.Name, &b.Body)
		if pg.NoRows(err) {
			return errs.New(errs.Invalid, "a document has no bytes")
		}
		return err
	})
	return b, err
}

// Tidy throws away what was kept and no document refers to.
func (s *Store) Tidy(ctx context.Context, p tenant.Project) error {
	return s.db.InTenant(ctx, p, func(ctx context.Context, tx *sqlx.Tx) error {
		const q = `
			SELECT sha256 FROM blobs b WHERE project_id = $1
			AND    NOT EXISTS (SELECT 1 FROM documents d WHERE d.project_id = $1 AND d.sha256 = b.sha256)`
		var unused []string
		if err := tx.SelectContext(ctx, &unused, q, int64(p)); err != nil {
			return fmt.Errorf("find bytes without a document: %w", err)
		}
		for _, sum := range unused {
			if err := releaseBlob(ctx, tx, p, sum); err != nil {
				return err
			}
		}
		return nil
	})
}
