package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/outbox"
	"github.com/commandcenter/commandcenter/pkg/pg"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	researchv1 "github.com/commandcenter/commandcenter/proto-events/research/v1"

	"github.com/commandcenter/commandcenter/services/research/internal/technology"
)

// said are the columns of a draft, and named the same as parameters.
const (
	said = `title, vendor, domain, status, ring, quadrant, relevance_score, priority, description, notes, use_cases, documentation_url,
		repository_url, website_url, tags, latency_ms, throughput_qps, integration_difficulty, integration_time_estimate_days, maturity_level, stability_score,
		cost_tier, cost_monthly_usd, dependencies, alternatives, last_hn_mention, hn_score_avg, github_stars, github_last_commit`
	columns = `id, ` + said + `, version, created_by, created_at, updated_at`
)

// Exported are the columns of a technology in an archive.
const Exported = columns

// Columns are the columns of a technology in an archive that are its own.
func Columns() []string { return strings.FieldsFunc(columns, between) }

func between(r rune) bool { return strings.ContainsRune(", \n\t", r) }

var named = ":" + strings.Join(strings.FieldsFunc(said, between), ", :")

// kept is a technology as the database has it.
type kept struct {
	Project int64 `db:"project_id"`
	technology.Technology
	Dependencies []byte `db:"dependencies"` // JSON, or nil
}

func keep(p tenant.Project, x technology.Technology) (kept, error) {
	k := kept{Project: int64(p), Technology: x}
	if x.Dependencies == nil {
		return k, nil
	}
	var err error
	k.Dependencies, err = json.Marshal(x.Dependencies)
	return k, err
}

// Insert keeps x under a new id.
func (s *Store) Insert(ctx context.Context, p tenant.Project, x technology.Technology) (technology.Technology, error) {
	err := s.db.InTenant(ctx, p, func(ctx context.Context, tx *sqlx.Tx) (err error) {
		if x.ID, err = next(ctx, tx, p, "technologies", technology.MaxPerProject); err != nil {
			return err
		}
		if err := full(ctx, tx, p); err != nil {
			return err
		}
		if err := linked(ctx, tx, p, technology.Draft{}, x.Draft); err != nil {
			return err
		}
		if err := insert(ctx, tx, p, x); err != nil {
			return err
		}
		return moved(ctx, tx, p, nil, x, x.CreatedBy)
	})
	return x, doing(err, "add a technology")
}

// Restore keeps x, of an archive, under its own id.
func (s *Store) Restore(ctx context.Context, p tenant.Project, x technology.Technology) error {
	err := s.db.InTenant(ctx, p, func(ctx context.Context, tx *sqlx.Tx) error {
		if err := full(ctx, tx, p); err != nil {
			return err
		}
		return insert(ctx, tx, p, x)
	})
	return doing(err, "restore a technology")
}

// RestoreMove keeps a move of an archive; its technology is there.
func (s *Store) RestoreMove(ctx context.Context, p tenant.Project, m technology.Move) error {
	err := s.db.InTenant(ctx, p, func(ctx context.Context, tx *sqlx.Tx) error {
		x, err := get(ctx, tx, p, m.TechnologyID, "")
		if err != nil {
			return err
		}
		if m.Version > x.Version {
			return errs.New(errs.Invalid, "a move is of a version that its technology has not")
		}
		return note(ctx, tx, p, m)
	})
	if pg.UniqueViolation(err, "moves_pkey") {
		return errs.New(errs.Conflict, "a move is there twice")
	}
	return doing(err, "restore a move")
}

func full(ctx context.Context, tx *sqlx.Tx, p tenant.Project) error {
	const q = `SELECT count(*) FROM technologies WHERE project_id = $1`
	var n int
	if err := tx.GetContext(ctx, &n, q, int64(p)); err != nil {
		return err
	}
	if n >= technology.MaxPerProject {
		return technology.ErrMany
	}
	return nil
}

// insert writes the row and says that it was added.
func insert(ctx context.Context, tx *sqlx.Tx, p tenant.Project, x technology.Technology) error {
	k, err := keep(p, x)
	if err != nil {
		return err
	}
	q := `INSERT INTO technologies (project_id, ` + columns + `) VALUES (:project_id, :id, ` + named + `, :version, :created_by, :created_at, :updated_at)`
	if _, err := tx.NamedExecContext(ctx, q, k); err != nil {
		return taken(err)
	}
	return outbox.Add(ctx, tx, &researchv1.TechnologyAdded{
		ProjectId: int32(p), TechnologyId: int32(x.ID), Version: int32(x.Version), Title: x.Title, Domain: string(x.Domain), Status: string(x.Status), //nolint:gosec // G115: MAXVALUE of the sequence
		Ring: string(x.OnRing()), Quadrant: string(x.InQuadrant()), AddedBy: x.CreatedBy,
	})
}

func taken(err error) error {
	if pg.UniqueViolation(err, "technologies_of_a_title") || pg.UniqueViolation(err, "technologies_pkey") {
		return technology.ErrExists
	}
	return err
}

// linked says of the technologies that d names, and before did not, whether they are
// there. One that was deleted since it was named keeps nobody from changing the rest.
func linked(ctx context.Context, tx *sqlx.Tx, p tenant.Project, before, d technology.Draft) error {
	ids, err := d.Linked()
	if err != nil {
		return err
	}
	old, err := before.Linked()
	if err != nil {
		return err
	}
	ids = slices.DeleteFunc(ids, func(id int64) bool { return slices.Contains(old, id) })
	if len(ids) == 0 {
		return nil
	}
	const q = `SELECT id FROM technologies WHERE project_id = $1 AND id = ANY($2) ORDER BY id FOR KEY SHARE`
	var there []int64
	if err := tx.SelectContext(ctx, &there, q, int64(p), pq.Array(ids)); err != nil {
		return err
	}
	for _, id := range ids {
		if slices.Contains(there, id) {
			continue
		}
		field := "alternatives"
		if _, ok := d.Dependencies[strconv.FormatInt(id, 10)]; ok {
			field = "dependencies"
		}
		return errs.InvalidField("missing_reference", fmt.Sprintf("there is no technology %d that could be named", id), "body", field)
	}
	return nil
}

// moved notes and says a change of status or ring, if there was one; before is nil for
// what is new.
func moved(ctx context.Context, tx *sqlx.Tx, p tenant.Project, before *technology.Technology, x technology.Technology, by string) error {
	m := technology.Move{TechnologyID: x.ID, Version: x.Version, ToStatus: x.Status, ToRing: x.OnRing(), By: by, At: x.UpdatedAt}
	if before == nil {
		return note(ctx, tx, p, m)
	}
	ring := before.OnRing()
	if before.Status == x.Status && ring == m.ToRing {
		return nil
	}
	m.FromStatus, m.FromRing = &before.Status, &ring
	if err := note(ctx, tx, p, m); err != nil {
		return err
	}
	return outbox.Add(ctx, tx, &researchv1.TechnologyMoved{
		ProjectId: int32(p), TechnologyId: int32(x.ID), Version: int32(x.Version), Title: x.Title, FromStatus: string(before.Status), ToStatus: string(x.Status), //nolint:gosec // G115: MAXVALUE of the sequence
		FromRing: string(ring), ToRing: string(m.ToRing), MovedBy: by,
	})
}

func note(ctx context.Context, tx *sqlx.Tx, p tenant.Project, m technology.Move) error {
	const q = `
		INSERT INTO moves (project_id, technology_id, version, from_status, to_status, from_ring, to_ring, moved_by, moved_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`
	_, err := tx.ExecContext(ctx, q, int64(p), m.TechnologyID, m.Version, m.FromStatus, m.ToStatus, m.FromRing, m.ToRing, m.By, m.At)
	return err
}

// Update locks the technology, has change change it, and keeps what is different.
func (s *Store) Update(ctx context.Context, p tenant.Project, id int64, by string, now time.Time, change func(technology.Technology) (technology.Draft, error)) (x technology.Technology, err error) {
	err = s.db.InTenant(ctx, p, func(ctx context.Context, tx *sqlx.Tx) error {
		before, err := get(ctx, tx, p, id, ` FOR UPDATE`)
		if err != nil {
			return err
		}
		x = before
		if x.Draft, err = change(before); err != nil || x.Same(before.Draft) {
			return err
		}
		x.Version, x.UpdatedAt = before.Version+1, now
		if err := linked(ctx, tx, p, before.Draft, x.Draft); err != nil {
			return err
		}
		k, err := keep(p, x)
		if err != nil {
			return err
		}
		q := `UPDATE technologies SET (` + said + `, version, updated_at) = (` + named + `, :version, :updated_at) WHERE project_id = :project_id AND id = :id`
		if _, err := tx.NamedExecContext(ctx, q, k); err != nil {
			return taken(err)
		}
		err = outbox.Add(ctx, tx, &researchv1.TechnologyChanged{
			ProjectId: int32(p), TechnologyId: int32(id), Version: int32(x.Version), Title: x.Title, ChangedBy: by, //nolint:gosec // G115: MAXVALUE of the sequence
		})
		if err != nil {
			return err
		}
		return moved(ctx, tx, p, &before, x, by)
	})
	return x, doing(err, fmt.Sprintf("change technology %d", id))
}

// Delete removes a technology with its moves and its tasks.
func (s *Store) Delete(ctx context.Context, p tenant.Project, id int64) error {
	const q = `DELETE FROM technologies WHERE project_id = $1 AND id = $2 RETURNING version`
	err := s.db.InTenant(ctx, p, func(ctx context.Context, tx *sqlx.Tx) error {
		if _, err := get(ctx, tx, p, id, ` FOR UPDATE`); err != nil { // nobody adds a task meanwhile
			return err
		}
		if err := removeTasksOf(ctx, tx, p, id); err != nil {
			return err
		}
		var version int64
		if err := tx.GetContext(ctx, &version, q, int64(p), id); err != nil {
			return absent(err)
		}
		return outbox.Add(ctx, tx, &researchv1.TechnologyRemoved{ProjectId: int32(p), TechnologyId: int32(id), Version: int32(version + 1)}) //nolint:gosec // G115: MAXVALUE of the sequence
	})
	return doing(err, fmt.Sprintf("delete technology %d", id))
}

func get(ctx context.Context, tx *sqlx.Tx, p tenant.Project, id int64, lock string) (x technology.Technology, err error) {
	q := `SELECT ` + columns + ` FROM technologies WHERE project_id = $1 AND id = $2` + lock
	err = tx.GetContext(ctx, &x, q, int64(p), id)
	return utc(x), absent(err)
}

// Get returns a technology.
func (s *Store) Get(ctx context.Context, p tenant.Project, id int64) (x technology.Technology, err error) {
	err = s.db.InTenant(ctx, p, func(ctx context.Context, tx *sqlx.Tx) error {
		x, err = get(ctx, tx, p, id, "")
		return err
	})
	return x, doing(err, fmt.Sprintf("read technology %d", id))
}

// chosen is what a filter chooses; $5 are the statuses that lead to the ring, where none
// is said.
const chosen = `
	FROM  technologies
	WHERE project_id = $1 AND ($2 = '' OR domain = $2) AND ($3 = '' OR status = $3)
	AND   ($4 = '' OR ring = $4 OR ring IS NULL AND status = ANY($5))
	AND   ($6 = '' OR sought LIKE $6)`

// like is the pattern of a text anywhere, with what a pattern gives a meaning taken as
// it is.
func like(text string) string {
	if text = strings.TrimSpace(text); text == "" {
		return ""
	}
	return "%" + strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`).Replace(strings.ToLower(text)) + "%"
}

// List returns a page, and how many there are.
func (s *Store) List(ctx context.Context, p tenant.Project, f technology.Filter) (page []technology.Technology, total int, err error) {
	var leading []string
	for _, s := range technology.Statuses {
		if s.Ring() == f.Ring {
			leading = append(leading, string(s))
		}
	}
	args := []any{int64(p), string(f.Domain), string(f.Status), string(f.Ring), pq.Array(leading), like(f.Search)}
	err = s.db.InTenant(ctx, p, func(ctx context.Context, tx *sqlx.Tx) error {
		if err := tx.GetContext(ctx, &total, `SELECT count(*)`+chosen, args...); err != nil || total <= f.Skip {
			return err
		}
		q := `SELECT ` + columns + chosen + ` ORDER BY priority DESC, relevance_score DESC, updated_at DESC, id DESC LIMIT $7 OFFSET $8`
		return tx.SelectContext(ctx, &page, q, append(args, f.Limit, f.Skip)...)
	})
	for i := range page {
		page[i] = utc(page[i])
	}
	return page, total, doing(err, "list technologies")
}

// Moves are those of a technology, the latest first.
func (s *Store) Moves(ctx context.Context, p tenant.Project, id int64) (moves []technology.Move, err error) {
	const q = `
		SELECT technology_id, version, from_status, to_status, from_ring, to_ring, moved_by, moved_at
		FROM   moves WHERE project_id = $1 AND technology_id = $2 ORDER BY version DESC LIMIT 1000`
	err = s.db.InTenant(ctx, p, func(ctx context.Context, tx *sqlx.Tx) error {
		if err := tx.SelectContext(ctx, &moves, q, int64(p), id); err != nil || len(moves) > 0 {
			return err
		}
		_, err := get(ctx, tx, p, id, "") // whose moves an archive did not have
		return err
	})
	for i := range moves {
		moves[i].At = moves[i].At.UTC()
	}
	return moves, doing(err, fmt.Sprintf("read the moves of technology %d", id))
}

// Standing is every technology, and where each stood at a time.
func (s *Store) Standing(ctx context.Context, p tenant.Project, at time.Time) (now []technology.Technology, then map[int64]technology.Ring, err error) {
	const all = `SELECT id, title, domain, status, ring, quadrant FROM technologies WHERE project_id = $1 ORDER BY id`
	const before = `
		SELECT DISTINCT ON (technology_id) technology_id, to_ring
		FROM   moves WHERE project_id = $1 AND moved_at <= $2 ORDER BY technology_id, version DESC`
	var rows []struct {
		ID   int64           `db:"technology_id"`
		Ring technology.Ring `db:"to_ring"`
	}
	err = s.db.InTenant(ctx, p, func(ctx context.Context, tx *sqlx.Tx) error {
		if err := tx.SelectContext(ctx, &now, all, int64(p)); err != nil {
			return err
		}
		return tx.SelectContext(ctx, &rows, before, int64(p), at)
	})
	then = make(map[int64]technology.Ring, len(rows))
	for _, r := range rows {
		then[r.ID] = r.Ring
	}
	return now, then, doing(err, "read the radar")
}

// Descriptions are the beginnings of what is said of technologies, by id.
func (s *Store) Descriptions(ctx context.Context, p tenant.Project) (map[int64]string, error) {
	const q = `SELECT id, left(description, 1000) AS text FROM technologies WHERE project_id = $1 AND description IS NOT NULL`
	var rows []struct {
		ID   int64  `db:"id"`
		Text string `db:"text"`
	}
	err := s.db.InTenant(ctx, p, func(ctx context.Context, tx *sqlx.Tx) error { return tx.SelectContext(ctx, &rows, q, int64(p)) })
	out := make(map[int64]string, len(rows))
	for _, r := range rows {
		out[r.ID] = r.Text
	}
	return out, doing(err, "read what technologies are")
}

// Count is how many technologies and how many tasks a project has.
func (s *Store) Count(ctx context.Context, p tenant.Project) (technologies, tasks int, err error) {
	const q = `SELECT (SELECT count(*) FROM technologies WHERE project_id = $1), (SELECT count(*) FROM tasks WHERE project_id = $1)`
	err = s.db.InTenant(ctx, p, func(ctx context.Context, tx *sqlx.Tx) error {
		return tx.QueryRowxContext(ctx, q, int64(p)).Scan(&technologies, &tasks)
	})
	return technologies, tasks, doing(err, "count technologies and tasks")
}

func utc(x technology.Technology) technology.Technology {
	x.CreatedAt, x.UpdatedAt = x.CreatedAt.UTC(), x.UpdatedAt.UTC()
	for _, t := range []**time.Time{&x.LastHNMention, &x.GitHubLastCommit} {
		if *t != nil {
			u := (*t).UTC()
			*t = &u
		}
	}
	return x
}

func absent(err error) error {
	if pg.NoRows(err) {
		return technology.ErrNotFound
	}
	return err
}

// doing says what was being done, unless the error is a refusal for the caller.
func doing(err error, what string) error {
	if e := (*errs.Error)(nil); err == nil || errors.As(err, &e) && e.Kind.Refusal() {
		return err
	}
	return fmt.Errorf("%s: %w", what, err)
}
