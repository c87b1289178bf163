package index

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"time"

	"github.com/commandcenter/commandcenter/pkg/app"
	"github.com/commandcenter/commandcenter/pkg/tenant"
)

// Saver writes images of a library's indexes when they have not changed for a
// while and when it stops, and reads those last used when it starts. An index
// that does not come to rest is written at last after ten times that while.
//
// An image is only ever a beginning: an index that was read from one is brought
// up to date from the Source, as any other.
type Saver struct {
	l     *Library
	quiet time.Duration

	app.Loop
}

// NewSaver has l keep its images in f, and returns the part that writes them.
// Indexes of less than least passages have none: they are built as fast.
func NewSaver(l *Library, f *Files, log *slog.Logger, quiet time.Duration, least int) *Saver {
	l.files, l.log, l.least = f, log, least
	return &Saver{l: l, quiet: quiet}
}

// patience is how many quiet whiles an image waits for an index at rest.
const patience = 10

// Name is "knowledge.indexes".
func (s *Saver) Name() string { return "knowledge.indexes" }

// Start reads images in the background.
func (s *Saver) Start(ctx context.Context) error {
	s.Go(ctx, s.run)
	return nil
}

// Stop writes what has changed, until ctx ends.
func (s *Saver) Stop(ctx context.Context) error {
	if err := s.Loop.Stop(ctx); err != nil {
		return err
	}
	for p, b := range s.l.books() {
		if s.l.unsaved(b, time.Now()) {
			_ = s.l.save(ctx, p, b, false) // is in the log
		}
	}
	return nil
}

func (s *Saver) run(ctx context.Context) {
	s.l.warm(ctx)
	tick := time.NewTicker(max(s.quiet/4, time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			s.round(ctx, time.Now())
		}
	}
}

// round writes what is due.
func (s *Saver) round(ctx context.Context, now time.Time) {
	for p, b := range s.l.books() {
		if ctx.Err() != nil {
			return
		}
		if !s.l.unsaved(b, now) {
			continue
		}
		building, changed, first, retry := s.l.times(b)
		late := now.Sub(first) >= patience*s.quiet
		if now.Before(retry) || !late && (building || now.Sub(changed) < s.quiet) {
			continue
		}
		if err := s.l.save(ctx, p, b, !late); err != nil {
			s.l.delay(b, now.Add(patience*s.quiet))
		}
	}
}

// mark is what an image holds of an index; another one is worth writing when it
// differs.
type mark struct {
	state  State
	linked int
}

func (x *Index) mark() mark {
	linked, _ := x.vec.Progress()
	s := x.State()
	s.Settings = Settings{} // are read anew
	return mark{s, linked}
}

// books are those on the shelf.
func (l *Library) books() map[tenant.Project]*book {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := make(map[tenant.Project]*book, len(l.shelf))
	for p, b := range l.shelf {
		all[p] = b
	}
	return all
}

// times are when a book has changed, at last and first after its image, and
// whether its graph still grows.
func (l *Library) times(b *book) (building bool, changed, first, retry time.Time) {
	_, building = l.current(b).vec.Progress()
	l.mu.Lock()
	defer l.mu.Unlock()
	return building, b.changed, b.first, b.retry
}

func (l *Library) delay(b *book, until time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	b.retry = until
}

// unsaved reports whether the index of a book is not what its image is, and
// notes since when.
func (l *Library) unsaved(b *book, now time.Time) bool {
	x := l.current(b)
	m := x.mark()
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case m == x.saved:
		b.first = time.Time{}
	case b.first.IsZero():
		b.first = now
	}
	return m != x.saved
}

// errWanted ends the writing of an image whose index has to change.
var errWanted = errors.New("somebody waits for a change of the index")

// errGone says that the project was dropped while its image was written.
var errGone = errors.New("the project was dropped")

// save writes the image of a book, or removes it if the index is small. If it
// yields, it gives up, without an error, for who waits to change the index.
func (l *Library) save(ctx context.Context, p tenant.Project, b *book, yields bool) error {
	select {
	case b.load <- struct{}{}:
		defer func() { <-b.load }()
	default:
		return nil // it is changing
	}
	x, began := l.current(b), time.Now()
	if b.torn {
		return nil
	}
	now := x.mark()
	if n, _ := x.Len(); n < l.least {
		_, err := l.files.remove(p)
		l.saved(b, x, now)
		return l.tell(ctx, p, err, "outcome", "removed")
	}
	bytes, err := l.files.write(p, x, func() error {
		if yields && b.waiting.Load() > 0 {
			return errWanted
		}
		return ctx.Err()
	}, func(put func() error) error {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.shelf[p] != b {
			return errGone
		}
		return put()
	})
	if errors.Is(err, errWanted) || errors.Is(err, errGone) {
		return nil
	}
	if err == nil {
		l.saved(b, x, now)
		l.log.InfoContext(ctx, "index.image", "project", p.Token(), "outcome", "written", "generation", now.state.Generation, "bytes", bytes, "ms", time.Since(began).Milliseconds())
	}
	return l.tell(ctx, p, err, "outcome", "not written")
}

// tell logs an error, if there is one, and returns it.
func (l *Library) tell(ctx context.Context, p tenant.Project, err error, args ...any) error {
	if err != nil && ctx.Err() == nil {
		l.log.WarnContext(ctx, "index.image", append(args, "project", p.Token(), "err", err)...)
	}
	return err
}

func (l *Library) saved(b *book, x *Index, m mark) {
	l.mu.Lock()
	defer l.mu.Unlock()
	x.saved, b.first = m, time.Time{}
}

// begin is the index of the project's image, or an empty one. The caller brings
// it up to date.
func (l *Library) begin(ctx context.Context, p tenant.Project) (*Index, error) {
	c, err := l.config(ctx, p)
	if err != nil || l.files == nil {
		return New(c, l.a), err
	}
	began := time.Now()
	x, err := l.files.read(p, c, l.a)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			_ = l.tell(ctx, p, err, "outcome", "ignored", "advice", "the index is built anew")
		}
		return New(c, l.a), nil
	}
	x.saved = x.mark()
	n, _ := x.Len()
	l.log.InfoContext(ctx, "index.image", "project", p.Token(), "outcome", "read", "generation", x.Generation(), "passages", n, "ms", time.Since(began).Milliseconds())
	return x, nil
}

// warm reads the images last used, as many as there is memory for.
func (l *Library) warm(ctx context.Context) {
	all, err := l.files.List()
	if err != nil {
		l.log.WarnContext(ctx, "index.image", "outcome", "ignored", "err", err)
		return
	}
	left := int64(l.limit)
	for _, f := range all {
		if left -= f.Bytes; left < 0 || ctx.Err() != nil {
			return
		}
		if _, err := l.At(ctx, f.Project, 1); err != nil {
			_ = l.tell(ctx, f.Project, err, "outcome", "ignored", "advice", "the next search tries again")
		}
	}
}

// Fade removes the images that were not used since a time: what they hold of
// documents that are gone goes with them.
func (l *Library) Fade(before time.Time) error {
	if l.files == nil {
		return nil
	}
	all, err := l.files.List()
	for _, f := range all {
		if f.Used.Before(before) && !l.Held(f.Project) {
			_, gone := l.files.remove(f.Project)
			err = errors.Join(err, gone)
		}
	}
	return err
}

// Known are the projects of which there is an index or an image.
func (l *Library) Known() ([]tenant.Project, error) {
	var known []tenant.Project
	for p := range l.books() {
		known = append(known, p)
	}
	if l.files == nil {
		return known, nil
	}
	all, err := l.files.List()
	for _, f := range all {
		if !l.Held(f.Project) {
			known = append(known, f.Project)
		}
	}
	return known, err
}
