package serve

import (
	"context"
	"strings"
	"time"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/errs"
)

// DeadLetters is what the bus knows of messages that were given up. It is asked
// here and not at the edge: who redrives may give the commands of others again.
type DeadLetters interface {
	DeadLetters(ctx context.Context, f bus.DeadFilter) ([]bus.DeadLetter, error)
	DeadLetter(ctx context.Context, seq uint64) (*bus.DeadLetter, error)
	Redrive(ctx context.Context, seq uint64) error
	Discard(ctx context.Context, seq uint64) error
}

// Bounds of one purge.
const (
	mostPurged = 1000
	purgeTime  = 3 * time.Second
)

// The refusals of this file.
var (
	errNoDead = errs.New(errs.NotFound, "Dead letter not found")
	errRecord = errs.New(errs.Forbidden, "this is a record of the audit log, which is not for those to remove whom it is about: redrive it")
)

// isRecord says whether a message is what the audit log is made of.
func isRecord(subject string) bool {
	w := strings.Split(subject, ".")
	return len(w) == 6 && w[0] == "evt" && w[3] == "call" && w[4] == "recorded"
}

func showDead(d bus.DeadLetter, whole bool) DeadLetter {
	x := DeadLetter{
		Seq: int64(d.Seq), Service: d.Service, Consumer: d.Consumer, Subject: d.Subject, Attempts: d.Attempts, Error: d.Error, DiedAt: d.DiedAt.UTC(), //nolint:gosec // G115: a count of messages
	}
	if !d.StoredAt.IsZero() {
		at := d.StoredAt.UTC()
		x.StoredAt = &at
	}
	if !whole {
		return x
	}
	headers := map[string]string{}
	for name, v := range d.Header {
		// The rest is between us and the services: tokens among it.
		if n := strings.ToLower(name); len(v) > 0 && (strings.HasPrefix(n, "ce-") || n == "content-type" || n == "traceparent" || n == "cc-request-id") {
			headers[n] = v[0]
		}
	}
	data := strings.ToValidUTF8(string(d.Data), "\uFFFD")
	x.Headers, x.Data = &headers, &data
	return x
}

type listDead struct {
	Service string `json:"service"`
	After   uint64 `json:"after"`
	Limit   int    `json:"limit"`
}

func (h *Handlers) listDead(ctx context.Context, r listDead) (DeadLetterPage, error) {
	who, err := admin(ctx)
	if err != nil {
		return DeadLetterPage{}, err
	}
	found, err := h.Dead.DeadLetters(ctx, bus.DeadFilter{Service: r.Service, Project: &who.Project, After: r.After, Limit: r.Limit})
	if err != nil {
		return DeadLetterPage{}, err
	}
	out := DeadLetterPage{Items: make([]DeadLetter, len(found))}
	for i, d := range found {
		out.Items[i] = showDead(d, false)
	}
	if len(found) > 0 && len(found) == r.Limit {
		out.NextAfter = &out.Items[len(found)-1].Seq
	}
	return out, nil
}

type oneDead struct {
	Seq uint64 `json:"seq"`
}

// one returns a letter of the caller's project; those of others are not there.
func (h *Handlers) one(ctx context.Context, seq uint64) (*bus.DeadLetter, error) {
	who, err := admin(ctx)
	if err != nil {
		return nil, err
	}
	d, err := h.Dead.DeadLetter(ctx, seq)
	if err != nil && errs.KindOf(err) == errs.NotFound || err == nil && d.Project != who.Project {
		return nil, errNoDead
	}
	return d, err
}

func (h *Handlers) getDead(ctx context.Context, r oneDead) (DeadLetter, error) {
	d, err := h.one(ctx, r.Seq)
	if err != nil {
		return DeadLetter{}, err
	}
	return showDead(*d, true), nil
}

func (h *Handlers) redriveDead(ctx context.Context, r oneDead) (struct{}, error) {
	d, err := h.one(ctx, r.Seq)
	if err != nil {
		return struct{}{}, err
	}
	return struct{}{}, h.Dead.Redrive(ctx, d.Seq)
}

func (h *Handlers) discardDead(ctx context.Context, r oneDead) (struct{}, error) {
	d, err := h.one(ctx, r.Seq)
	if err != nil {
		return struct{}{}, err
	}
	if isRecord(d.Subject) {
		return struct{}{}, errRecord
	}
	return struct{}{}, h.Dead.Discard(ctx, d.Seq)
}

type purgeDead struct {
	Service string `json:"service"`
}

// purgeDead removes as many as time allows; what is left is for another call.
// Records of the audit log stay, and are no reason for one.
func (h *Handlers) purgeDead(ctx context.Context, r purgeDead) (out DeadLettersPurged, err error) {
	who, err := admin(ctx)
	if err != nil {
		return out, err
	}
	until := h.Now().Add(purgeTime)
	f := bus.DeadFilter{Service: r.Service, Project: &who.Project, Limit: mostPurged}
	for {
		found, err := h.Dead.DeadLetters(ctx, f)
		if err != nil {
			return out, err
		}
		for _, d := range found {
			f.After = d.Seq
			switch {
			case isRecord(d.Subject):
				continue
			case out.Removed == mostPurged || h.Now().After(until):
				out.More = true
				return out, nil
			}
			if err := h.Dead.Discard(ctx, d.Seq); err != nil && errs.KindOf(err) != errs.NotFound {
				return out, err
			}
			out.Removed++
		}
		if len(found) < mostPurged {
			return out, nil
		}
	}
}
