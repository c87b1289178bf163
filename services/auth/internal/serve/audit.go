package serve

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/commandcenter/commandcenter/pkg/audit"
	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/tenant"

	"github.com/commandcenter/commandcenter/services/auth/internal/trail"
	"github.com/commandcenter/commandcenter/services/auth/internal/user"
)

type auditRequest struct {
	Instance  bool          `json:"instance"`
	Actor     string        `json:"actor"`
	Target    string        `json:"target"`
	Operation string        `json:"operation"`
	Outcome   audit.Outcome `json:"outcome"`
	Text      string        `json:"text"`
	From      *time.Time    `json:"from"`
	Until     *time.Time    `json:"until"`
	After     *int64        `json:"after"`
	Before    *int64        `json:"before"`
	Limit     int           `json:"limit"`
}

func (h *Handlers) listAudit(ctx context.Context, r auditRequest) (AuditPage, error) {
	actor, err := h.person(ctx, "actor", r.Actor, r.Instance)
	if err != nil {
		return AuditPage{}, err
	}
	target, err := h.person(ctx, "target", r.Target, r.Instance)
	if err != nil {
		return AuditPage{}, err
	}
	page, err := h.Trail.List(ctx, tenant.From(ctx), r.Instance, trail.Query{
		Actor: actor, Target: target, Operation: r.Operation, Outcome: r.Outcome, Text: r.Text,
		From: r.From, Until: r.Until, After: r.After, Before: r.Before, Limit: r.Limit,
	})
	if err != nil {
		return AuditPage{}, err
	}
	out := AuditPage{Entries: make([]AuditEntry, len(page.Entries)), Head: auditHead(page.Head)}
	actors := map[string]bool{}
	for i, e := range page.Entries {
		out.Entries[i] = auditEntry(e)
		actors[e.Actor] = true
	}
	names, err := h.Names.Names(ctx, tenant.Project(page.Head.Chain), slices.Collect(maps.Keys(actors)))
	if err != nil {
		return AuditPage{}, err
	}
	for who, name := range names {
		if strings.HasPrefix(who, "user:") {
			names[who] = user.Shown(name)
		}
	}
	out.Names = &names
	if n := len(out.Entries); page.More && n > 0 {
		next := out.Entries[n-1].Seq
		if r.After != nil {
			out.NextAfter = &next
		} else {
			out.NextBefore = &next
		}
	}
	return out, nil
}

// person is the principal that a filter names, also by an e-mail address. One that
// the caller has nothing to do with is refused like one that there is not.
func (h *Handlers) person(ctx context.Context, filter, said string, instance bool) (string, error) {
	if !strings.Contains(said, "@") || strings.ContainsAny(said, ":=") { // "operator:ada@host"
		return said, nil
	}
	email, err := user.Normalise(said)
	if err != nil {
		return "", errs.InvalidField("value_error", "want one such as user:7 or service-account:3, or the e-mail address of a person", "query", filter)
	}
	return h.Trail.Person(ctx, tenant.From(ctx), instance, filter, email)
}

func auditEntry(e audit.Entry) AuditEntry {
	out := AuditEntry{
		ProjectId: e.Chain, Seq: e.Seq, Id: e.ID, RecordedAt: e.RecordedAt, AcceptedAt: e.AcceptedAt, LastAt: e.LastAt, Count: e.Count,
		Service: e.Service, Operation: e.Operation, Actor: e.Actor, KeyId: e.KeyID, Outcome: AuditEntryOutcome(e.Outcome()), Status: e.Status,
		Reason: e.Reason, Address: e.Address, RequestId: e.RequestID, TraceId: e.TraceID, Target: make([]AuditTarget, len(e.Target)),
		Prev: e.Prev, Hash: e.Hash,
	}
	for i, t := range e.Target {
		out.Target[i] = AuditTarget{Name: t.Name, Value: t.Value}
	}
	return out
}

func auditHead(a audit.Anchor) AuditHead {
	return AuditHead{ProjectId: a.Chain, Seq: a.Seq, Hash: a.Hash}
}

// NoteRefused says to the audit log whose account was not opened, and why. Who tried
// is not known: it is what the call was about, and not who made it.
func NoteRefused(ctx context.Context, userID int64, why string) {
	bus.Noted(ctx, "user", principal(userID))
	bus.Noted(ctx, "reason", why)
}

// NoteToken says to the audit log whose token was refused, and why. Whoever has it got
// it from the user.
func NoteToken(ctx context.Context, userID int64, why string) {
	acted(ctx, userID)
	NoteRefused(ctx, userID, why)
}

// principal is how a person is named in the audit log, "" for nobody.
func principal(userID int64) string {
	if userID == 0 {
		return ""
	}
	return "user:" + strconv.FormatInt(userID, 10)
}

// acted says to the audit log who it is that came as nobody.
func acted(ctx context.Context, userID int64) {
	bus.ActedAs(ctx, principal(userID))
}

type auditHeadRequest struct {
	Instance bool `json:"instance"`
}

func (h *Handlers) getAuditHead(ctx context.Context, r auditHeadRequest) (AuditHead, error) {
	head, err := h.Trail.Head(ctx, tenant.From(ctx), r.Instance)
	return auditHead(head), err
}
