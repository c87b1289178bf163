package index

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/commandcenter/commandcenter/pkg/tenant"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/index/terms"
)

// State is what an index has seen: all changes up to a generation, with vectors of
// one model; "" is that of an index without any.
type State struct {
	Generation int64
	Model      string
	Line       string   // of the database whose generations these are; another one counts its own
	Settings   Settings // of the project
	Backend    Backend
}

// Backend says where the vectors of a project are searched; "" is Memory.
type Backend string

// The back ends. What they find is the same but for what their graphs miss.
const (
	Memory       Backend = "memory"
	PGVector     Backend = "pgvector"
	PGVectorHalf Backend = "pgvector-half" // its graph has numbers of half the size
)

// Elsewhere reports whether the index has no vectors of its own.
func (b Backend) Elsewhere() bool { return b == PGVector || b == PGVectorHalf }

// Source is where an index comes from.
type Source interface {
	// Changes calls put for every passage of every document that changed
	// after since, the passages of one document one after another,
	// and gone for every document that lost all its passages or was deleted. It
	// returns the state up to which that is everything. ErrTooOld says
	// that since lies before what is remembered, is of another database or ahead of
	// it, or that other vectors are searched by now: start from nothing.
	Changes(ctx context.Context, p tenant.Project, since State, put func(Passage) error, gone func(document int64)) (State, error)
	// Settings are those of a project now.
	Settings(ctx context.Context, p tenant.Project) (Settings, error)
}

// ErrTooOld says that the changes since a state are not known any more.
var ErrTooOld = errors.New("the index is older than what is remembered of changes")

// Library keeps the indexes of the projects that are in use.
type Library struct {
	c     Config
	src   Source
	a     *terms.Analyzer
	limit int
	mu    sync.Mutex
	shelf map[tenant.Project]*book
	clock int64 // counts uses

	files *Files // of images; nil: there are none
	log   *slog.Logger
	least int // passages of an index with an image

	// Renewed is told how it went to make the index of a project anew, which other
	// languages ask for; nil tells nobody. It is set before the first use.
	Renewed func(p tenant.Project, took time.Duration, err error)
	renewal renewal
}

type book struct {
	index   *Index
	used    int64
	load    chan struct{} // holds one token: whoever has it brings the index up to date
	waiting atomic.Int32  // who wants the token
	torn    bool          // a change ended half way; belongs to the token
	bytes   int

	changed, first time.Time // at last, and first after the image was written
	retry          time.Time // not before that
	renew          renewing
}

// NewLibrary returns a library whose indexes together stay near limit bytes; a
// single index may be larger.
func NewLibrary(src Source, c Config, limit int) *Library {
	return &Library{
		c: c.withDefaults(), src: src, a: &terms.Analyzer{}, limit: limit, shelf: map[tenant.Project]*book{}, log: slog.New(slog.DiscardHandler),
		renewal: newRenewal(),
	}
}

func (l *Library) current(b *book) *Index {
	l.mu.Lock()
	defer l.mu.Unlock()
	return b.index
}

func (l *Library) book(p tenant.Project) (*book, *Index) {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.shelf[p]
	if b == nil {
		b = &book{index: New(l.c, l.a), load: make(chan struct{}, 1)}
		l.shelf[p] = b
	}
	l.clock++
	b.used = l.clock
	return b, b.index
}

// Held reports whether the project's index is in memory; asking does not count
// as use.
func (l *Library) Held(p tenant.Project) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.shelf[p] != nil
}

// At returns the project's index with every change up to generation at least
// want. Callers that need the same changes wait for one load.
func (l *Library) At(ctx context.Context, p tenant.Project, want int64) (*Index, error) {
	b, x := l.book(p)
	if x.Generation() >= want {
		l.review(ctx, p, b, x)
		return x, nil
	}
	b.waiting.Add(1)
	select {
	case b.load <- struct{}{}:
		b.waiting.Add(-1)
		defer func() { <-b.load }()
	case <-ctx.Done():
		b.waiting.Add(-1)
		return nil, context.Cause(ctx)
	}
	if x = l.current(b); x.Generation() >= want {
		return x, nil
	}
	before := x
	if x.Generation() == 0 { // what an earlier try left may be of another model
		var err error
		if x, err = l.begin(ctx, p); err != nil {
			return nil, fmt.Errorf("index of project %d: %w", p, err)
		}
	}
	old := x.State()
	err := l.update(ctx, p, x)
	if errors.Is(err, ErrTooOld) {
		if x != before {
			x.Close()
			l.log.WarnContext(ctx, "index.image", "project", p.Token(), "outcome", "ignored", "generation", old.Generation, "model", old.Model, "err", err)
		}
		if x, err = l.build(ctx, p); err != nil {
			return nil, fmt.Errorf("index of project %d: %w", p, err)
		}
	}
	if err != nil {
		b.torn = b.torn || x == before
		if x != before {
			x.Close()
		}
		return nil, fmt.Errorf("index of project %d: %w", p, err)
	}
	b.torn = false
	if x != before {
		before.Close() // who holds it may still search in it
	}
	l.weigh(b, x)
	l.review(ctx, p, b, x)
	return x, nil
}

// config is how an index of the project is to be made now.
func (l *Library) config(ctx context.Context, p tenant.Project) (Config, error) {
	s, err := l.src.Settings(ctx, p)
	c := l.c
	c.Languages = s.Spoken()
	return c, err
}

// build makes an index from nothing.
func (l *Library) build(ctx context.Context, p tenant.Project) (*Index, error) {
	c, err := l.config(ctx, p)
	if err != nil {
		return nil, err
	}
	x := New(c, l.a)
	if err := l.update(ctx, p, x); err != nil {
		x.Close()
		return nil, err
	}
	return x, nil
}

// Refresh brings an index that is in memory up to date, and does nothing for
// others.
func (l *Library) Refresh(ctx context.Context, p tenant.Project, want int64) error {
	if !l.Held(p) {
		return nil
	}
	_, err := l.At(ctx, p, want)
	return err
}

const batch = 128

func (l *Library) update(ctx context.Context, p tenant.Project, x *Index) error {
	var pending []Passage
	var document int64
	var tongue string
	keep := map[int64]bool{}
	flush := func() error {
		if tongue == "" {
			tongue = x.speak(pending)
		}
		for i := range pending {
			pending[i].TextLanguage = tongue
		}
		err := x.Put(pending)
		clear(pending)
		pending = pending[:0]
		return err
	}
	finish := func() error {
		if err := flush(); err != nil {
			return err
		}
		if document != 0 {
			x.Keep(document, keep)
		}
		clear(keep)
		return nil
	}
	var deleted []int64
	state, err := l.src.Changes(ctx, p, x.State(), func(q Passage) error {
		if q.Document != document {
			if err := finish(); err != nil {
				return err
			}
			document, tongue = q.Document, ""
		}
		keep[q.ID] = true
		if pending = append(pending, q); len(pending) >= batch {
			return flush()
		}
		return nil
	}, func(d int64) { deleted = append(deleted, d) })
	if err != nil { // what was put stays; the next update goes over it again
		return err
	}
	if err := finish(); err != nil {
		return err
	}
	for _, d := range deleted {
		x.Keep(d, nil)
	}
	x.Reached(state)
	return nil
}

// weigh keeps the index of a book, notes its size, and drops the least recently used others
// until all fit.
func (l *Library) weigh(b *book, x *Index) {
	bytes := x.Bytes()
	l.mu.Lock()
	defer l.mu.Unlock()
	if b.index != x {
		b.index.Close()
	}
	b.index, b.bytes, b.changed = x, bytes, time.Now()
	for {
		total := 0
		var oldest tenant.Project
		for p, o := range l.shelf {
			total += o.bytes
			if o != b && o.bytes > 0 && (oldest == 0 || o.used < l.shelf[oldest].used) {
				oldest = p
			}
		}
		if total <= l.limit || oldest == 0 {
			return
		}
		l.drop(oldest)
	}
}

// Drop forgets a project and removes its image. It returns how many images it
// removed, and how many it finds afterwards.
func (l *Library) Drop(p tenant.Project) (removed, left int, err error) {
	l.mu.Lock()
	l.drop(p)
	if l.files != nil {
		removed, err = l.files.remove(p)
	}
	l.mu.Unlock()
	if removed > 0 {
		err = l.files.sync()
	}
	if l.files != nil && err == nil {
		left, err = l.files.count(p)
	}
	return removed, left, err
}

func (l *Library) drop(p tenant.Project) {
	if b := l.shelf[p]; b != nil {
		b.index.Close()
		delete(l.shelf, p)
	}
}

// Size is the number of indexes and their memory in bytes.
func (l *Library) Size() (indexes, bytes int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, b := range l.shelf {
		bytes += b.bytes
	}
	return len(l.shelf), bytes
}

// Deadline bounds a load that no caller waits for.
const Deadline = 2 * time.Minute
