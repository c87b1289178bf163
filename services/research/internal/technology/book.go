package technology

import (
	"context"
	"maps"
	"reflect"
	"time"

	"github.com/commandcenter/commandcenter/pkg/tenant"
)

// Filter chooses among the technologies of a project. What is empty chooses all.
type Filter struct {
	Domain Domain
	Status Status
	Ring   Ring
	Search string // in title, description and tags, whatever its case
	Skip   int
	Limit  int
}

// Keeper keeps the technologies of projects. It says what changed, in the same
// transaction.
type Keeper interface {
	// Insert gives x an id, and refuses with [ErrExists] and [ErrMany]. What x
	// names has to be there.
	Insert(ctx context.Context, p tenant.Project, x Technology) (Technology, error)
	// Update hands a technology to change while nobody else may change it, and keeps
	// what comes back, unless it is the same. by is who did it.
	Update(ctx context.Context, p tenant.Project, id int64, by string, now time.Time, change func(Technology) (Draft, error)) (Technology, error)
	// Delete removes one, or returns [ErrNotFound].
	Delete(ctx context.Context, p tenant.Project, id int64) error
	// Get returns one, or [ErrNotFound].
	Get(ctx context.Context, p tenant.Project, id int64) (Technology, error)
	// List returns a page in the order of priority, relevance, last change and id, the
	// highest first, and how many there are in all.
	List(ctx context.Context, p tenant.Project, f Filter) (page []Technology, total int, err error)
	// Moves are those of a technology, the latest first.
	Moves(ctx context.Context, p tenant.Project, id int64) ([]Move, error)
	// Standing is every technology, by id, with no more than where it stands; and the ring
	// on which each stood at a time, where it was there.
	Standing(ctx context.Context, p tenant.Project, at time.Time) (now []Technology, then map[int64]Ring, err error)
	// Descriptions are the beginnings of what is said of technologies, by id.
	Descriptions(ctx context.Context, p tenant.Project) (map[int64]string, error)
}

// Book holds the technologies of every project.
type Book struct {
	Keeper
	Now func() time.Time
}

// Add keeps a new technology.
func (b Book) Add(ctx context.Context, p tenant.Project, d Draft, by string) (Technology, error) {
	if err := d.Normalise(); err != nil {
		return Technology{}, err
	}
	now := b.Now()
	return b.Insert(ctx, p, Technology{Draft: d, Version: 1, CreatedBy: by, CreatedAt: now, UpdatedAt: now})
}

// Change has edit change what is said of a technology. version is the one that the
// caller has read, 0 for whichever there is; another one is [ErrMoved].
func (b Book) Change(ctx context.Context, p tenant.Project, id, version int64, by string, edit func(*Draft) error) (Technology, error) {
	return b.Update(ctx, p, id, by, b.Now(), func(x Technology) (Draft, error) {
		if version > 0 && version != x.Version {
			return x.Draft, ErrMoved
		}
		d := x.clone()
		if err := edit(&d); err != nil {
			return x.Draft, err
		}
		return d, d.Normalise()
	})
}

// clone is d with values of its own: whoever edits it leaves d as it was.
func (d Draft) clone() Draft {
	v := reflect.ValueOf(&d).Elem()
	for i := range v.NumField() {
		if f := v.Field(i); f.Kind() == reflect.Pointer && !f.IsNil() {
			own := reflect.New(f.Type().Elem())
			own.Elem().Set(f.Elem())
			f.Set(own)
		}
	}
	d.Dependencies = maps.Clone(d.Dependencies)
	return d
}

// Same reports whether two drafts say the same.
func (d Draft) Same(e Draft) bool {
	for _, t := range []**time.Time{&d.LastHNMention, &d.GitHubLastCommit, &e.LastHNMention, &e.GitHubLastCommit} {
		if *t != nil {
			u := (*t).UTC().Truncate(time.Microsecond) // as the database has it
			*t = &u
		}
	}
	return reflect.DeepEqual(d, e)
}
