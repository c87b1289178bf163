package bus

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	events "github.com/commandcenter/commandcenter/proto-events"

	"github.com/commandcenter/commandcenter/pkg/pg"
	"github.com/commandcenter/commandcenter/pkg/tenant"
)

// External is a fact as another team said it: nothing in it has been checked
// but its subject, which the team's grant is bound to.
type External struct {
	Project          tenant.Project
	Team, Noun, Fact string
	Version          int
	Subject          string
	ID               string // unique in the team
	Time             time.Time
	ReceivedAt       time.Time
	Data             []byte
}

// ExternalDurable is the consumer from which a service takes such facts.
func ExternalDurable(service string) string { return "ext-" + service }

// early is how far a team's clock may be ahead.
const early = 5 * time.Minute

// NewExternal is a part that hands each fact from outside to h, once; under ctx
// the calls of db join one transaction, which commits with the record of the
// fact when h returns nil. A fact whose id the team has used before is dropped.
// What h buries goes to DEAD, with the reason.
func NewExternal(b *Bus, db *pg.DB, h func(ctx context.Context, x External) error) *Externals {
	durable := ExternalDurable(b.service)
	in := &Inbox{b: b, c: InboxConfig{Service: b.service, DB: db}}
	handle := func(ctx context.Context, d *Delivery) error {
		x, err := external(d)
		if err != nil {
			return Bury(err)
		}
		d.Note(slog.String("message_id", x.ID), slog.String("project", x.Project.Token()), slog.String("team", x.Team))
		ctx = tenant.With(ctx, AsService(b.service, x.Project))
		again, err := in.once(ctx, durable, Meta{ID: x.Team + "/" + x.ID, Project: x.Project}, false, func(ctx context.Context) error { return h(ctx, x) })
		if again {
			d.outcome = "again"
		}
		return err
	}
	b.takers.Store(durable, handle)
	return newExternals(b, unended{db, durable}, handle)
}

// external reads ext.<project>.<team>.<noun>.<fact>.v<n>.
func external(d *Delivery) (External, error) {
	t := strings.Split(d.Subject, ".")
	if len(t) != 6 {
		return External{}, fmt.Errorf("subject %q: want ext.<project>.<team>.<noun>.<fact>.v<n>", d.Subject)
	}
	x := External{Team: t[2], Noun: t[3], Fact: t[4], Subject: d.Subject, Time: d.Time, ReceivedAt: d.Time, Data: d.Data}
	var err error
	if x.Project, err = tenant.ParseToken(t[1]); err != nil || x.Project == tenant.Instance {
		return External{}, fmt.Errorf("subject %q: want a project", d.Subject)
	}
	if x.Version, err = strconv.Atoi(strings.TrimPrefix(t[5], "v")); err != nil || x.Version < 1 {
		return External{}, fmt.Errorf("subject %q: want a version such as v1", d.Subject)
	}
	for name, v := range d.Header { // clients write names as they like
		switch strings.ToLower(name) {
		case events.HeaderID:
			x.ID = v[0]
		case events.HeaderTime:
			at, err := time.Parse(time.RFC3339, v[0])
			if err != nil || at.After(d.Time.Add(early)) {
				return External{}, fmt.Errorf("%s %q is no RFC 3339 time of the past", events.HeaderTime, v[0])
			}
			x.Time = at
		}
	}
	if x.ID == "" {
		x.ID = get(d.Header, jetstream.MsgIDHeader)
	}
	if x.ID == "" { // what has no name is its place in the stream
		x.ID = fmt.Sprintf("%d-%d", d.Time.UnixNano(), d.Sequence)
	}
	if len(x.ID) > 200 {
		return External{}, fmt.Errorf("its id has %d bytes, at most 200 are allowed", len(x.ID))
	}
	return x, nil
}
