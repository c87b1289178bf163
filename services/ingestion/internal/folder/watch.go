package folder

import (
	"context"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/commandcenter/commandcenter/pkg/app"
	"github.com/commandcenter/commandcenter/pkg/tenant"
)

// Place is a source that is a folder.
type Place struct {
	Project tenant.Project `db:"project_id"`
	Source  int64          `db:"id"`
	Path    string         `db:"path"`
}

// The watch's patience.
const (
	quiet     = 300 * time.Millisecond // without a change, until a folder is read
	longest   = 1500 * time.Millisecond
	mostWatch = 20_000 // folders; what is beyond is looked through now and then
)

// Watcher tells when something changes in folders. Where it does not hear, a folder
// is looked through now and then.
type Watcher struct {
	Reader  Reader
	Places  func(ctx context.Context) ([]Place, error)
	Changed func(ctx context.Context, p Place) error
	Look    time.Duration // how often it asks which folders there are
	Log     *slog.Logger

	app.Loop
}

// Name is "ingestion.folders".
func (*Watcher) Name() string { return "ingestion.folders" }

// Start begins to listen, if there are folders to listen to.
func (w *Watcher) Start(ctx context.Context) error {
	if len(w.Reader.Roots) == 0 {
		return nil
	}
	n, err := fsnotify.NewWatcher()
	if err != nil {
		w.Log.WarnContext(ctx, "folders are not listened to, and looked through now and then", "err", err)
		return nil
	}
	w.Go(ctx, func(ctx context.Context) { w.run(ctx, n) })
	return nil
}

// ear is what a watcher knows.
type ear struct {
	*Watcher
	n       *fsnotify.Watcher
	places  []Place
	watched map[string]bool
	since   map[Place]time.Time // the first change that was not told
	last    map[Place]time.Time
	full    bool
}

func (w *Watcher) run(ctx context.Context, n *fsnotify.Watcher) {
	defer n.Close() //nolint:errcheck // it ends
	e := &ear{Watcher: w, n: n, watched: map[string]bool{}, since: map[Place]time.Time{}, last: map[Place]time.Time{}}
	look, beat := time.NewTicker(w.Look), time.NewTicker(100*time.Millisecond)
	defer look.Stop()
	defer beat.Stop()
	e.look(ctx)
	for {
		select {
		case <-ctx.Done():
			return
		case <-look.C:
			e.look(ctx)
		case now := <-beat.C:
			e.tell(ctx, now)
		case ev, ok := <-n.Events:
			if ok {
				e.heard(ev, time.Now())
			}
		case err, ok := <-n.Errors:
			if ok { // some was lost: all are read
				w.Log.WarnContext(ctx, "changes of folders were lost", "err", err)
				for _, p := range e.places {
					e.note(p, time.Now())
				}
			}
		}
	}
}

// look asks which folders there are, and listens to new ones.
func (e *ear) look(ctx context.Context) {
	all, err := e.Places(ctx)
	if err != nil {
		return // it asks again
	}
	for _, p := range all {
		if !slices.Contains(e.places, p) {
			if _, _, err := e.Reader.Root(p.Path); err == nil {
				e.listen(filepath.Clean(p.Path))
			}
		}
	}
	e.places = all
	for dir := range e.watched {
		if !slices.ContainsFunc(all, func(p Place) bool { return below(dir, p.Path) }) {
			_ = e.n.Remove(dir) // it may be gone
			delete(e.watched, dir)
		}
	}
}

func below(name, dir string) bool {
	dir = filepath.Clean(dir)
	return name == dir || strings.HasPrefix(name, dir+string(filepath.Separator))
}

// listen listens to a folder and those in it.
func (e *ear) listen(dir string) {
	_ = filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error { // what cannot be walked is looked through
		if err != nil || !d.IsDir() {
			return nil //nolint:nilerr // the rest is listened to
		}
		if name != dir && slices.Contains(never, d.Name()) {
			return fs.SkipDir
		}
		if e.watched[name] {
			return nil
		}
		if len(e.watched) >= mostWatch || e.n.Add(name) != nil {
			if !e.full {
				e.full = true
				e.Log.Warn("there are more folders than are listened to: the rest is looked through now and then", "folder", name) //nolint:forbidigo // no context
			}
			return fs.SkipAll
		}
		e.watched[name] = true
		return nil
	})
}

func (e *ear) heard(ev fsnotify.Event, now time.Time) {
	if ev.Op == fsnotify.Chmod {
		return
	}
	if ev.Has(fsnotify.Create) {
		if info, err := os.Lstat(ev.Name); err == nil && info.IsDir() {
			e.listen(ev.Name)
		}
	}
	if ev.Has(fsnotify.Remove) || ev.Has(fsnotify.Rename) {
		delete(e.watched, ev.Name)
	}
	for _, p := range e.places {
		if below(ev.Name, p.Path) {
			e.note(p, now)
		}
	}
}

func (e *ear) note(p Place, now time.Time) {
	if e.since[p].IsZero() {
		e.since[p] = now
	}
	e.last[p] = now
}

// tell says which folders have changed and are quiet now, or are restless for long.
func (e *ear) tell(ctx context.Context, now time.Time) {
	for p, since := range e.since {
		if now.Sub(e.last[p]) < quiet && now.Sub(since) < longest {
			continue
		}
		if err := e.Changed(ctx, p); err != nil && ctx.Err() == nil {
			e.Log.WarnContext(ctx, "a change of a folder is told later", "source", p.Source, "err", err)
			e.last[p] = now
			continue
		}
		delete(e.since, p)
		delete(e.last, p)
	}
}
