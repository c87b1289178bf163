package bus

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/tenant"
)

// Headers of a dead letter. Its own headers are those of the message, except
// that what NATS acts on is kept under headerWas.
const (
	headerDeadError    = "Cc-Dead-Error"
	headerDeadAttempts = "Cc-Dead-Attempts"
	headerDeadSubject  = "Cc-Dead-Subject"
	headerDeadStream   = "Cc-Dead-Stream"
	headerDeadConsumer = "Cc-Dead-Consumer"
	headerDeadService  = "Cc-Dead-Service"
	headerDeadSeq      = "Cc-Dead-Seq"
	headerDeadTime     = "Cc-Dead-Time" // when the stream had stored it
	headerDeadPrefix   = "Cc-Dead-"
	headerWas          = "Cc-Was-"
	natsPrefix         = "Nats-"
)

// DeadLetter is a message that its consumer gave up.
type DeadLetter struct {
	Seq       uint64 // in DEAD; its name here
	Service   string // that gave up
	Consumer  string // durable
	Stream    string
	Subject   string
	StreamSeq uint64 // in Stream
	Project   tenant.Project
	Attempts  int
	Error     string
	StoredAt  time.Time // in its stream
	DiedAt    time.Time
	Header    nats.Header // as it was
	Data      []byte
}

// deadSubject keeps kind, project and the rest of the subject, so that dead
// letters can be selected by them.
func deadSubject(service, subject string) string { return "dead." + service + "." + subject }

// letterSubject is where a dead letter is kept. DEAD holds maxDeadAlike of a
// subject, and a new one takes the place of the oldest: so who floods, with
// commands of one operation in a project or with facts of a team there, pushes
// out nothing of anybody else. A team makes up its facts, and has one subject for
// all of them. Facts of ours have each their own: nobody outside says them, and
// records of the audit log among them are not for throwing away.
func letterSubject(service string, d *Delivery) string {
	subject := deadSubject(service, d.Subject)
	switch kindOf(d.Subject) {
	case "ext":
		if t := strings.SplitN(d.Subject, ".", 4); len(t) == 4 {
			return deadSubject(service, strings.Join(t[:3], "."))
		}
	case "evt":
		return subject + "." + strconv.FormatUint(d.Sequence, 10)
	}
	return subject
}

// crowdedOut counts a letter that takes the place of an older one.
func (b *Bus) crowdedOut(ctx context.Context, c ConsumerConfig, subject string) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	s, err := b.js.Stream(ctx, StreamDead)
	if err != nil {
		return // it is only counted
	}
	info, err := s.Info(ctx, jetstream.WithSubjectFilter(subject))
	if most := s.CachedInfo().Config.MaxMsgsPerSubject; err == nil && most > 0 && info.State.Subjects[subject] >= uint64(most) {
		b.m.replaced.WithLabelValues(c.Durable).Inc()
	}
}

// bury puts the message on DEAD and returns when it is stored there.
func (b *Bus) bury(ctx context.Context, c ConsumerConfig, d *Delivery, cause error) error {
	h := make(nats.Header, len(d.Header)+8)
	for k, v := range d.Header {
		if strings.HasPrefix(k, natsPrefix) {
			k = headerWas + k
		}
		h[k] = v
	}
	h[headerDeadError] = []string{headerSafe(reason(cause))}
	h[headerDeadAttempts] = []string{strconv.Itoa(d.Attempt)}
	h[headerDeadSubject] = []string{d.Subject}
	h[headerDeadStream] = []string{c.Stream}
	h[headerDeadConsumer] = []string{c.Durable}
	h[headerDeadService] = []string{b.service}
	h[headerDeadSeq] = []string{strconv.FormatUint(d.Sequence, 10)}
	h[headerDeadTime] = []string{d.Time.UTC().Format(time.RFC3339Nano)}
	// The part may be on its way down; this must be done all the same.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	id := fmt.Sprintf("%s-%s-%d-%d", c.Stream, c.Durable, d.Sequence, d.Time.UnixNano())
	subject := letterSubject(b.service, d)
	b.crowdedOut(ctx, c, subject)
	_, _, err := b.Publish(ctx, subject, id, h, d.Data)
	if err != nil {
		return fmt.Errorf("dead letter: %w", err)
	}
	b.m.dead.WithLabelValues(c.Durable).Inc()
	return nil
}

// headerSafe makes one line of s.
func headerSafe(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s)
}

// DeadFilter selects dead letters. Empty fields select all.
type DeadFilter struct {
	Service string          // that gave up
	Project *tenant.Project // of the message
	After   uint64          // Seq from which to go on: the last one seen
	Limit   int             // 100 when 0, at most 1000
}

func (f DeadFilter) subject() (string, error) {
	service, project := "*", "*"
	if f.Service != "" {
		if !validToken(f.Service) {
			return "", errs.Newf(errs.NotFound, "no service %q", f.Service)
		}
		service = f.Service
	}
	if f.Project != nil {
		project = f.Project.Token()
	}
	return "dead." + service + ".*." + project + ".>", nil
}

// DeadLetters lists dead letters, oldest first.
func (b *Bus) DeadLetters(ctx context.Context, f DeadFilter) ([]DeadLetter, error) {
	filter, err := f.subject()
	if err != nil {
		return nil, err
	}
	limit := 100
	if f.Limit > 0 {
		limit = min(f.Limit, 1000)
	}
	ctx, cancel := b.bounded(ctx)
	defer cancel()
	s, err := b.js.Stream(ctx, StreamDead)
	if err != nil {
		return nil, errs.Newf(errs.Unavailable, "dead letters: %w", err)
	}
	var out []DeadLetter
	for seq := f.After + 1; len(out) < limit; {
		m, err := s.GetMsg(ctx, seq, jetstream.WithGetMsgSubject(filter))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			break
		}
		if err != nil {
			return nil, errs.Newf(errs.Unavailable, "dead letters: %w", err)
		}
		out = append(out, deadLetter(m))
		seq = m.Sequence + 1
	}
	return out, nil
}

// DeadLetter returns one dead letter with everything in it; errs.NotFound when
// there is none of that sequence.
func (b *Bus) DeadLetter(ctx context.Context, seq uint64) (*DeadLetter, error) {
	ctx, cancel := b.bounded(ctx)
	defer cancel()
	s, err := b.js.Stream(ctx, StreamDead)
	if err != nil {
		return nil, errs.Newf(errs.Unavailable, "dead letters: %w", err)
	}
	m, err := s.GetMsg(ctx, seq)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, errs.New(errs.NotFound, "no such dead letter")
	}
	if err != nil {
		return nil, errs.Newf(errs.Unavailable, "dead letters: %w", err)
	}
	d := deadLetter(m)
	return &d, nil
}

// Redrive lets a dead letter be tried again and removes it from DEAD. A fact is
// handled at once by the consumer that gave it up, and by no other; while its
// service is away the error is Unavailable, and when it fails again Conflict, with
// the reason. What is no fact is put back where it came from: a command runs as
// the caller that it had, with the rights that the caller has now. The word that a
// job may run is not said again here: Conflict. Redriving twice in a row does it
// once.
func (b *Bus) Redrive(ctx context.Context, seq uint64) error {
	d, err := b.DeadLetter(ctx, seq)
	if err != nil {
		return err
	}
	switch {
	case d.Stream == StreamEvents, kindOf(d.Subject) == "ext":
		if err := b.redriveFact(ctx, d); err != nil {
			return err
		}
		return b.discard(ctx, seq)
	case d.Stream == StreamJobs:
		return errs.New(errs.Conflict, "this says only that a job may run, and its row says so again by itself: discard it")
	}
	h := maps.Clone(d.Header)
	for k := range h {
		if strings.HasPrefix(k, natsPrefix) {
			delete(h, k)
		}
	}
	delete(h, headerReply) // nobody waits any more
	if d.Stream == StreamCommands {
		token, err := b.signer.token(AsService(b.service, d.Project), redriveAudience(get(h, headerCommand)), "")
		if err != nil {
			return err
		}
		h[headerRedrive] = []string{token}
	}
	if _, _, err := b.Publish(ctx, d.Subject, fmt.Sprintf("redrive-%d-%d", seq, d.DiedAt.UnixNano()), h, d.Data); err != nil {
		return fmt.Errorf("redrive: %w", err)
	}
	return b.discard(ctx, seq)
}

// Discard removes a dead letter for good.
func (b *Bus) Discard(ctx context.Context, seq uint64) error {
	if _, err := b.DeadLetter(ctx, seq); err != nil {
		return err
	}
	return b.discard(ctx, seq)
}

func (b *Bus) discard(ctx context.Context, seq uint64) error {
	ctx, cancel := b.bounded(ctx)
	defer cancel()
	s, err := b.js.Stream(ctx, StreamDead)
	if err != nil {
		return errs.Newf(errs.Unavailable, "dead letters: %w", err)
	}
	if err := s.DeleteMsg(ctx, seq); err != nil && !errors.Is(err, jetstream.ErrMsgNotFound) {
		return errs.Newf(errs.Unavailable, "dead letters: %w", err)
	}
	return nil
}

func redriveAudience(commandID string) string { return "redrive." + commandID }

func deadLetter(m *jetstream.RawStreamMsg) DeadLetter {
	d := DeadLetter{
		Seq: m.Sequence, Service: get(m.Header, headerDeadService), Consumer: get(m.Header, headerDeadConsumer), Stream: get(m.Header, headerDeadStream),
		Subject: get(m.Header, headerDeadSubject), Error: get(m.Header, headerDeadError), StreamSeq: streamSeq(m.Header), DiedAt: m.Time, Data: m.Data, Header: nats.Header{},
	}
	// A number or a time that cannot be read was written by somebody else; the
	// letter is shown without it.
	d.Attempts, _ = strconv.Atoi(get(m.Header, headerDeadAttempts))
	d.StoredAt, _ = time.Parse(time.RFC3339Nano, get(m.Header, headerDeadTime))
	if a, err := parseSubject(d.Subject); err == nil {
		d.Project = a.project
	}
	for k, v := range m.Header {
		switch {
		case strings.HasPrefix(k, headerDeadPrefix), strings.HasPrefix(k, natsPrefix):
		case strings.HasPrefix(k, headerWas):
			d.Header[strings.TrimPrefix(k, headerWas)] = v
		default:
			d.Header[k] = v
		}
	}
	return d
}
