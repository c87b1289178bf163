package ingestion

import (
	"context"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/commandcenter/commandcenter/pkg/app"
	"github.com/commandcenter/commandcenter/pkg/egress"
	"github.com/commandcenter/commandcenter/pkg/jobs"
	"github.com/commandcenter/commandcenter/pkg/secret"
	"github.com/commandcenter/commandcenter/pkg/tenant"

	"github.com/commandcenter/commandcenter/services/ingestion/internal/feed"
	"github.com/commandcenter/commandcenter/services/ingestion/internal/postgres"
	"github.com/commandcenter/commandcenter/services/ingestion/internal/source"
)

// safe seals credentials of sources.
type safe struct{ ring *secret.Ring }

func (s safe) place(p tenant.Project, id int64) secret.Place {
	return secret.Place{Schema: Name, Table: "sources", Column: "credentials", Project: int64(p), Row: strconv.FormatInt(id, 10)}
}

// Seal hides the credentials of a source.
func (s safe) Seal(p tenant.Project, id int64, plain []byte) ([]byte, error) {
	return s.ring.Seal(s.place(p, id), plain)
}

// Open is what was hidden.
func (s safe) Open(p tenant.Project, id int64, sealed []byte) ([]byte, error) {
	v, err := s.ring.Open(s.place(p, id), sealed)
	if err != nil {
		return nil, err
	}
	return v.Reveal(), nil
}

// discovering finds feeds, and offers the site itself beside those of a page.
type discovering struct{ feeds *feed.Reader }

// Discover finds the sources of an address.
func (d discovering) Discover(ctx context.Context, address string) ([]feed.Candidate, error) {
	found, err := d.feeds.Discover(ctx, address)
	if err != nil || len(found) > 0 && found[0].IsIt {
		return found, err
	}
	if !strings.Contains(address, "://") {
		address = "https://" + address
	}
	u, err := egress.Parse(address)
	if err != nil {
		return nil, err
	}
	return append(found, feed.Candidate{
		Draft: source.Draft{Kind: source.Site, Name: u.Host, URL: u.String(), Priority: 5, Enabled: true}, Why: "its pages can be read one by one",
	}), nil
}

// fetching is the handler of runs.
func fetching(r *source.Runner, log *slog.Logger, reg prometheus.Registerer) (jobs.Handler, error) {
	documents := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "ingestion_documents_total", Help: "Documents of sources that runs looked at, by what became of them: taken, unchanged, elsewhere, gone, failed.",
	}, []string{"outcome"})
	runs := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "ingestion_runs_total", Help: "Runs of sources, by how they ended: done, failed.",
	}, []string{"state"})
	if reg != nil {
		for _, c := range []prometheus.Collector{documents, runs} {
			if err := reg.Register(c); err != nil {
				return nil, err
			}
		}
	}
	return func(ctx context.Context, j *jobs.Run) error {
		var t postgres.FetchTask
		if err := j.Decode(&t); err != nil {
			return err
		}
		run, err := r.Run(ctx, j.Job.Project, t.Source, j.Job.ID, func(done, total int, doing string) { j.Progress(ctx, done, total, doing) })
		if run.FinishedAt.IsZero() {
			return err
		}
		c := run.Counts
		for outcome, n := range map[string]int{"taken": c.Taken, "unchanged": c.Unchanged, "elsewhere": c.Elsewhere, "gone": c.Gone, "failed": c.Failed} {
			documents.WithLabelValues(outcome).Add(float64(n))
		}
		runs.WithLabelValues(run.State).Inc()
		log.InfoContext(ctx, "source.run", "project", int64(j.Job.Project), "source", t.Source, "run", run.ID, "state", run.State, "taken", c.Taken, "unchanged", c.Unchanged,
			"gone", c.Gone, "failed", c.Failed, "bytes", c.Bytes, "error", run.Error)
		if err == nil {
			err = j.SetResult(c)
		}
		return err
	}, nil
}

// clock makes runs of sources that are due. Every replica has one: each source is
// taken by one of them.
type clock struct {
	every time.Duration
	due   func(ctx context.Context, now time.Time, limit int) (int, error)
	now   func() time.Time
	log   *slog.Logger

	app.Loop
}

// atOnce are the sources that one transaction takes.
const atOnce = 50

// Name is "ingestion.clock".
func (c *clock) Name() string { return Name + ".clock" }

// Start begins at once: what was due while nobody ran is due.
func (c *clock) Start(ctx context.Context) error {
	c.Go(ctx, c.run)
	return nil
}

func (c *clock) run(ctx context.Context) {
	tick := time.NewTicker(c.every)
	defer tick.Stop()
	failing := false
	for {
		n, err := c.due(ctx, c.now(), atOnce)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil && !failing:
			c.log.ErrorContext(ctx, "sources are not asked", "err", err)
		case n == atOnce:
			continue
		}
		failing = err != nil
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}
