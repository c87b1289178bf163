package postgres_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/commandcenter/commandcenter/pkg/pg/pgtest"
	"github.com/commandcenter/commandcenter/services/knowledge"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/index"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/postgres"
)

// BenchmarkPGVector100k asks for the 10 nearest of 100,000 vectors of 384
// elements, in turn through the store, as searches do, and by the bare query with the
// same parameters for another vector, prepared on a connection that does nothing else. recall@10 is
// of the store, beside a comparison with each.
func BenchmarkPGVector100k(b *testing.B) {
	const documents, chunks, k = 1000, 100, 10
	db := pgtest.New(b, knowledge.Migrations)
	s := postgres.New(db, func(string) string { return model })
	if can, _, _, err := s.Backends(b.Context(), 1); err != nil || len(can) == 1 {
		b.Skip("this PostgreSQL has no pgvector 0.8 or later: `make pgvector` builds one, CC_PG_BIN names it", err)
	}
	r := rand.New(rand.NewPCG(5, 5))
	random := func(like []float32) []float32 {
		v := make([]float32, dims)
		for i := range v {
			v[i] = float32(r.NormFloat64())
			if like != nil {
				v[i] = like[i] + .8*v[i]
			}
		}
		return v
	}
	admin := pgtest.Admin(b, db)
	admin.SetMaxOpenConns(1)
	// The graph of many at once is made in a quarter of the time.
	var graph string
	if err := admin.Get(&graph, `SELECT pg_get_indexdef('knowledge.vectors_near_384'::regclass)`); err != nil {
		b.Fatal(err)
	}
	admin.MustExec(`DROP INDEX knowledge.vectors_near_384`)
	if err := s.ChooseBackend(b.Context(), 1, index.PGVector); err != nil {
		b.Fatal(err)
	}
	if _, err := s.Serve(b.Context(), 1); err != nil {
		b.Fatal(err)
	}
	var centres [][]float32
	for i := range documents {
		texts := make([]string, chunks)
		for j := range texts {
			texts[j] = fmt.Sprintf("%d.%d", i, j)
		}
		d, cs, blob := draft(1, fmt.Sprintf("docs/%d.md", i), texts...)
		d, _, err := s.Receive(b.Context(), d, cs, blob)
		if err != nil {
			b.Fatal(err)
		}
		todo, err := s.Unembedded(b.Context(), d, model, -1, chunks)
		if err != nil {
			b.Fatal(err)
		}
		centres = append(centres, random(nil))
		vectors := make([][]float32, len(todo))
		for j := range vectors {
			vectors[j] = random(centres[i])
		}
		if err := s.Embedded(b.Context(), d, model, todo, vectors); err != nil {
			b.Fatal(err)
		}
	}
	began := time.Now()
	for _, q := range []string{`SET maintenance_work_mem = '1GB'`, `SET max_parallel_maintenance_workers = 0`, graph, `ANALYZE knowledge.vectors`} {
		admin.MustExec(q)
	}
	built := time.Since(began)

	raw := pgtest.Admin(b, db)
	raw.SetMaxOpenConns(1)
	for _, q := range []string{
		`SET search_path = knowledge, extensions`, `SELECT '[1]'::vector`, `SET hnsw.ef_search = 128`, `SET hnsw.iterative_scan = strict_order`, `SET enable_sort = off`, `SET plan_cache_mode = force_generic_plan`,
	} {
		raw.MustExec(q)
	}
	bare, err := raw.Preparex(`
		SELECT chunk_id, -(embedding <#> $3) FROM vectors WHERE project_id = $1 AND model = $2 AND dims = 384 AND NOT half
		ORDER BY embedding::vector(384) <#> $3::vector(384) LIMIT $4`)
	if err != nil {
		b.Fatal(err)
	}
	var mine, its []time.Duration
	same, asked := 0, 0
	for b.Loop() {
		v := random(centres[r.IntN(len(centres))])
		began := time.Now()
		leg := s.Leg(b.Context(), 1, index.State{Model: model, Backend: index.PGVector}, documents*chunks, v)
		got, _, err := leg.Nearest(k, nil, nil)
		mine = append(mine, time.Since(began))
		if err != nil || len(got) != k {
			b.Fatalf("%d found, %v", len(got), err)
		}
		if asked < 30 {
			var exact []int64
			if err := raw.Select(&exact, `SELECT chunk_id FROM vectors ORDER BY (embedding <#> $1::vector) + 0 LIMIT $2`, vectorText(v), k); err != nil {
				b.Fatal(err)
			}
			for _, x := range got {
				if slices.Contains(exact, x.ID) {
					same++
				}
			}
			asked++
		}
		v = random(centres[r.IntN(len(centres))]) // what the first question has read is in memory for the second
		began = time.Now()
		rows, err := bare.Query(1, model, vectorText(v), k)
		if err != nil {
			b.Fatal(err)
		}
		n := 0
		for rows.Next() {
			var id int64
			var c float64
			if err := rows.Scan(&id, &c); err != nil {
				b.Fatal(err)
			}
			n++
		}
		its = append(its, time.Since(began))
		if err := rows.Close(); err != nil || n != k {
			b.Fatalf("%d by the bare query, %v", n, err)
		}
	}
	for name, took := range map[string][]time.Duration{"ours": mine, "sql": its} {
		slices.Sort(took)
		for _, p := range []int{10, 50, 99} {
			b.ReportMetric(float64(took[len(took)*p/100].Microseconds())/1000, fmt.Sprintf("%s-p%d-ms", name, p))
		}
	}
	b.ReportMetric(float64(same)/float64(k*asked), "recall@10")
	b.ReportMetric(built.Seconds(), "graph-s")
}

func vectorText(v []float32) string {
	b := []byte{'['}
	for i, e := range v {
		if i > 0 {
			b = append(b, ',')
		}
		b = fmt.Append(b, e)
	}
	return string(append(b, ']'))
}
