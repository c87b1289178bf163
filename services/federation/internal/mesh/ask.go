package mesh

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	"github.com/commandcenter/commandcenter/services/federation/internal/instance"
)

// Query is what is looked for.
type Query struct {
	Text     string `json:"query"`
	Category string `json:"category,omitempty"` // "" is any
	Limit    int    `json:"limit"`              // 1 to 50
	// Budget is how long an answer may take, in milliseconds.
	Budget int64 `json:"budget_ms"`
}

// Hit is a passage that was found.
type Hit struct {
	Project  string   `json:"project"` // its name there
	Title    string   `json:"title"`
	Content  string   `json:"content"`
	Category string   `json:"category"`
	Source   string   `json:"source_file"`
	Path     []string `json:"heading_path"`
	Score    float64  `json:"score"`
}

// Found is a hit and where it was found.
type Found struct {
	Hit
	Instance string
}

// Report is what became of asking one instance.
type Report struct {
	Instance string
	Self     bool
	Answered bool
	Reason   string // why not, or why with nothing
	Results  int
	Took     time.Duration
	asked    bool
}

// Result is the answer of all.
type Result struct {
	Found    []Found
	Reports  []Report // this instance first
	Answered int
	Asked    int // this one, and those that could have answered
}

// Reasons for which a question has no answer.
var (
	// ErrAway says that nobody hears questions to the instance.
	ErrAway = errors.New("it cannot be reached")
	// ErrRefused says that it does not answer this instance.
	ErrRefused = errors.New("it refuses: this instance is not admitted there, or known by another key")
	// ErrBusy says that it has too much to do.
	ErrBusy = errors.New("it is busy")
	// ErrForged says that the answer is not one of the instance.
	ErrForged = errors.New("its answer cannot be believed")
	// ErrShares says that it answers, and shares nothing.
	ErrShares = errors.New("it shares no project with this instance")
	// ErrSearch says that its own search failed.
	ErrSearch = errors.New("its search failed")
)

// mute says why an instance cannot answer, so that it is not asked.
type mute string

func (m mute) Error() string { return string(m) }

// Capability is what an instance that answers names among its own.
const Capability = "search"

// Asker asks. All fields are needed.
type Asker struct {
	Catalog interface {
		List(ctx context.Context, status instance.Status) ([]instance.Entry, error)
	}
	// Local searches a project of this instance.
	Local func(ctx context.Context, p tenant.Project, q Query) ([]Hit, error)
	// Ask puts the question to another one. nil when questions are not allowed
	// to leave.
	Ask func(ctx context.Context, to instance.Instance, q Query) ([]Hit, error)
	Now func() time.Time
}

// atOnce is how many instances are asked side by side.
const atOnce = 64

// Search asks this instance for the project, and the others, or those of them
// that are named in only, for what they share. A failure of another one is told
// in its report, and so is one of ours; a refusal of ours is the error.
func (a *Asker) Search(ctx context.Context, p tenant.Project, q Query, within time.Duration, only []string) (Result, error) {
	entries, err := a.Catalog.List(ctx, "")
	if err != nil {
		return Result{}, err
	}
	absent := absentOf(entries, only)
	entries = slices.DeleteFunc(entries, func(e instance.Entry) bool {
		return !e.Self && !e.Admitted || len(only) > 0 && !slices.Contains(only, e.Slug)
	})
	var (
		res   Result
		mu    sync.Mutex
		wg    sync.WaitGroup
		turns = make(chan struct{}, atOnce)
		fault error
	)
	res.Reports = make([]Report, len(entries))
	lists := make([][]Hit, len(entries))
	bounded, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	q.Budget = within.Milliseconds()
	for n, e := range entries {
		wg.Go(func() {
			turns <- struct{}{}
			defer func() { <-turns }()
			began := time.Now()
			hits, err := a.one(ctx, bounded, e, p, q)
			report := Report{asked: !errors.As(err, new(mute)), Instance: e.Slug, Self: e.Self, Answered: err == nil || errors.Is(err, ErrShares), Results: len(hits), Took: time.Since(began)}
			if err != nil {
				report.Reason = reason(err, within)
			}
			mu.Lock()
			defer mu.Unlock()
			if err != nil && e.Self && errs.KindOf(err).Refusal() {
				fault = err
			}
			res.Reports[n] = report
			lists[n] = hits
		})
	}
	wg.Wait()
	if fault != nil {
		return Result{}, fault
	}
	for _, r := range res.Reports {
		if r.asked {
			res.Asked++
		}
		if r.Answered {
			res.Answered++
		}
	}
	res.Reports = append(res.Reports, absent...)
	res.Found = merge(entries, lists, q.Limit)
	return res, nil
}

// absentOf tells of those who are named and cannot be asked: a name that is
// misspelled is no silence.
func absentOf(entries []instance.Entry, only []string) (out []Report) {
	for _, slug := range slices.Compact(slices.Sorted(slices.Values(only))) {
		n := slices.IndexFunc(entries, func(e instance.Entry) bool { return e.Slug == slug })
		switch {
		case n < 0:
			out = append(out, Report{Instance: slug, Reason: "there is no such instance"})
		case !entries[n].Self && !entries[n].Admitted:
			out = append(out, Report{Instance: slug, Reason: "it is not admitted"})
		}
	}
	return out
}

// merge takes the best of each instance, then the second of each, and so on: ours
// first, then by slug. A score says nothing beside those of another instance,
// which has other documents, and may have invented it.
func merge(entries []instance.Entry, lists [][]Hit, limit int) []Found {
	order := make([]int, len(entries))
	for n := range order {
		order[n] = n
	}
	slices.SortStableFunc(order, func(x, y int) int {
		if entries[x].Self != entries[y].Self {
			if entries[x].Self {
				return -1
			}
			return 1
		}
		return cmp.Compare(entries[x].Slug, entries[y].Slug)
	})
	var out []Found
	for rank := 0; len(out) < limit; rank++ {
		before := len(out)
		for _, n := range order {
			if rank < len(lists[n]) && len(out) < limit {
				out = append(out, Found{lists[n][rank], entries[n].Slug})
			}
		}
		if len(out) == before {
			break
		}
	}
	return out
}

// Bounds of a hit that another instance has found, in bytes.
const (
	maxName    = 4096
	maxContent = 32 << 10
	maxPath    = 20
)

// believable reports whether a hit of another instance can be shown.
func (h Hit) believable() bool {
	long := func(s string) bool { return len(s) > maxName }
	return !math.IsNaN(h.Score) && !math.IsInf(h.Score, 0) && len(h.Content) <= maxContent && len(h.Path) <= maxPath &&
		!slices.ContainsFunc([]string{h.Project, h.Title, h.Category, h.Source}, long) && !slices.ContainsFunc(h.Path, long)
}

// one asks one instance; our own has the time of the whole call.
func (a *Asker) one(ctx, bounded context.Context, e instance.Entry, p tenant.Project, q Query) ([]Hit, error) {
	switch {
	case e.Self:
		return a.Local(ctx, p, q)
	case a.Ask == nil:
		return nil, mute("this instance asks no others: federation.search is off")
	case e.Status == instance.Offline && e.Beats == 0:
		return nil, mute("it was never heard")
	case e.Status == instance.Offline:
		return nil, mute("offline, last heard " + e.LastHeartbeat.UTC().Format(time.RFC3339))
	case !slices.Contains(e.Capabilities, Capability):
		return nil, mute("it does not answer searches")
	case e.Key == "" || e.SealKey == "":
		return nil, mute("its heartbeats are not signed: nobody could tell who answers")
	}
	hits, err := a.Ask(bounded, e.Instance, q)
	if len(hits) > q.Limit {
		hits = hits[:q.Limit]
	}
	hits = slices.DeleteFunc(hits, func(h Hit) bool { return !h.believable() })
	slices.SortStableFunc(hits, func(x, y Hit) int { return cmp.Compare(y.Score, x.Score) })
	return hits, err
}

func reason(err error, within time.Duration) string {
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Sprintf("no answer within %s", within)
	}
	if e := new(errs.Error); errors.As(err, &e) {
		return e.Public()
	}
	return err.Error()
}
