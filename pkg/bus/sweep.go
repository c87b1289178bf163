package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/tenant"
)

// Bounds of a sweep of the object store.
const (
	sweepBatch = 256     // objects that are looked up together
	sweepParts = 200_000 // subjects of the bucket from which on chunks alone are not looked for
)

// SweepObjects removes from the object store what was put before the time, and
// nobody refers to: objects, and chunks of puts that broke off together with
// their process. It returns how many it removed.
//
// mine says for which owners the service looks after objects; each has to be looked
// after by one service, which is the one whose commands bring them. referred returns
// which of the names, all of one project, that service refers to. A command of it
// that has not run refers to its object as well: while commands wait, objects
// stay, and of a project with dead commands they stay until those are redriven
// or discarded. before must be longer ago than the longest upload takes.
func (b *Bus) SweepObjects(ctx context.Context, before time.Time, mine func(owner string) bool, referred func(ctx context.Context, p tenant.Project, names []string) ([]string, error)) (removed int, err error) {
	s, err := b.blobs.get(ctx)
	if err != nil {
		return 0, errNoStore.Because(err)
	}
	x := &sweep{b: b, s: s, before: before, mine: mine, referred: referred}
	if err := x.parts(ctx); err != nil {
		return 0, err
	}
	if err := x.objects(ctx); err != nil {
		return x.removed, err
	}
	return x.removed, x.remains(ctx)
}

// sweep is one walk through the bucket.
type sweep struct {
	b        *Bus
	s        jetstream.Stream
	before   time.Time
	mine     func(owner string) bool
	referred func(ctx context.Context, p tenant.Project, names []string) ([]string, error)
	chunks   map[string]uint64 // by subject; in the end those without an object
	removed  int
}

// parts notes where there are chunks, before anything is looked at: what comes
// later is too young.
func (x *sweep) parts(ctx context.Context) error {
	info, err := x.s.Info(ctx)
	if err == nil && info.State.NumSubjects > sweepParts {
		x.b.log.WarnContext(ctx, "bus.sweep", "subjects", info.State.NumSubjects, "most", sweepParts, "outcome", "chunks without object stay")
		return nil
	}
	if err == nil {
		info, err = x.s.Info(ctx, jetstream.WithSubjectFilter(chunksOf+">"))
	}
	if err != nil {
		return fmt.Errorf("sweep objects: %w", err)
	}
	x.chunks = info.State.Subjects
	return nil
}

// objects walks over all descriptions, oldest first.
func (x *sweep) objects(ctx context.Context) error {
	var batch []jetstream.ObjectInfo
	for seq := uint64(1); ; {
		m, err := x.s.GetMsg(ctx, seq, jetstream.WithGetMsgSubject(describedBy+">"))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return x.batch(ctx, batch)
		}
		if err != nil {
			return fmt.Errorf("sweep objects: %w", err)
		}
		seq = m.Sequence + 1
		var o jetstream.ObjectInfo
		if err := json.Unmarshal(m.Data, &o); err != nil {
			x.b.log.WarnContext(ctx, "bus.sweep", "description", m.Sequence, "err", err)
			continue
		}
		delete(x.chunks, chunksOf+o.NUID)
		if !m.Time.Before(x.before) || !x.mine(o.Metadata[metaOwner]) {
			continue
		}
		if batch = append(batch, o); len(batch) == sweepBatch {
			if err := x.batch(ctx, batch); err != nil {
				return err
			}
			batch = batch[:0]
		}
	}
}

// batch removes those of the objects that nobody refers to.
func (x *sweep) batch(ctx context.Context, batch []jetstream.ObjectInfo) error {
	names := map[tenant.Project][]string{}
	for _, o := range batch {
		token, _, ok := strings.Cut(o.Name, "/")
		if p, err := tenant.ParseToken(token); ok && err == nil {
			names[p] = append(names[p], o.Name)
		}
	}
	if len(names) == 0 {
		return nil
	}
	waiting, dead, err := x.b.unsettled(ctx)
	if err != nil || waiting {
		return err
	}
	for p, all := range names {
		if dead[p] {
			continue
		}
		kept, err := x.referred(ctx, p, all)
		if err != nil {
			return fmt.Errorf("sweep objects: who refers to them: %w", err)
		}
		for _, o := range batch {
			if !slices.Contains(all, o.Name) || slices.Contains(kept, o.Name) {
				continue
			}
			if err := x.b.erase(ctx, o.Name, o.NUID); err != nil {
				return fmt.Errorf("sweep object %s: %w", o.Name, err)
			}
			x.removed++
		}
	}
	return nil
}

// remains removes chunks that are old and belong to no object.
func (x *sweep) remains(ctx context.Context) error {
	for subject := range x.chunks {
		last, err := x.s.GetLastMsgForSubject(ctx, subject)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			continue
		}
		if err == nil && last.Time.Before(x.before) {
			err = x.s.Purge(ctx, jetstream.WithPurgeSubject(subject))
			x.removed++
		}
		if err != nil {
			return fmt.Errorf("sweep chunks: %w", err)
		}
	}
	return nil
}

// unsettled reports whether commands of this service wait or run, and in which
// projects there are dead ones. It looks at the stream twice, because a command
// may come back from the dead between the looks.
func (b *Bus) unsettled(ctx context.Context) (waiting bool, dead map[tenant.Project]bool, err error) {
	ctx, cancel := b.bounded(ctx)
	defer cancel()
	if waiting, err = b.commandsWait(ctx); err != nil || waiting {
		return waiting, nil, err
	}
	s, err := b.js.Stream(ctx, StreamDead)
	if err != nil {
		return false, nil, errs.Newf(errs.Unavailable, "dead letters: %w", err)
	}
	info, err := s.Info(ctx, jetstream.WithSubjectFilter(deadSubject(b.service, "cmd.>")))
	if err != nil {
		return false, nil, errs.Newf(errs.Unavailable, "dead letters: %w", err)
	}
	dead = map[tenant.Project]bool{}
	for subject := range info.State.Subjects {
		if a, err := parseSubject(strings.TrimPrefix(subject, deadSubject(b.service, ""))); err == nil {
			dead[a.project] = true
		}
	}
	waiting, err = b.commandsWait(ctx)
	return waiting, dead, err
}

// commandsWait looks at the stream, which keeps a command until its end: the
// figures of its consumer are behind those of the stream, and would not show one
// that was stored just now.
func (b *Bus) commandsWait(ctx context.Context) (bool, error) {
	s, err := b.js.Stream(ctx, StreamCommands)
	if err != nil {
		return false, errs.Newf(errs.Unavailable, "commands: %w", err)
	}
	info, err := s.Info(ctx, jetstream.WithSubjectFilter(commandFilter(b.service)))
	if err != nil {
		return false, errs.Newf(errs.Unavailable, "commands: %w", err)
	}
	return len(info.State.Subjects) > 0, nil
}
