package postgres

import (
	"context"
	"crypto/sha256"
	"fmt"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"github.com/commandcenter/commandcenter/services/knowledge/internal/document"
)

// rowsPerStatement bounds the arrays of one statement.
const rowsPerStatement = 500

// saveChunks makes chunks those of the document. What the document had already
// stays the same row and keeps its vector.
func (s *Store) saveChunks(ctx context.Context, tx *sqlx.Tx, d document.Document, chunks []document.Chunk) error {
	old, err := hashes(ctx, tx, d)
	if err != nil {
		return err
	}
	var fresh, kept []document.Chunk
	for _, c := range chunks {
		if ids := old[c.Hash]; len(ids) > 0 {
			c.ID = ids[0]
			old[c.Hash] = ids[1:]
			kept = append(kept, c)
			continue
		}
		fresh = append(fresh, c)
	}
	var gone []int64
	for _, ids := range old {
		gone = append(gone, ids...)
	}
	const drop = `DELETE FROM chunks WHERE project_id = $1 AND id = ANY($2)`
	if len(gone) > 0 {
		if _, err := tx.ExecContext(ctx, drop, int64(d.Project), pq.Array(gone)); err != nil {
			return fmt.Errorf("drop chunks of document %d: %w", d.ID, err)
		}
	}
	for part := range batches(kept) {
		if err := moveChunks(ctx, tx, d, part); err != nil {
			return err
		}
	}
	for part := range batches(fresh) {
		if err := insertChunks(ctx, tx, d, part); err != nil {
			return err
		}
	}
	return nil
}

func batches[T any](all []T) func(yield func([]T) bool) {
	return func(yield func([]T) bool) {
		for len(all) > 0 {
			n := min(len(all), rowsPerStatement)
			if !yield(all[:n]) {
				return
			}
			all = all[n:]
		}
	}
}

// hashes are the ids of the document's chunks by hash, in order.
func hashes(ctx context.Context, tx *sqlx.Tx, d document.Document) (out map[[sha256.Size]byte][]int64, err error) {
	const q = `SELECT id, hash FROM chunks WHERE project_id = $1 AND document_id = $2 ORDER BY ordinal`
	rows, err := tx.QueryContext(ctx, q, int64(d.Project), d.ID)
	if err != nil {
		return nil, fmt.Errorf("read the hashes of document %d: %w", d.ID, err)
	}
	defer closeRows(rows, &err)
	out = map[[sha256.Size]byte][]int64{}
	for rows.Next() {
		var id int64
		var hash []byte
		if err := rows.Scan(&id, &hash); err != nil {
			return nil, fmt.Errorf("read the hashes of document %d: %w", d.ID, err)
		}
		if len(hash) == sha256.Size {
			h := [sha256.Size]byte(hash)
			out[h] = append(out[h], id)
		}
	}
	return out, rows.Err()
}

func moveChunks(ctx context.Context, tx *sqlx.Tx, d document.Document, chunks []document.Chunk) error {
	n := len(chunks)
	ids, ordinals, lines, pages, overlaps := make([]int64, n), make([]int64, n), make([]int64, n), make([]int64, n), make([]int64, n)
	for i, c := range chunks {
		ids[i], ordinals[i], lines[i], pages[i], overlaps[i] = c.ID, int64(c.Ordinal), int64(c.Line), int64(c.Page), int64(c.Overlap)
	}
	const q = `
		UPDATE chunks c SET ordinal = n.ordinal, line = n.line, page = n.page, overlap = n.overlap
		FROM   unnest($2::bigint[], $3::int[], $4::int[], $5::int[], $6::int[]) AS n (id, ordinal, line, page, overlap)
		WHERE  c.project_id = $1 AND c.id = n.id AND (c.ordinal, c.line, c.page, c.overlap) IS DISTINCT FROM (n.ordinal, n.line, n.page, n.overlap)`
	if _, err := tx.ExecContext(ctx, q, int64(d.Project), pq.Array(ids), pq.Array(ordinals), pq.Array(lines), pq.Array(pages), pq.Array(overlaps)); err != nil {
		return fmt.Errorf("move chunks of document %d: %w", d.ID, err)
	}
	return nil
}

func insertChunks(ctx context.Context, tx *sqlx.Tx, d document.Document, chunks []document.Chunk) error {
	n := len(chunks)
	ordinals, lines, pages, tokens, overlaps := make([]int64, n), make([]int64, n), make([]int64, n), make([]int64, n), make([]int64, n)
	sums := make([][]byte, n)
	paths, symbols, kinds, texts := make([]string, n), make([]string, n), make([]string, n), make([]string, n)
	for i, c := range chunks {
		ordinals[i], lines[i], pages[i], tokens[i], overlaps[i] = int64(c.Ordinal), int64(c.Line), int64(c.Page), int64(c.Tokens), int64(c.Overlap)
		sums[i] = c.Hash[:]
		paths[i], symbols[i], kinds[i], texts[i] = joinPath(c.Path), c.Symbol, string(c.Kind), c.Text
	}
	const q = `
		INSERT INTO chunks (project_id, document_id, ordinal, hash, path, symbol, kind, line, page, tokens, overlap, body)
		SELECT $1, $2, * FROM unnest($3::int[], $4::bytea[], $5::text[], $6::text[], $7::text[], $8::int[], $9::int[], $10::int[], $11::int[], $12::text[])`
	if _, err := tx.ExecContext(ctx, q, int64(d.Project), d.ID, pq.Array(ordinals), pq.Array(sums), pq.Array(paths), pq.Array(symbols), pq.Array(kinds),
		pq.Array(lines), pq.Array(pages), pq.Array(tokens), pq.Array(overlaps), pq.Array(texts)); err != nil {
		return fmt.Errorf("insert chunks of document %d: %w", d.ID, err)
	}
	return nil
}
