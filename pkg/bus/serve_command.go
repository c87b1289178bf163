package bus

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/outbox"
	"github.com/commandcenter/commandcenter/pkg/pg"
	"github.com/commandcenter/commandcenter/pkg/tenant"
)

// recheckAfter is the age from which a command's rights are decided again. The
// edge itself trusts what it knows for about so long.
const recheckAfter = 2 * time.Second

// errGone refuses a command for a project that was purged while it waited, or ran.
// Nothing is kept of it.
var errGone = errs.New(errs.NotFound, "the project is gone")

// command runs one command of the stream. nil acknowledges it: it was
// answered, be it with a refusal.
func (s *Server) command(ctx context.Context, d *Delivery) error {
	c, err := s.decode(d)
	if err != nil {
		return err
	}
	d.Note(slog.String("operation", c.op.name), slog.String("command_id", c.id.String()), slog.String("request_id", get(d.Header, headerRequestID)))
	who, err := s.caller(c.op, d.Subject, d.Header, d.Time)
	if errors.Is(err, errExpiredToken) && get(d.Header, headerRedrive) != "" {
		who, err = s.redriven(c, d)
	}
	if err != nil {
		// Nothing is kept under an id that nobody trustworthy gave.
		return s.refuse(ctx, c, d, err)
	}
	d.Note(slog.String("project", tenant.Project(who.Project).Token()), slog.String("principal", who.Principal))
	ctx, cancel := context.WithTimeout(ctx, s.c.Timeout)
	defer cancel()
	id := who.identity()
	again := d.again() || get(d.Header, headerRedrive) != "" // a redriven command is a new message, of an old call
	if s.c.Recheck != nil && (again || time.Since(d.Time) > recheckAfter) {
		if id, err = s.c.Recheck(ctx, id, c.op.name); err != nil {
			if !errs.KindOf(err).Refusal() {
				return s.fault(c, err)
			}
			return s.settled(ctx, c, d, who.identity(), outcome{err: err})
		}
		id.Project = tenant.Project(who.Project)
	}
	if body := get(d.Header, headerSpill); body != "" {
		d.after = func() { s.b.unkeep(ctx, body) }
	}
	load := func() (err error) {
		if c.data == nil {
			c.data, err = s.payload(ctx, d.Header, d.Data)
		}
		return err
	}
	if len(c.sum) == 0 { // put by nobody of ours
		if err := load(); err != nil {
			return s.fault(c, err)
		}
		sum, object := fingerprint(c.data)
		c.sum, c.object = sum[:], object
	}
	// A command without a key that comes for the first time cannot have been
	// answered. Every other may have been, and its body may be gone since.
	if again || keyed(c.id) {
		if done, err := s.replay(ctx, c, d, id); done || err != nil {
			return err
		}
	}
	if err := load(); err != nil {
		return s.fault(c, err)
	}
	call := Call{
		Service: s.c.Service, Operation: c.op.name, CommandID: c.id, AcceptedAt: c.accepted,
		RequestID: get(d.Header, headerRequestID), Attempt: d.Attempt, Caller: who.Issuer,
	}
	return s.run(s.enter(ctx, who, d.Header, id, call), c, d, id)
}

// incoming is a command that was understood.
type incoming struct {
	op      *operation
	id      uuid.UUID
	project tenant.Project
	sum     []byte
	object  string
	data    []byte
	began   time.Time
	// accepted is the time that everybody is told: the caller's, who may have
	// been told it before the stream had the command.
	accepted time.Time
}

func (s *Server) decode(d *Delivery) (*incoming, error) {
	a, err := parseSubject(d.Subject)
	if err != nil {
		return nil, Bury(err)
	}
	op := s.ops[a.rest]
	if op == nil || op.delivery != asCommand {
		// Put by an edge that knows more than this version; a newer replica of
		// the service may know it too.
		return nil, RetryAfter(5*time.Second, fmt.Errorf("this version of %s has no command %q", s.c.Service, a.rest))
	}
	id, err := uuid.Parse(get(d.Header, headerCommand))
	if err != nil {
		return nil, Bury(fmt.Errorf("command id: %w", err))
	}
	c := &incoming{op: op, id: id, project: a.project, object: get(d.Header, headerObject), began: time.Now(), accepted: acceptedAt(d.Header, d.Time)}
	if sum, err := hex.DecodeString(get(d.Header, headerBody)); err == nil && len(sum) == sha256.Size {
		c.sum = sum
	}
	return c, nil
}

// run is the heart: the handler, its answer and its facts in one transaction.
func (s *Server) run(ctx context.Context, c *incoming, d *Delivery, id tenant.Identity) error {
	work, unit := s.c.DB.Unit(ctx)
	defer unit.Rollback()
	work, awaited := outbox.Await(work)
	o := s.guarded(work, c.op.run, c.data)
	if o.err != nil {
		unit.Rollback()
		if !errs.KindOf(o.err).Refusal() {
			return s.fault(c, o.err)
		}
		return s.settled(ctx, c, d, id, o)
	}
	err := s.keep(work, unit, c, d, id, o)
	if errors.Is(err, outbox.ErrAnswered) {
		return s.replayed(ctx, c, d, id)
	}
	if errors.Is(err, outbox.ErrClosed) {
		return s.refuse(ctx, c, d, errGone)
	}
	if err != nil {
		return s.fault(c, err)
	}
	if o.status == outbox.Unfinished {
		o.accepted = c.accepted
	}
	s.said(ctx, awaited, c.op)
	s.reply(ctx, c, d, o, false)
	return nil
}

// keep stores the answer of a command and records the call, once, and commits: a
// second answer is [outbox.ErrAnswered], and undoes all.
func (s *Server) keep(ctx context.Context, unit *pg.Unit, c *incoming, d *Delivery, id tenant.Identity, o outcome) error {
	t := attempt{call: c.id.String(), op: c.op.name, id: id, principal: id.Principal, header: d.Header, accepted: c.accepted, outcome: o}
	return unit.CommitIn(ctx, c.project, func(ctx context.Context, tx *sqlx.Tx) error {
		return s.answers.Answer(ctx, tx, record(c, id, o), s.record(ctx, c.project, t), outbox.At(t.accepted))
	})
}

// keepAlone is keep for an answer without a change.
func (s *Server) keepAlone(ctx context.Context, c *incoming, d *Delivery, id tenant.Identity, o outcome) error {
	ctx, unit := s.c.DB.Unit(ctx)
	return s.keep(ctx, unit, c, d, id, o)
}

// settled keeps a refusal as the command's answer, and gives it.
func (s *Server) settled(ctx context.Context, c *incoming, d *Delivery, id tenant.Identity, o outcome) error {
	err := s.keepAlone(ctx, c, d, id, o)
	if errors.Is(err, outbox.ErrAnswered) {
		return s.replayed(ctx, c, d, id)
	}
	if errors.Is(err, outbox.ErrClosed) {
		return s.refuse(ctx, c, d, errGone)
	}
	if err != nil {
		return s.fault(c, err)
	}
	d.outcome = string(errs.KindOf(o.err))
	s.reply(ctx, c, d, o, false)
	return nil
}

// fault lets the command be tried again.
func (s *Server) fault(c *incoming, err error) error {
	s.tried(c, outcome{err: err})
	return err
}

// giveUp makes the failure of a command that is given up its answer, until
// somebody redrives the dead letter. One whose giver cannot be believed has no
// answer.
func (s *Server) giveUp(ctx context.Context, d *Delivery, cause error) error {
	a, err := parseSubject(d.Subject)
	if err != nil {
		return nil
	}
	id, err := uuid.Parse(get(d.Header, headerCommand))
	if err != nil {
		return nil
	}
	who, err := s.b.checker.check(get(d.Header, headerIdentity))
	if err != nil || tenant.Project(who.Project) != a.project {
		return nil
	}
	c := &incoming{op: &operation{name: a.rest}, id: id, project: a.project, object: get(d.Header, headerObject), accepted: acceptedAt(d.Header, d.Time)}
	if sum, err := hex.DecodeString(get(d.Header, headerBody)); err == nil && len(sum) == sha256.Size {
		c.sum = sum
	}
	o := outcome{err: cause}
	// The handler's own time may be over.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	err = s.keepAlone(ctx, c, d, who.identity(), o)
	if err != nil && !errors.Is(err, outbox.ErrAnswered) && !errors.Is(err, outbox.ErrClosed) {
		return fmt.Errorf("keep the failure of command %s: %w", c.id, err)
	}
	s.respond(ctx, get(d.Header, headerReply), o, false)
	return nil
}

// refuse answers a command that is not run, without keeping anything.
func (s *Server) refuse(ctx context.Context, c *incoming, d *Delivery, err error) error {
	d.outcome = string(errs.KindOf(err))
	d.Note(slog.String("refusal", err.Error()))
	s.reply(ctx, c, d, outcome{err: err}, false)
	return nil
}

func (s *Server) reply(ctx context.Context, c *incoming, d *Delivery, o outcome, replayed bool) {
	s.tried(c, o)
	o.project = c.project
	s.respond(ctx, get(d.Header, headerReply), o, replayed)
}

// tried counts one try of a command.
func (s *Server) tried(c *incoming, o outcome) {
	took := time.Since(c.began)
	c.op.work.add(took)
	s.count(c.op, o, took)
}

// replayed is for the loser of a race: the winner's answer is there.
func (s *Server) replayed(ctx context.Context, c *incoming, d *Delivery, id tenant.Identity) error {
	done, err := s.replay(ctx, c, d, id)
	if err == nil && !done {
		err = errs.Newf(errs.Internal, "command %s: its answer was there and is gone", c.id)
	}
	return err
}

// replay gives the stored answer, if there is one.
func (s *Server) replay(ctx context.Context, c *incoming, d *Delivery, id tenant.Identity) (done bool, err error) {
	var rec outbox.Operation
	err = s.c.DB.InTenant(ctx, c.project, func(ctx context.Context, tx *sqlx.Tx) error {
		var err error
		rec, done, err = s.answers.LookupIn(ctx, tx, c.project, c.id)
		return err
	})
	if err != nil {
		return false, s.fault(c, err)
	}
	if !done {
		return false, nil
	}
	sum, object := splitFingerprint(rec.Fingerprint)
	if rec.Principal != id.Principal || rec.Operation != c.op.name || string(sum) != string(c.sum) {
		d.outcome = "other_body"
		s.reply(ctx, c, d, outcome{err: errOtherBody}, false)
		return true, nil
	}
	o := recorded(rec).outcome()
	if o.status == outbox.Unfinished {
		o.accepted = rec.CreatedAt
	}
	failed := o.err != nil && !errs.KindOf(o.err).Refusal()
	if failed && get(d.Header, headerRedrive) != "" && s.trustRedrive(c, d) == nil {
		err := s.c.DB.InTenant(ctx, c.project, func(ctx context.Context, tx *sqlx.Tx) error {
			return s.answers.Forget(ctx, tx, c.project, c.id)
		})
		if err != nil {
			return false, s.fault(c, err)
		}
		return false, nil
	}
	d.outcome = "replayed"
	s.reply(ctx, c, d, o, object != c.object || c.object == "" && !d.again())
	if failed && d.again() { // it had to become a dead letter, and perhaps could not
		return true, Bury(o.err)
	}
	return true, nil
}

// record is the row of an answer.
func record(c *incoming, id tenant.Identity, o outcome) outbox.Operation {
	rec := outbox.Operation{
		ID: c.id, Project: c.project, Principal: id.Principal, Operation: c.op.name, CreatedAt: c.accepted, StartedAt: c.began,
		Fingerprint: append(append([]byte(nil), c.sum...), c.object...), Status: o.status, Header: o.header, Body: o.body,
	}
	if o.err != nil {
		_, rec.Error = encodeError(o.err)
	}
	return rec
}

// recorded is the inverse of record.
func recorded(rec outbox.Operation) stored {
	st := stored{Status: rec.Status, Header: rec.Header, Body: rec.Body, Error: rec.Error}
	if len(rec.Error) > 0 {
		var f failure
		if err := json.Unmarshal(rec.Error, &f); err == nil {
			st.Kind = f.Kind
		}
	}
	return st
}

// splitFingerprint separates the body's hash from the name of the object that
// the first call brought.
func splitFingerprint(b []byte) (sum []byte, object string) {
	if len(b) < sha256.Size {
		return b, ""
	}
	return b[:sha256.Size], string(b[sha256.Size:])
}

// redriven accepts a command whose token has expired when somebody who may has
// brought it back.
func (s *Server) redriven(c *incoming, d *Delivery) (*claims, error) {
	if err := s.trustRedrive(c, d); err != nil {
		return nil, err
	}
	who, err := s.b.checker.check(get(d.Header, headerIdentity))
	if err != nil {
		return nil, errBadToken.Because(err)
	}
	if who.Audience != c.op.audience || tenant.Project(who.Project) != c.project {
		return nil, errBadToken
	}
	return who, nil
}

// trustRedrive verifies who brought the command back: a service that speaks for
// itself, about this very command.
func (s *Server) trustRedrive(c *incoming, d *Delivery) error {
	by, err := s.b.checker.verify(get(d.Header, headerRedrive), redriveAudience(c.id.String()), d.Time)
	if err != nil {
		return err
	}
	if by.Principal != servicePrefix+by.Issuer {
		return errs.New(errs.Forbidden, "only a service may redrive")
	}
	return nil
}
