package postgres

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"github.com/commandcenter/commandcenter/pkg/tenant"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/index"
)

// graphs are the lengths of vectors for which pgvector.sql makes graphs. Others
// are compared one by one.
var graphs = map[int]bool{384: true, 512: true, 768: true, 1024: true, 1536: true}

// few is how many vectors are compared one by one rather than through a graph.
const few = 2000

// Leg asks pgvector, see search.Shelf.
func (s *Store) Leg(ctx context.Context, p tenant.Project, of index.State, passages int, question []float32) *index.Leg {
	n := near{s: s, p: p, of: of, passages: passages, question: vectorText(unit(question)), dims: len(question)}
	return &index.Leg{
		Nearest: func(k int, among, also []int64) ([]index.Near, map[int64]float64, error) {
			return n.nearest(ctx, k, among, also)
		},
		Vectors: func(ids []int64) (map[int64][]float32, error) { return n.vectors(ctx, ids) },
	}
}

// near is a question to pgvector.
type near struct {
	s        *Store
	p        tenant.Project
	of       index.State
	passages int
	question string
	dims     int
}

func (n near) nearest(ctx context.Context, k int, among, also []int64) (found []index.Near, cosines map[int64]float64, err error) {
	members := n.passages
	if among != nil {
		members = len(among)
	}
	if members == 0 {
		k, among = 0, nil
	}
	if graphs[n.dims] && members > few {
		if found, cosines, err = n.ask(ctx, true, k, among, also); err != nil || len(found) >= min(k, members) {
			return found, cosines, err
		}
		// The graph has been left before there were enough, or some have no vector.
	}
	return n.ask(ctx, false, k, among, also)
}

// ask runs one query. What it finds is ranked by the vectors at full precision.
func (n near) ask(ctx context.Context, graph bool, k int, among, also []int64) (found []index.Near, cosines map[int64]float64, err error) {
	cosines = make(map[int64]float64, len(also))
	set := ""
	if graph {
		// A sort of all is what the planner prefers where it believes that few are
		// left; the graph goes on until there are enough. One plan does for all.
		set = fmt.Sprintf(`SET LOCAL hnsw.ef_search = %d; SET LOCAL hnsw.iterative_scan = 'strict_order'; SET LOCAL enable_sort = off; SET LOCAL plan_cache_mode = force_generic_plan`, min(max(k+k/2, 128), 1000))
	}
	err = n.s.db.InTenantSet(ctx, n.p, set, func(ctx context.Context, tx *sqlx.Tx) (err error) {
		args := []any{int64(n.p), n.of.Model, n.question, k, pq.Array(among)}
		if len(also) > 0 {
			args = append(args, pq.Array(also))
		}
		rows, err := tx.QueryContext(ctx, n.query(graph, among != nil, len(also) > 0), args...)
		if err != nil {
			return fmt.Errorf("ask pgvector: %w", err)
		}
		defer closeRows(rows, &err)
		for rows.Next() {
			var x index.Near
			var asked bool
			if err := rows.Scan(&x.ID, &x.Cosine, &asked); err != nil {
				return fmt.Errorf("ask pgvector: %w", err)
			}
			if asked {
				cosines[x.ID] = x.Cosine
			} else {
				found = append(found, x)
			}
		}
		return rows.Err()
	})
	slices.SortStableFunc(found, func(a, b index.Near) int { return cmp.Or(cmp.Compare(b.Cosine, a.Cosine), cmp.Compare(a.ID, b.ID)) })
	return found, cosines, err
}

// query is the nearest of the project or of some, by a graph or one by one, and
// the cosines of others. The names of types and lengths are parts of indexes, so
// they are written out and no parameters.
func (n near) query(graph, some, also bool) string {
	kind, half := "vector", "NOT half"
	if n.of.Backend == index.PGVectorHalf {
		kind, half = "halfvec", "half"
	}
	of := fmt.Sprintf(`project_id = $1 AND model = $2 AND dims = %d AND %s`, n.dims, half)
	order := `(embedding <#> $3) + 0` // no graph has this order
	if graph {
		order = fmt.Sprintf(`embedding::%[1]s(%[2]d) <#> $3::%[1]s(%[2]d)`, kind, n.dims)
	}
	among := `$5::bigint[] IS NULL`
	if some {
		among = `chunk_id = ANY ($5::bigint[])`
	}
	q := `SELECT chunk_id, -(embedding <#> $3), false FROM vectors WHERE ` + of + ` AND ` + among + ` ORDER BY ` + order + ` LIMIT $4`
	if also {
		q = `(` + q + `) UNION ALL SELECT chunk_id, -(embedding <#> $3), true FROM vectors WHERE ` + of + ` AND chunk_id = ANY ($6::bigint[])`
	}
	return q
}

func (n near) vectors(ctx context.Context, ids []int64) (map[int64][]float32, error) {
	out := make(map[int64][]float32, len(ids))
	err := n.s.db.InTenant(ctx, n.p, func(ctx context.Context, tx *sqlx.Tx) (err error) {
		const q = `SELECT chunk_id, vector FROM embeddings WHERE project_id = $1 AND model = $2 AND chunk_id = ANY ($3)`
		rows, err := tx.QueryContext(ctx, q, int64(n.p), n.of.Model, pq.Array(ids))
		if err != nil {
			return fmt.Errorf("read vectors: %w", err)
		}
		defer closeRows(rows, &err)
		for rows.Next() {
			var id int64
			var b []byte
			if err := rows.Scan(&id, &b); err != nil {
				return fmt.Errorf("read vectors: %w", err)
			}
			if out[id], err = decodeVector(b); err != nil {
				return err
			}
			out[id] = unit(out[id])
		}
		return rows.Err()
	})
	return out, err
}

// unit is v at unit length, and v itself when it has none.
func unit(v []float32) []float32 {
	sum := 0.0
	for _, e := range v {
		sum += float64(e) * float64(e)
	}
	if sum == 0 {
		return v
	}
	out := make([]float32, len(v))
	scale := 1 / math.Sqrt(sum)
	for i, e := range v {
		out[i] = float32(float64(e) * scale)
	}
	return out
}

// vectorText is v as pgvector reads it.
func vectorText(v []float32) string {
	var b strings.Builder
	b.Grow(12 * len(v))
	b.WriteByte('[')
	buf := make([]byte, 0, 24)
	for i, e := range v {
		if i > 0 {
			b.WriteByte(',')
		}
		b.Write(strconv.AppendFloat(buf, float64(e), 'g', -1, 32))
	}
	b.WriteByte(']')
	return b.String()
}
