package job

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/tenant"
)

// Bounds of a list.
const (
	MostSkipped = 10_000
	MostListed  = 1_000
	mostBytes   = 4 << 20 // of the parameters and results of a page
)

// codes is how many services there may be with jobs: an id is number*codes + code.
const codes = 32

// Owner is a service that has jobs. Its code is in the ids of its jobs, so it is
// never given to another one; 1 to 31.
type Owner struct {
	Code    int
	Service string
}

// public is the id by which the job of that number is known outside.
func (o Owner) public(number int64) int64 { return number*codes + int64(o.Code) }

// ErrNotFound says that the project has no such job.
var ErrNotFound = errs.New(errs.NotFound, "job not found")

// Key finds a job in the list of its owner.
type Key struct {
	Number int64
	Made   time.Time
}

// Filter chooses jobs; the zero value chooses all.
type Filter struct {
	States []string
	Type   string
}

// Counts are those of one owner: jobs by state, and the seconds that the done ones took.
type Counts struct {
	States  map[string]int
	Seconds float64
}

// Asker asks an owner about the jobs that it has for a project.
type Asker interface {
	// Keys are those of the latest jobs, at most most, and how many there are.
	Keys(ctx context.Context, service string, p tenant.Project, f Filter, most int) ([]Key, int, error)
	// Rows are the jobs of the numbers; those that are gone are left out.
	Rows(ctx context.Context, service string, p tenant.Project, numbers []int64) ([]Row, error)
	// Change does to a job what a word of [Change] says.
	Change(ctx context.Context, service string, p tenant.Project, number int64, what Change) (Row, error)
	Types(ctx context.Context, service string) ([]Type, error)
	// Make makes a job, once for its id.
	Make(ctx context.Context, service string, p tenant.Project, o Order) (Row, error)
	Notes(ctx context.Context, service string, p tenant.Project, number int64) (Notes, error)
	Count(ctx context.Context, service string, p tenant.Project) (Counts, error)
}

// What may be done to a job.
const (
	Cancel   = "cancel"
	Dispatch = "dispatch"
	Retry    = "retry"
	Relabel  = "relabel"
	Delete   = "delete"
)

// Change is what somebody wants done to a job.
type Change struct {
	What  string // one of the words above
	By    string
	Delay time.Duration   // of Dispatch: whole seconds
	From  string          // of Retry: the step to begin at; "" for the first that was not saved
	Input json.RawMessage // of Retry: other parameters; none for those that it has
	Tags  json.RawMessage // of Relabel; none for those that it has
	// Priority of Relabel; nil for that which it has.
	Priority *int
}

// Book is the jobs of all services.
type Book struct {
	Owners []Owner
	Ask    Asker
	Now    func() time.Time
	Known  *Catalogue
}

// owner finds whose job the id is, and its number there.
func (b Book) owner(id int64) (Owner, int64, error) {
	for _, o := range b.Owners {
		if id > 0 && int64(o.Code) == id%codes {
			return o, id / codes, nil
		}
	}
	return Owner{}, 0, ErrNotFound
}

// each asks all owners side by side. If one does not answer there is no answer: a
// list in which some are missing would be taken for the whole.
func each[T any](b Book, ask func(o Owner) (T, error)) ([]T, error) {
	out, failures := make([]T, len(b.Owners)), make([]error, len(b.Owners))
	var wg sync.WaitGroup
	for i, o := range b.Owners {
		wg.Go(func() { out[i], failures[i] = ask(o) })
	}
	wg.Wait()
	for i, err := range failures {
		if err != nil {
			return nil, fmt.Errorf("the jobs of %s: %w", b.Owners[i].Service, err)
		}
	}
	return out, nil
}

// List returns the jobs behind the first skip, at most limit, the latest first, and
// how many there are of all owners together.
func (b Book) List(ctx context.Context, p tenant.Project, f Filter, skip, limit int) ([]Job, int, error) {
	if skip < 0 || skip > MostSkipped {
		return nil, 0, errs.InvalidField("less_than_equal", fmt.Sprintf("skip is 0 to %d", MostSkipped), "query", "skip")
	}
	if limit < 1 || limit > MostListed {
		return nil, 0, errs.InvalidField("less_than_equal", fmt.Sprintf("limit is 1 to %d", MostListed), "query", "limit")
	}
	type page struct {
		keys  []Key
		total int
	}
	pages, err := each(b, func(o Owner) (page, error) {
		keys, total, err := b.Ask.Keys(ctx, o.Service, p, f, skip+limit)
		return page{keys, total}, err
	})
	if err != nil {
		return nil, 0, err
	}
	var merged []entry
	total := 0
	for i, pg := range pages {
		total += pg.total
		for _, k := range pg.keys {
			merged = append(merged, entry{i, k})
		}
	}
	slices.SortFunc(merged, later)
	merged = merged[min(skip, len(merged)):]
	merged = merged[:min(limit, len(merged))]
	jobs, err := b.rows(ctx, p, merged)
	return jobs, total, err
}

// entry is a place in the common list.
type entry struct {
	owner int
	Key
}

func later(x, y entry) int {
	return cmp.Or(y.Made.Compare(x.Made), cmp.Compare(x.owner, y.owner), cmp.Compare(y.Number, x.Number))
}

// rows reads the jobs of a page, in its order. One that has gone since is left out.
func (b Book) rows(ctx context.Context, p tenant.Project, page []entry) ([]Job, error) {
	numbers := make([][]int64, len(b.Owners))
	for _, e := range page {
		numbers[e.owner] = append(numbers[e.owner], e.Number)
	}
	found := map[int64]Job{}
	answers, err := each(b, func(o Owner) ([]Row, error) {
		ask := numbers[slices.Index(b.Owners, o)]
		if len(ask) == 0 {
			return nil, nil
		}
		return b.Ask.Rows(ctx, o.Service, p, ask)
	})
	if err != nil {
		return nil, err
	}
	size, now := 0, b.Now()
	for i, rows := range answers {
		for _, r := range rows {
			size += len(r.Payload) + len(r.Result) + len(r.Tags)
			j := shown(b.Owners[i], int64(p), r, now)
			found[j.ID] = j
		}
	}
	if size > mostBytes {
		return nil, errs.InvalidField("too_long", "the parameters and results of so many jobs are above 4 MiB: ask for fewer", "query", "limit")
	}
	jobs := make([]Job, 0, len(page))
	for _, e := range page {
		if j, ok := found[b.Owners[e.owner].public(e.Number)]; ok {
			jobs = append(jobs, j)
		}
	}
	return jobs, nil
}

// Get returns the project's job of the id, [ErrNotFound] where there is none.
func (b Book) Get(ctx context.Context, p tenant.Project, id int64) (Job, error) {
	o, number, err := b.owner(id)
	if err != nil {
		return Job{}, err
	}
	rows, err := b.Ask.Rows(ctx, o.Service, p, []int64{number})
	if err != nil {
		return Job{}, fmt.Errorf("job %d: %w", id, err)
	}
	if len(rows) == 0 {
		return Job{}, ErrNotFound
	}
	return shown(o, int64(p), rows[0], b.Now()), nil
}

// Change does to the project's job what is said, and returns it as it is then; a
// deleted one as it was.
func (b Book) Change(ctx context.Context, p tenant.Project, id int64, what Change) (Job, error) {
	o, number, err := b.owner(id)
	if err != nil {
		return Job{}, err
	}
	r, err := b.Ask.Change(ctx, o.Service, p, number, what)
	if err != nil {
		return Job{}, err
	}
	return shown(o, int64(p), r, b.Now()), nil
}

// Statistics say how a project's jobs fare, of those that are kept.
type Statistics struct {
	Total       int            `json:"total"`
	ByStatus    map[Status]int `json:"by_status"`
	SuccessRate *float64       `json:"success_rate"`             // percent of those that completed or failed; nil while none did
	Average     *float64       `json:"average_duration_seconds"` // of those that completed; nil while none did
	Active      int            `json:"active_jobs"`
}

// Statistics counts the jobs of all owners.
func (b Book) Statistics(ctx context.Context, p tenant.Project) (Statistics, error) {
	all, err := each(b, func(o Owner) (Counts, error) { return b.Ask.Count(ctx, o.Service, p) })
	if err != nil {
		return Statistics{}, err
	}
	out := Statistics{ByStatus: map[Status]int{}}
	for _, s := range Statuses() {
		out.ByStatus[s] = 0
	}
	seconds := 0.0
	for _, c := range all {
		seconds += c.Seconds
		for state, n := range c.States {
			out.ByStatus[StatusOf(state)] += n
			out.Total += n
		}
	}
	done, failed := out.ByStatus[Completed], out.ByStatus[Failed]
	out.Active = out.ByStatus[Pending] + out.ByStatus[Running]
	if done+failed > 0 {
		rate := 100 * float64(done) / float64(done+failed)
		out.SuccessRate = &rate
	}
	if done > 0 {
		average := seconds / float64(done)
		out.Average = &average
	}
	return out, nil
}
