package bus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/propagation"

	"github.com/commandcenter/commandcenter/pkg/natsd"
)

// Announcing says where instances tell each other in account HUB that they are
// there: subjects that begin with Prefix ("hub.alive.") and end with the name of
// who speaks, of which Stream keeps the last of each.
type Announcing struct{ Stream, Prefix string }

func (a Announcing) filter() string { return a.Prefix + ">" }

// all is everything that belongs to the hub.
func (a Announcing) all() string {
	first, _, _ := strings.Cut(a.Prefix, ".")
	return first + ".>"
}

func (a Announcing) valid() error {
	if !validToken(a.Stream) || !strings.HasSuffix(a.Prefix, ".") || !validToken(strings.ReplaceAll(strings.TrimSuffix(a.Prefix, "."), ".", "-")) {
		return fmt.Errorf("announcements on stream %q, subjects %q: want names, and a prefix that ends with a dot", a.Stream, a.Prefix)
	}
	return nil
}

// HubUser is the name of a service's user in account HUB.
func HubUser(service string) string { return service + "-hub" }

// HubPermissions derives that user: it may say the presence of the slugs, and
// take those of all others from its durable consumer, and look up whether the
// stream has its own. Without slugs, where who provisions does not know them, it
// may say any.
func HubPermissions(service string, on Announcing, slugs ...string) natsd.UserSpec {
	p := &perms{}
	p.sub("_INBOX_"+HubUser(service)+".>", on.filter())
	if len(slugs) == 0 {
		slugs = []string{"*"}
	}
	for _, s := range slugs {
		p.pub(on.Prefix+s, "$JS.API.DIRECT.GET."+on.Stream+"."+on.Prefix+s)
	}
	p.durable(on.Stream, on.durable(service))
	return natsd.UserSpec{Name: HubUser(service), Account: natsd.AccountHub, Pub: p.allow, Sub: p.hear}
}

// NeighbourUser is the user of account HUB whose credentials another instance
// is given, to join this one.
const NeighbourUser = "neighbour"

// NeighbourPermissions derives that user: it may say and hear what belongs to
// the hub, over a leaf connection or as a client, and nothing else.
func NeighbourPermissions(on Announcing) natsd.UserSpec {
	return natsd.UserSpec{Name: NeighbourUser, Account: natsd.AccountHub, Pub: []string{on.all()}, Sub: []string{on.all()}, Leaf: true}
}

// HubPrivate are the subjects that the services use in account HUB for
// themselves: a leaf connection must not carry them.
func HubPrivate(services ...string) []string {
	out := []string{"_INBOX_" + natsd.UserHubAdmin + ".>"}
	for _, s := range services {
		out = append(out, "_INBOX_"+HubUser(s)+".>")
	}
	return out
}

func (a Announcing) durable(service string) string { return strings.ToLower(a.Stream) + "-" + service }

// ProvisionHub makes the streams and consumers of account HUB. admin must be a
// connection of its provisioning user. replicas is how many copies of the stream
// there are.
func ProvisionHub(ctx context.Context, admin *nats.Conn, on Announcing, replicas int, services ...string) error {
	if err := on.valid(); err != nil {
		return fmt.Errorf("provision hub: %w", err)
	}
	js, err := jetstream.New(admin)
	if err != nil {
		return fmt.Errorf("provision hub: %w", err)
	}
	replicas = max(1, replicas)
	light := forgetful(replicas, false)
	if s, err := js.Stream(ctx, on.Stream); err == nil { // a stream stays where it is kept
		if now := s.CachedInfo().Config; now.Storage != light.Storage {
			light.Storage, replicas = now.Storage, now.Replicas
		}
	}
	// It acknowledges nothing: an announcement comes from a neighbour, who chooses
	// where the answer to it goes, and in this account that may be the API of
	// JetStream or the inbox of somebody else.
	c := jetstream.StreamConfig{
		Name: on.Stream, Description: "which instances are there", NoAck: true, AllowDirect: true, Subjects: []string{on.filter()}, Storage: light.Storage, PersistMode: light.PersistMode,
		Retention: jetstream.LimitsPolicy, Discard: jetstream.DiscardOld, MaxMsgsPerSubject: 1, MaxBytes: maxAnnounced, MaxAge: keepAnnounced, Replicas: replicas,
	}
	if err := stream(ctx, js, c); err != nil {
		return err
	}
	for _, service := range services {
		err := consumer(ctx, js, ConsumerSpec{on.Stream, jetstream.ConsumerConfig{
			Durable: on.durable(service), FilterSubject: on.filter(), AckPolicy: jetstream.AckExplicitPolicy, AckWait: ackWait,
			MaxDeliver: 5, MaxAckPending: 64, DeliverPolicy: jetstream.DeliverAllPolicy,
		}})
		if err != nil {
			return err
		}
	}
	return nil
}

// Hub is a service's connection in account HUB, apart from its [Bus]: what a
// neighbour sends cannot reach this instance's own subjects.
type Hub struct {
	b       *Bus
	service string
	on      Announcing
}

// ConnectHub connects the service's user of account HUB. Of c it uses the
// address, CredsFile (of [HubUser]), Service, Announcing, Log and Registerer.
func ConnectHub(ctx context.Context, c Config) (*Hub, error) {
	if err := c.Announcing.valid(); err != nil {
		return nil, fmt.Errorf("connect to the hub: %w", err)
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	if c.Timeout <= 0 {
		c.Timeout = 10 * time.Second
	}
	service := c.Service
	c.Service = HubUser(service)
	b := &Bus{
		service: c.Service, log: c.Log.With("service", service, "account", natsd.AccountHub), timeout: c.Timeout,
		tracer: otel.GetTracerProvider().Tracer("github.com/commandcenter/commandcenter/pkg/bus"), prop: propagation.TraceContext{},
	}
	var err error
	if b.m, err = newMetrics(c.Registerer); err != nil {
		return nil, fmt.Errorf("connect to the hub: %w", err)
	}
	if b.nc, err = dial(ctx, c, b.log, nil); err != nil {
		return nil, err
	}
	if b.js, err = jetstream.New(b.nc, jetstream.WithDefaultTimeout(c.Timeout)); err != nil {
		b.nc.Close()
		return nil, fmt.Errorf("connect to the hub: %w", err)
	}
	return &Hub{b: b, service: service, on: c.Announcing}, nil
}

// Announce says that the instance slug is there. It is heard by everybody on
// the hub, this instance included. Nothing is promised about its arrival but
// that it left this process.
func (h *Hub) Announce(ctx context.Context, slug string, header nats.Header, data []byte) error {
	if !validToken(slug) {
		return fmt.Errorf("announce: %q is not a name", slug)
	}
	if err := h.b.nc.PublishMsg(&nats.Msg{Subject: h.on.Prefix + slug, Header: header, Data: data}); err != nil {
		return fmt.Errorf("announce: %w", err)
	}
	ctx, cancel := h.b.bounded(ctx)
	defer cancel()
	if err := h.b.nc.FlushWithContext(ctx); err != nil {
		return fmt.Errorf("announce: %w", err)
	}
	// The server refuses before it answers the flush. It is the only subject that
	// this connection publishes to by its own choice.
	if err := h.b.nc.LastError(); errors.Is(err, nats.ErrPermissionViolation) && strings.Contains(err.Error(), `"`+h.on.Prefix+slug+`"`) {
		return fmt.Errorf("announce: %w (the user was provisioned for another slug: provision again)", err)
	}
	return nil
}

// Presence is one announcement.
type Presence struct {
	Slug   string
	Header nats.Header
	Data   []byte
	Time   time.Time // when this instance's hub stored it
	Seq    uint64
}

// PresenceWorkers are so many announcements in hand at a time.
const PresenceWorkers = 32

// Presences is a part that hands announcements to h, the last one of every
// instance first, from a durable consumer; up to [PresenceWorkers] at a time. An error brings it again a few
// times; what nobody can read is to be dropped with [Drop].
func (h *Hub) Presences(handle func(ctx context.Context, p Presence) error) *Consumer {
	return NewConsumer(h.b, ConsumerConfig{Stream: h.on.Stream, Durable: h.on.durable(h.service), Workers: PresenceWorkers, Attempts: 3, Line: "presence.heard"},
		func(ctx context.Context, d *Delivery) error {
			p := Presence{Header: d.Header, Data: d.Data, Time: d.Time, Seq: d.Sequence}
			if len(d.Subject) > len(h.on.Prefix) {
				p.Slug = d.Subject[len(h.on.Prefix):]
			}
			err := handle(ctx, p)
			if err != nil && d.Attempt >= 3 && !errors.As(err, new(*dropped)) {
				return Drop(err) // it is said again; a dead letter would say nothing more
			}
			return err
		})
}

// Ready asks the hub for one round trip.
func (h *Hub) Ready(ctx context.Context) error { return h.b.Ready(ctx) }

// Close disconnects.
func (h *Hub) Close() { h.b.Close() }
