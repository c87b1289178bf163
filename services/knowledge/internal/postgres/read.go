package postgres

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"github.com/commandcenter/commandcenter/pkg/pg"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/index"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/search"
)

// Changes feeds an index, see index.Source.
func (s *Store) Changes(ctx context.Context, p tenant.Project, since index.State, put func(index.Passage) error, gone func(int64)) (now index.State, err error) {
	// An index may be brought up to date within somebody's unit of work; it
	// must see what is committed, and nothing else.
	err = s.db.InTenant(pg.Detached(ctx), p, func(ctx context.Context, tx *sqlx.Tx) error {
		var floor int64
		now.Generation, floor, err = generations(ctx, tx, p)
		if err != nil {
			return err
		}
		if now.Line, err = line(ctx, tx); err != nil {
			return err
		}
		if since.Line != "" && since.Line != now.Line || since.Generation > now.Generation || since.Generation > 0 && since.Generation < floor {
			return index.ErrTooOld
		}
		if now.Model, err = searched(ctx, tx, p); err != nil {
			return err
		}
		if _, now.Backend, err = backends(ctx, tx, p, ""); err != nil {
			return err
		}
		if since.Model != "" && since.Model != now.Model || since.Generation > 0 && since.Backend.Elsewhere() != now.Backend.Elsewhere() {
			return index.ErrTooOld
		}
		if now.Settings, err = settings(ctx, tx, p); err != nil {
			return err
		}
		of := now.Model
		if now.Backend.Elsewhere() {
			of = "" // the index has no vectors
		}
		if now.Generation <= since.Generation {
			return nil
		}
		// A large project is read for as long as indexing takes.
		if _, err := tx.ExecContext(ctx, `SET LOCAL statement_timeout = '10min'`); err != nil {
			return fmt.Errorf("allow a long read: %w", err)
		}
		if err := removed(ctx, tx, p, since.Generation, gone); err != nil {
			return err
		}
		return passages(ctx, tx, p, since.Generation, of, put, gone)
	})
	return now, err
}

// form is another number when the same rows make other passages.
const form = 1

// line is another word when generations may count other changes than before:
// in another cluster or database, behind a recovery to an earlier time, which
// begins a timeline, and where the table was filled from a dump.
func line(ctx context.Context, tx *sqlx.Tx) (word string, err error) {
	const q = `
		SELECT format('%s %s %s %s %s %s', $1::int, s.system_identifier, left(pg_walfile_name(pg_current_wal_insert_lsn()), 8),
		              d.oid, 'generations'::regclass::oid, pg_relation_filenode('generations'))
		FROM   pg_control_system() s, pg_database d WHERE d.datname = current_database()`
	if err := tx.GetContext(ctx, &word, q, form); err != nil {
		return "", fmt.Errorf("tell the database from others: %w", err)
	}
	return word, nil
}

func generations(ctx context.Context, tx *sqlx.Tx, p tenant.Project) (generation, floor int64, err error) {
	const q = `SELECT generation, floor FROM generations WHERE project_id = $1`
	err = tx.QueryRowxContext(ctx, q, int64(p)).Scan(&generation, &floor)
	if pg.NoRows(err) {
		return 0, 0, nil
	}
	if err != nil {
		return 0, 0, fmt.Errorf("read the generation: %w", err)
	}
	return generation, floor, nil
}

func removed(ctx context.Context, tx *sqlx.Tx, p tenant.Project, since int64, gone func(int64)) error {
	if since == 0 {
		return nil // an empty index has nothing to lose
	}
	const q = `SELECT document_id FROM removals WHERE project_id = $1 AND generation > $2 ORDER BY generation`
	var ids []int64
	if err := tx.SelectContext(ctx, &ids, q, int64(p), since); err != nil {
		return fmt.Errorf("read removals: %w", err)
	}
	for _, id := range ids {
		gone(id)
	}
	return nil
}

func passages(ctx context.Context, tx *sqlx.Tx, p tenant.Project, since int64, model string, put func(index.Passage) error, gone func(int64)) (err error) {
	const q = `
		SELECT d.id, d.title, d.collection, d.category, d.technology_id, d.repository_id, c.id, c.path, c.symbol, c.body, e.vector, d.source, d.language,
		       d.text_language
		FROM   documents d
		LEFT   JOIN chunks c ON c.project_id = d.project_id AND c.document_id = d.id
		LEFT   JOIN embeddings e ON e.project_id = c.project_id AND e.chunk_id = c.id AND e.model = $3
		WHERE  d.project_id = $1 AND d.generation > $2
		ORDER  BY d.id, c.ordinal`
	rows, err := tx.QueryContext(ctx, q, int64(p), since, model)
	if err != nil {
		return fmt.Errorf("read passages: %w", err)
	}
	defer closeRows(rows, &err)
	for rows.Next() {
		var x index.Passage
		var technology, repository, chunk sql.NullInt64
		var title string
		var path, symbol, body sql.NullString
		var vector []byte
		if err := rows.Scan(&x.Document, &title, &x.Collection, &x.Category, &technology, &repository, &chunk, &path, &symbol, &body, &vector, &x.Source, &x.Language,
			&x.TextLanguage); err != nil {
			return fmt.Errorf("read passages: %w", err)
		}
		if !chunk.Valid {
			gone(x.Document)
			continue
		}
		x.ID, x.Technology, x.Repository, x.Body = chunk.Int64, technology.Int64, repository.Int64, body.String
		x.Symbol = symbol.String
		x.Title = search.TitleField(title, splitPath(path.String), symbol.String)
		if x.Vector, err = decodeVector(vector); err != nil {
			return fmt.Errorf("read passage %d: %w", x.ID, err)
		}
		if err := put(x); err != nil {
			return err
		}
	}
	return rows.Err()
}

// Generation returns the project's present generation.
func (s *Store) Generation(ctx context.Context, p tenant.Project) (g int64, err error) {
	err = s.db.InTenant(ctx, p, func(ctx context.Context, tx *sqlx.Tx) error {
		g, _, err = generations(ctx, tx, p)
		return err
	})
	return g, err
}

// Passages reads what a search found, see search.Shelf.
func (s *Store) Passages(ctx context.Context, p tenant.Project, ids []int64) (found map[int64]search.Passage, generation int64, err error) {
	found = make(map[int64]search.Passage, len(ids))
	err = s.db.InTenant(ctx, p, func(ctx context.Context, tx *sqlx.Tx) (err error) {
		if generation, _, err = generations(ctx, tx, p); err != nil || len(ids) == 0 {
			return err
		}
		const q = `
			SELECT c.id, c.ordinal, c.path, c.symbol, c.kind, c.line, c.page, c.body,
			       d.id, d.title, d.category, d.collection, d.source, d.repository_id, d.technology_id, d.version, d.language, d.chunks
			FROM   chunks c JOIN documents d ON d.project_id = c.project_id AND d.id = c.document_id
			WHERE  c.project_id = $1 AND c.id = ANY($2)`
		rows, err := tx.QueryContext(ctx, q, int64(p), pq.Array(ids))
		if err != nil {
			return fmt.Errorf("read passages: %w", err)
		}
		defer closeRows(rows, &err)
		for rows.Next() {
			var x search.Passage
			var path string
			var repository, technology sql.NullInt64
			if err := rows.Scan(&x.ID, &x.Ordinal, &path, &x.Symbol, &x.Kind, &x.Line, &x.Page, &x.Text, &x.Document, &x.Title, &x.Category, &x.Collection,
				&x.Source, &repository, &technology, &x.Version, &x.Language, &x.Chunks); err != nil {
				return fmt.Errorf("read passages: %w", err)
			}
			x.Path, x.Repository, x.Technology = splitPath(path), repository.Int64, technology.Int64
			found[x.ID] = x
		}
		return rows.Err()
	})
	return found, generation, err
}

// Around reads the passages next to others, see search.Shelf.
func (s *Store) Around(ctx context.Context, p tenant.Project, ids []int64, n int) (out map[int64]search.Around, err error) {
	out = make(map[int64]search.Around, len(ids))
	err = s.db.InTenant(ctx, p, func(ctx context.Context, tx *sqlx.Tx) (err error) {
		const q = `
			SELECT c.id, o.ordinal < c.ordinal, o.body
			FROM   chunks c JOIN chunks o ON o.project_id = c.project_id AND o.document_id = c.document_id
			       AND o.ordinal BETWEEN c.ordinal - $3 AND c.ordinal + $3 AND o.id <> c.id
			WHERE  c.project_id = $1 AND c.id = ANY($2)
			ORDER  BY c.id, o.ordinal`
		rows, err := tx.QueryContext(ctx, q, int64(p), pq.Array(ids), n)
		if err != nil {
			return fmt.Errorf("read neighbours: %w", err)
		}
		defer closeRows(rows, &err)
		for rows.Next() {
			var id int64
			var before bool
			var body string
			if err := rows.Scan(&id, &before, &body); err != nil {
				return fmt.Errorf("read neighbours: %w", err)
			}
			a := out[id]
			if before {
				a.Before = append(a.Before, body)
			} else {
				a.After = append(a.After, body)
			}
			out[id] = a
		}
		return rows.Err()
	})
	return out, err
}

// Collections are the names in use, sorted.
func (s *Store) Collections(ctx context.Context, p tenant.Project) (names []string, err error) {
	err = s.db.InTenant(ctx, p, func(ctx context.Context, tx *sqlx.Tx) error {
		const q = `SELECT DISTINCT collection COLLATE "C" FROM documents WHERE project_id = $1 ORDER BY 1`
		return tx.SelectContext(ctx, &names, q, int64(p))
	})
	if err != nil {
		return nil, fmt.Errorf("list collections: %w", err)
	}
	return names, nil
}

// Categories are the names in use in a collection ("": all) and of a repository
// (0: all), sorted.
func (s *Store) Categories(ctx context.Context, p tenant.Project, collection string, repository int64) (names []string, err error) {
	err = s.db.InTenant(ctx, p, func(ctx context.Context, tx *sqlx.Tx) error {
		const q = `SELECT DISTINCT category COLLATE "C" FROM documents WHERE project_id = $1 AND ($2 = '' OR collection = $2)
			AND ($3::bigint = 0 OR repository_id = $3) ORDER BY 1`
		return tx.SelectContext(ctx, &names, q, int64(p), collection, repository)
	})
	if err != nil {
		return nil, fmt.Errorf("list categories: %w", err)
	}
	return names, nil
}

// Statistics counts what is in a collection ("": the whole project) and of a
// repository (0: of any or none).
func (s *Store) Statistics(ctx context.Context, p tenant.Project, collection string, repository int64) (st search.Statistics, err error) {
	st.Documents, st.Chunks = map[string]int{}, map[string]int{}
	err = s.db.InTenant(ctx, p, func(ctx context.Context, tx *sqlx.Tx) (err error) {
		const q = `
			SELECT category, count(*), coalesce(sum(chunks), 0) FROM documents
			WHERE project_id = $1 AND ($2 = '' OR collection = $2) AND ($3::bigint = 0 OR repository_id = $3) GROUP BY category`
		rows, err := tx.QueryContext(ctx, q, int64(p), collection, repository)
		if err != nil {
			return fmt.Errorf("count documents: %w", err)
		}
		defer closeRows(rows, &err)
		for rows.Next() {
			var category string
			var documents, chunks int
			if err := rows.Scan(&category, &documents, &chunks); err != nil {
				return fmt.Errorf("count documents: %w", err)
			}
			st.Documents[category], st.Chunks[category] = documents, chunks
			st.TotalDocuments += documents
			st.TotalChunks += chunks
		}
		return rows.Err()
	})
	if err != nil {
		return st, err
	}
	err = s.db.InTenant(ctx, p, func(ctx context.Context, tx *sqlx.Tx) error {
		now, err := searched(ctx, tx, p)
		if err != nil {
			return err
		}
		wanted, err := s.wanted(ctx, tx, p)
		if err != nil {
			return err
		}
		if st.Model = now; now == "" {
			st.Model = wanted
		}
		if st.Embedded, err = vectors(ctx, tx, p, st.Model, collection, repository); err != nil || wanted == "" || wanted == st.Model {
			return err
		}
		st.Next = wanted
		st.NextEmbedded, err = vectors(ctx, tx, p, wanted, collection, repository)
		return err
	})
	return st, err
}

// vectors counts those of a model.
func vectors(ctx context.Context, tx *sqlx.Tx, p tenant.Project, model, collection string, repository int64) (n int, err error) {
	const q = `
		SELECT count(*) FROM embeddings e
		JOIN   chunks c ON c.project_id = e.project_id AND c.id = e.chunk_id
		JOIN   documents d ON d.project_id = c.project_id AND d.id = c.document_id
		WHERE  e.project_id = $1 AND e.model = $2 AND ($3 = '' OR d.collection = $3) AND ($4::bigint = 0 OR d.repository_id = $4)`
	if err := tx.GetContext(ctx, &n, q, int64(p), model, collection, repository); err != nil {
		return 0, fmt.Errorf("count vectors: %w", err)
	}
	return n, nil
}

// Count is the number of documents and chunks of a project.
func (s *Store) Count(ctx context.Context, p tenant.Project) (documents, chunks int, err error) {
	err = s.db.InTenant(ctx, p, func(ctx context.Context, tx *sqlx.Tx) error {
		const q = `SELECT count(*), coalesce(sum(chunks), 0) FROM documents WHERE project_id = $1`
		return tx.QueryRowxContext(ctx, q, int64(p)).Scan(&documents, &chunks)
	})
	if err != nil {
		return 0, 0, fmt.Errorf("count documents: %w", err)
	}
	return documents, chunks, nil
}
