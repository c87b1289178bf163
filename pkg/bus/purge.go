package bus

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/purge"
	"github.com/commandcenter/commandcenter/pkg/tenant"
)

// PurgeOptions say what a purge waits for and what it leaves.
type PurgeOptions struct {
	// Keep says why messages on a subject stay; "" when they go.
	Keep func(subject string) string
	// After are consumers of EVENTS, of this service: what they have not handled
	// is not taken from them.
	After []string
}

// Depths at which the subject of a message names its project: evt.<project>.…,
// $KV.<bucket>.<project>.…, dead.<service>.evt.<project>.…, and one more.
const purgeDepth = 4

// PurgeProject removes from every stream of the account, those of buckets and
// those that are added later among them, what its subject or its object's name
// says is of p, and looks again. It fails with [purge.ErrLeft] when something is
// there then, and is Unavailable while somebody of After has not handled
// everything. It may be repeated.
func (b *Bus) PurgeProject(ctx context.Context, p tenant.Project, o PurgeOptions) ([]purge.Part, error) {
	if p == tenant.Instance {
		return nil, errs.New(errs.Internal, "the instance is not purged")
	}
	names := b.js.StreamNames(ctx)
	var all []string
	for name := range names.Name() {
		all = append(all, name)
	}
	if err := names.Err(); err != nil {
		return nil, errs.Newf(errs.Unavailable, "list the streams: %w", err)
	}
	slices.Sort(all)
	if err := b.handled(ctx, o.After); err != nil {
		return nil, err
	}
	parts := make([]purge.Part, 0, len(all))
	var left []error
	for _, name := range all {
		part, err := b.purgeStream(ctx, name, p, o)
		if errors.Is(err, jetstream.ErrStreamNotFound) { // a team's, that went meanwhile
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("purge stream %s of project %d: %w", name, p, err)
		}
		if part.Left > 0 {
			left = append(left, fmt.Errorf("%w: %d messages of project %d in stream %s", purge.ErrLeft, part.Left, p, name))
		}
		parts = append(parts, part)
	}
	return parts, errors.Join(left...)
}

// handled is nil when the consumers have handled all that EVENTS had by now.
func (b *Bus) handled(ctx context.Context, consumers []string) error {
	s, err := b.js.Stream(ctx, StreamEvents)
	if err != nil {
		return errs.Newf(errs.Unavailable, "look at the events: %w", err)
	}
	last := s.CachedInfo().State.LastSeq
	for _, durable := range consumers {
		c, err := b.js.Consumer(ctx, StreamEvents, durable)
		if err != nil {
			return errs.Newf(errs.Unavailable, "look at consumer %s: %w", durable, err)
		}
		if i := c.CachedInfo(); (i.NumPending > 0 || i.NumAckPending > 0) && i.AckFloor.Stream < last {
			return errs.Newf(errs.Unavailable, "consumer %s has facts to handle", durable).After(100 * time.Millisecond)
		}
	}
	return nil
}

func (b *Bus) purgeStream(ctx context.Context, name string, p tenant.Project, o PurgeOptions) (purge.Part, error) {
	part := purge.Part{Name: name}
	s, err := b.js.Stream(ctx, name)
	if err != nil {
		return part, err
	}
	found, err := subjectsOf(ctx, s, p)
	if err != nil {
		return part, err
	}
	for subject, n := range found {
		if o.Keep != nil && o.Keep(subject) != "" {
			continue
		}
		if err := s.Purge(ctx, jetstream.WithPurgeSubject(subject)); err != nil {
			return part, err
		}
		part.Removed += int64(n) //nolint:gosec // G115: messages of a stream
	}
	if found, err = subjectsOf(ctx, s, p); err != nil {
		return part, err
	}
	for subject, n := range found {
		if o.Keep != nil && o.Keep(subject) != "" {
			part.Kept, part.Why = part.Kept+int64(n), o.Keep(subject) //nolint:gosec // G115: likewise
			continue
		}
		part.Left += int64(n) //nolint:gosec // G115: likewise
	}
	return part, nil
}

// subjectsOf returns the subjects of a stream that are of p, with the number of
// messages on each.
func subjectsOf(ctx context.Context, s jetstream.Stream, p tenant.Project) (map[string]uint64, error) {
	name := s.CachedInfo().Config.Name
	if bucket, ok := strings.CutPrefix(name, "OBJ_"); ok {
		return objectsOf(ctx, s, bucket, p)
	}
	found := map[string]uint64{}
	add := func(filter string, fits func(subject string) bool) error {
		info, err := s.Info(ctx, jetstream.WithSubjectFilter(filter))
		if err != nil {
			return err
		}
		for subject, n := range info.State.Subjects {
			if fits == nil || fits(subject) {
				found[subject] = n
			}
		}
		return nil
	}
	if name == StreamSpill || name == StreamBodies {
		return found, add(">", func(subject string) bool {
			part := strings.Split(subject, ".")
			return len(part) > 2 && strings.HasPrefix(part[2], p.Token()+"-")
		})
	}
	for at := range purgeDepth {
		place := strings.Repeat("*.", at) + p.Token()
		if err := errors.Join(add(place, nil), add(place+".>", nil)); err != nil {
			return nil, err
		}
	}
	return found, nil
}

// objectsOf returns the descriptions and chunks of the objects whose names begin
// with p.
func objectsOf(ctx context.Context, s jetstream.Stream, bucket string, p tenant.Project) (map[string]uint64, error) {
	info, err := s.Info(ctx, jetstream.WithSubjectFilter("$O."+bucket+".M.>"))
	if err != nil {
		return nil, err
	}
	found := map[string]uint64{}
	for subject, n := range info.State.Subjects {
		object, err := base64.URLEncoding.DecodeString(subject[strings.LastIndexByte(subject, '.')+1:])
		if err != nil || !strings.HasPrefix(string(object), p.Token()+"/") {
			continue
		}
		m, err := s.GetLastMsgForSubject(ctx, subject)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		found[subject] = n
		var o jetstream.ObjectInfo
		if err := json.Unmarshal(m.Data, &o); err != nil || o.NUID == "" {
			continue
		}
		chunks, err := s.Info(ctx, jetstream.WithSubjectFilter("$O."+bucket+".C."+o.NUID))
		if err != nil {
			return nil, err
		}
		for subject, n := range chunks.State.Subjects {
			found[subject] = n
		}
	}
	return found, nil
}
