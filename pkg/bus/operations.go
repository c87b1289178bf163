package bus

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/synadia-io/orbit.go/jetstreamext"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/outbox"
	"github.com/commandcenter/commandcenter/pkg/tenant"
)

// listOperations is answered by every server with commands: the latest of a
// project.
const listOperations = "listOperations"

// Bounds of a listing.
const (
	maxListed = 200    // operations of one page
	maxNoted  = 2000   // notes of one service that it is asked about
	maxNotes  = 20_000 // notes of a project that are looked at
	notesRead = 500    // notes that are read at a time; a server gives 1,024
)

// OperationsPage says which operations of a project are asked for.
type OperationsPage struct {
	Services []string // whose
	State    outbox.State
	Limit    int // at most 200
	// Before goes on after the last one of the page before; zero begins with the
	// newest.
	Before   time.Time
	BeforeID uuid.UUID
}

// Operations are the operations of a project that were accepted lately, newest
// first.
type Operations struct {
	List []OperationState // without their answers, save for errors
	More bool             // there are older ones
	// Complete is false when a service is silent, so that of its operations only
	// those are listed that were noted when they were accepted, or when so many
	// wait that some that belong to the page were not looked at.
	Complete bool
}

// Operations lists the operations of the project of identity; where that is none,
// those of the instance that identity's principal gave, which are its alone.
func (b *Bus) Operations(ctx context.Context, identity tenant.Identity, page OperationsPage) (*Operations, error) {
	if identity.Project == tenant.Instance && identity.Principal == "" || page.Limit < 1 || page.Limit > maxListed {
		return nil, errs.Newf(errs.Internal, "list %d operations of project %d", page.Limit, identity.Project)
	}
	notes, err := b.notes(ctx, identity, page)
	if err != nil {
		return nil, err
	}
	out := &Operations{Complete: !notes.cut}
	var mu sync.Mutex
	var asking sync.WaitGroup
	for _, service := range page.Services {
		asking.Go(func() {
			part, all, perr := b.operationsOf(ctx, service, identity, page, notes.of[service])
			mu.Lock()
			defer mu.Unlock()
			err = errors.Join(err, perr)
			out.List = append(out.List, part...)
			out.Complete = out.Complete && all
		})
	}
	asking.Wait()
	if err != nil {
		return nil, err
	}
	slices.SortFunc(out.List, func(a, b OperationState) int {
		return cmp.Or(b.AcceptedAt.Compare(a.AcceptedAt), strings.Compare(uuidOf(b.ID), uuidOf(a.ID)))
	})
	if out.More = len(out.List) > page.Limit; out.More {
		out.List = out.List[:page.Limit]
	}
	return out, nil
}

func uuidOf(operationID string) string {
	_, id, _ := strings.Cut(operationID, ".")
	return id
}

// noted is a note and which command it is of.
type noted struct {
	id uuid.UUID
	note
}

// projectNotes are the notes of a project by service, the newest first.
type projectNotes struct {
	of  map[string][]noted
	cut bool // there are more than are looked at
}

// notes reads what was noted of the commands of a project that were answered 202
// and belong to the page or what follows it. It takes one question of the stream
// for some hundreds of them.
func (b *Bus) notes(ctx context.Context, who tenant.Identity, page OperationsPage) (projectNotes, error) {
	p := who.Project
	out := projectNotes{of: map[string][]noted{}}
	if page.State != outbox.AnyState && page.State != outbox.Pending {
		return out, nil // what was noted and nothing else is pending
	}
	ctx, cancel := b.bounded(ctx)
	defer cancel()
	s, err := b.js.Stream(ctx, "KV_"+BucketOperations)
	if err != nil {
		return out, errs.Newf(errs.Unavailable, "operations: %w", err)
	}
	prefix := "$KV." + BucketOperations + "." + p.Token() + "."
	info, err := s.Info(ctx, jetstream.WithSubjectFilter(prefix+">"))
	if err != nil {
		return out, errs.Newf(errs.Unavailable, "operations: %w", err)
	}
	subjects := slices.Collect(maps.Keys(info.State.Subjects))
	if out.cut = len(subjects) > maxNotes; out.cut {
		subjects = subjects[:maxNotes]
	}
	for some := range slices.Chunk(subjects, notesRead) {
		found, err := jetstreamext.GetLastMsgsFor(ctx, b.js, "KV_"+BucketOperations, some)
		if err != nil {
			return out, errs.Newf(errs.Unavailable, "operations: %w", err)
		}
		for m, err := range found {
			if errors.Is(err, jetstreamext.ErrNoMessages) {
				break // they have grown old meanwhile
			}
			if err != nil {
				return out, errs.Newf(errs.Unavailable, "operations: %w", err)
			}
			service, id, err := splitOperationID(strings.TrimPrefix(m.Subject, prefix))
			n := noted{id: id}
			if err != nil || len(m.Data) == 0 || json.Unmarshal(m.Data, &n.note) != nil || !shows(who, n.Principal) || !page.Before.IsZero() && !before(n.AcceptedAt, id, page) {
				continue
			}
			out.of[service] = append(out.of[service], n)
		}
	}
	for _, all := range out.of {
		slices.SortFunc(all, func(a, b noted) int {
			return cmp.Or(b.AcceptedAt.Compare(a.AcceptedAt), strings.Compare(b.id.String(), a.id.String()))
		})
	}
	return out, nil
}

// operationsQuery asks a service for its operations in a project, and which of
// some it does not know.
type operationsQuery struct {
	State    outbox.State `json:"state,omitempty"`
	Limit    int          `json:"limit"`
	Before   time.Time    `json:"before,omitzero"`
	BeforeID uuid.UUID    `json:"before_id"`
	Noted    []uuid.UUID  `json:"noted,omitempty"`
}

type operationsReply struct {
	Operations []listedOperation `json:"operations"`
	Unknown    []uuid.UUID       `json:"unknown"`
}

// listedOperation is one without its answer.
type listedOperation struct {
	ID         uuid.UUID        `json:"id"`
	Operation  string           `json:"operation"`
	Principal  string           `json:"principal"`
	Status     int              `json:"status"`
	Error      json.RawMessage  `json:"error,omitempty"`
	AcceptedAt time.Time        `json:"accepted_at"`
	StartedAt  time.Time        `json:"started_at,omitzero"`
	FinishedAt time.Time        `json:"finished_at"`
	Progress   *outbox.Progress `json:"progress,omitempty"`
}

// operationsOf is what one service knows, and of what is noted what it does not
// know yet. complete is false when it was silent, or when notes that belong to
// the page may be among those that it was not asked about.
func (b *Bus) operationsOf(ctx context.Context, service string, who tenant.Identity, page OperationsPage, notes []noted) (list []OperationState, complete bool, err error) {
	asked := notes[:min(len(notes), maxNoted)]
	query := operationsQuery{State: page.State, Limit: page.Limit + 1, Before: page.Before, BeforeID: page.BeforeID}
	for _, n := range asked {
		query.Noted = append(query.Noted, n.id)
	}
	q, err := json.Marshal(query)
	if err != nil {
		return nil, false, fmt.Errorf("list operations: %w", err)
	}
	asking, cancel := context.WithTimeout(ctx, 2*time.Second)
	o, err := b.ask(asking, Target{Service: service, Operation: listOperations, Project: who.Project}, who, q, "")
	cancel()
	r := operationsReply{Unknown: query.Noted}
	heard := err == nil
	switch kind := errs.KindOf(err); {
	case heard:
		r.Unknown = nil
		if err := json.Unmarshal(o.body, &r); err != nil {
			return nil, true, errs.Newf(errs.Upstream, "operations of %s: %w", service, err)
		}
	case kind != errs.Unavailable && kind != errs.Timeout:
		return nil, false, err
	}
	for _, l := range r.Operations {
		list = append(list, l.state(service))
	}
	unknown := map[uuid.UUID]bool{}
	for _, id := range r.Unknown {
		unknown[id] = true
	}
	waiting := 0
	for _, n := range asked {
		if !unknown[n.id] {
			continue
		}
		if waiting++; waiting > page.Limit+1 {
			break // the rest is of later pages
		}
		list = append(list, OperationState{
			ID: service + "." + n.id.String(), Operation: n.Operation, Principal: n.Principal, Pending: true, AcceptedAt: n.AcceptedAt,
		})
	}
	return list, heard && (len(asked) == len(notes) || waiting > page.Limit), nil
}

// before reports whether an operation comes after the page before, which is to
// say that it is older.
func before(at time.Time, id uuid.UUID, page OperationsPage) bool {
	return cmp.Or(at.Compare(page.Before), strings.Compare(id.String(), page.BeforeID.String())) < 0
}

func (l listedOperation) state(service string) OperationState {
	s := OperationState{
		ID: service + "." + l.ID.String(), Operation: l.Operation, Principal: l.Principal,
		AcceptedAt: l.AcceptedAt, StartedAt: l.StartedAt, FinishedAt: l.FinishedAt, Progress: l.Progress,
	}
	switch {
	case len(l.Error) > 0:
		s.Err = decodeError("", l.Error)
	case l.Status == outbox.Unfinished:
		s.Pending, s.FinishedAt = true, time.Time{}
	default:
		s.Answer = &Answer{Status: l.Status, OperationID: s.ID}
	}
	return s
}

// operationList answers listOperations.
func (s *Server) operationList(ctx context.Context, q operationsQuery) (operationsReply, error) {
	who := tenant.From(ctx)
	p, whose := who.Project, ""
	if p == tenant.Instance {
		whose = who.Principal
	}
	r := operationsReply{Operations: []listedOperation{}, Unknown: []uuid.UUID{}}
	if p == tenant.Instance && whose == "" || q.Limit < 1 || q.Limit > maxListed+1 || len(q.Noted) > maxNoted {
		return r, errs.New(errs.Malformed, "operations are listed for a project or a caller, a page at a time")
	}
	err := s.c.DB.InTenant(ctx, p, func(ctx context.Context, tx *sqlx.Tx) error {
		list, err := s.answers.List(ctx, tx, p, outbox.Listing{State: q.State, Limit: q.Limit, Principal: whose, Before: q.Before, BeforeID: q.BeforeID})
		if err != nil {
			return err
		}
		for _, rec := range list {
			r.Operations = append(r.Operations, listedOperation{
				ID: rec.ID, Operation: rec.Operation, Principal: rec.Principal, Status: rec.Status, Error: rec.Error,
				AcceptedAt: rec.CreatedAt, StartedAt: rec.StartedAt, FinishedAt: rec.FinishedAt, Progress: rec.Progress,
			})
		}
		if len(q.Noted) == 0 {
			return nil
		}
		r.Unknown, err = s.answers.Unknown(ctx, tx, p, q.Noted)
		return err
	})
	return r, err
}
