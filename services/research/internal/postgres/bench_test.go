package postgres_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/commandcenter/commandcenter/pkg/pg/pgtest"
	"github.com/commandcenter/commandcenter/pkg/tenant"

	"github.com/commandcenter/commandcenter/services/research"
	"github.com/commandcenter/commandcenter/services/research/internal/postgres"
	"github.com/commandcenter/commandcenter/services/research/internal/technology"
)

// BenchmarkList10k asks for pages of 10,000 technologies of a project, beside which
// there are none, and a hundred projects with a thousand each.
func BenchmarkList10k(b *testing.B) {
	db := pgtest.New(b, research.Migrations)
	fill := func(p tenant.Project, n int) {
		const q = `
			INSERT INTO technologies (project_id, title, domain, status, relevance_score, priority, description, tags, version, created_by, created_at, updated_at)
			SELECT $1, 'Technology ' || i, 'other', (ARRAY['discovery', 'research', 'evaluation', 'archived'])[1 + i % 4], i % 101, 1 + i % 5,
			       repeat('what it is and what it does ', 12) || i, 'tag' || i % 50 || ', common', 1, 'user:1', now(), now() - i * interval '1 second'
			FROM   generate_series(1, $2) i`
		err := db.InTenant(b.Context(), p, func(ctx context.Context, tx *sqlx.Tx) error {
			_, err := tx.ExecContext(ctx, q, int64(p), n)
			return err
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	s := postgres.New(db)
	fill(1, 10_000)
	for _, others := range []int{0, 100} {
		for i := range others {
			fill(tenant.Project(2+i), 1000)
		}
		for name, f := range map[string]technology.Filter{
			"page": {Limit: 50}, "ring": {Ring: "trial", Limit: 50}, "text": {Search: "does 77", Limit: 50}, "nothing": {Search: "absent", Limit: 50}, "last": {Skip: 9_900, Limit: 50},
		} {
			b.Run(fmt.Sprintf("others=%d/%s", others, name), func(b *testing.B) {
				var times []time.Duration
				for b.Loop() {
					began := time.Now()
					if _, _, err := s.List(b.Context(), 1, f); err != nil {
						b.Fatal(err)
					}
					times = append(times, time.Since(began))
				}
				slices.Sort(times)
				b.ReportMetric(float64(times[len(times)/2].Microseconds())/1000, "p50-ms")
				b.ReportMetric(float64(times[len(times)*99/100].Microseconds())/1000, "p99-ms")
			})
		}
	}
}
