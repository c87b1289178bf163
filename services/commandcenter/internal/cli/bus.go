package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/natsd"
	"github.com/commandcenter/commandcenter/pkg/obs"
	"github.com/commandcenter/commandcenter/services/commandcenter/internal/datadir"
)

func (e *env) busCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "bus",
		Short: "Look at what travels on the bus, and at what was given up",
		Long: `Works as the administrator of the bus, with the credentials in the data directory:
on the machine of the instance, or with a copy of its keys. Only events and
schema ask the server over HTTP, as the user that you are logged in as.`,
		Example: "  commandcenter bus tail\n  commandcenter bus services\n  commandcenter bus dead list",
	}
	e.bind(c, true, "nats_url")
	return group(c, e.busTail(), e.busEvents(), e.busReconcile(), e.busReplay(), e.busServices(), e.busDead(), e.busGrant(), e.busRevoke(), e.busList(), e.busSchema())
}

// busURL is where the bus of the data directory is.
func (e *env) busURL() string {
	if e.cfg.NATSURL != "" {
		return e.cfg.NATSURL
	}
	if url := datadir.At(e.cfg.DataDir).Endpoint(datadir.EndpointNATS); url != "" {
		return url
	}
	return "nats://" + e.cfg.NATS
}

// admin connects as the administrator.
func (e *env) admin() (*nats.Conn, error) { return e.busAs(natsd.UserAdmin) }

// busAs connects as one of the users who may do everything in their account.
func (e *env) busAs(user string) (*nats.Conn, error) {
	creds := datadir.At(e.cfg.DataDir).Keys() + "/" + user + ".creds"
	if _, err := os.Stat(creds); err != nil {
		return nil, codedError{fmt.Errorf("no credentials for the bus: %w; name the data directory of the instance with --data-dir", err), exitAuth}
	}
	nc, err := nats.Connect(e.busURL(), nats.Name("commandcenter"), nats.UserCredentials(creds), nats.Timeout(5*time.Second), nats.MaxReconnects(-1))
	if err != nil {
		return nil, codedError{fmt.Errorf("no bus at %s: %w", obs.RedactText(e.busURL()), err), exitUnavailable}
	}
	return nc, nil
}

func (e *env) busTail() *cobra.Command {
	var since time.Duration
	var headers bool
	var count int
	c := &cobra.Command{
		Use:   "tail [SUBJECT]",
		Short: "Print messages as they come (default: every fact, evt.>)",
		Long: `Prints what is published from now on, or with --since what a stream still keeps.
Facts (evt.>) are kept for days, progress (live.>) for minutes, the presence of
instances (hub.>) for a day, each one's last. Commands (cmd.>) and jobs (job.>)
are gone when they are done: they can only be followed.

Subjects below hub are in an account of their own, as are the server's ($SYS.>):
a pattern that begins with a wildcard does not match them.`,
		Example: `  commandcenter bus tail
  commandcenter bus tail "evt.p1.>" --since 1h
  commandcenter bus tail "evt.*.knowledge.document.indexed.v1" --json
  commandcenter bus tail "cmd.>" --headers
  commandcenter bus tail "hub.>" --since 24h`,
		Args: nargs(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			subject := "evt.>"
			if len(args) == 1 {
				subject = args[0]
			}
			nc, err := e.busAs(ownerOf(subject))
			if err != nil {
				return err
			}
			defer nc.Close()
			return e.tail(cmd.Context(), nc, subject, since, count, func(m message) { e.printMessage(m, headers) })
		},
	}
	lasting(c.Flags(), &since, "since", 0, "begin in the past, for what a stream keeps: 1h, 30m")
	c.Flags().BoolVar(&headers, "headers", false, "print headers too")
	c.Flags().IntVar(&count, "count", 0, "end after so many messages")
	return ends(c, exitAuth, exitNotFound, exitUnavailable, exitRefused)
}

// ownerOf is the user who hears everything in the account of a subject.
func ownerOf(subject string) string {
	switch root, _, _ := strings.Cut(subject, "."); root {
	case "hub":
		return natsd.UserHubAdmin
	case "$SYS":
		return natsd.UserSys
	}
	return natsd.UserAdmin
}

// message is one as tail prints it.
type message struct {
	Subject string              `json:"subject"`
	Time    time.Time           `json:"time"`
	ID      string              `json:"id,omitempty"`
	Type    string              `json:"type,omitempty"`
	Headers map[string][]string `json:"headers"`
	Data    json.RawMessage     `json:"data"`
}

// tail hands messages to each until ctx ends, which is no failure.
func (e *env) tail(ctx context.Context, nc *nats.Conn, subject string, since time.Duration, count int, each func(message)) error {
	ch := make(chan message, 256)
	stop, err := subscribe(ctx, nc, subject, since, ch)
	if err != nil {
		return err
	}
	defer stop()
	e.say("Following %s at %s. Ctrl-C ends it.", subject, obs.RedactText(nc.ConnectedUrl()))
	for n := 0; count == 0 || n < count; n++ {
		select {
		case m := <-ch:
			each(m)
			if err := e.written(); err != nil {
				return err
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// subscribe listens to what is published from now on, or reads the stream that
// keeps the subject from a time in the past.
func subscribe(ctx context.Context, nc *nats.Conn, subject string, since time.Duration, ch chan<- message) (stop func(), err error) {
	if since == 0 {
		sub, err := nc.Subscribe(subject, func(m *nats.Msg) { ch <- readMessage(m.Subject, time.Now(), m.Header, m.Data) })
		if err != nil {
			return nil, usageError{fmt.Errorf("subject %q: %w", subject, err)}
		}
		// The subscription is in force once the server has answered.
		flushed, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		if err := nc.FlushWithContext(flushed); err != nil && ctx.Err() == nil {
			return nil, err
		}
		return func() { _ = sub.Unsubscribe() }, nil // the connection is closed next
	}
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, err
	}
	name, err := keeper(ctx, js, subject)
	if err != nil {
		return nil, err
	}
	from := time.Now().Add(-since)
	c, err := js.OrderedConsumer(ctx, name, jetstream.OrderedConsumerConfig{FilterSubjects: []string{subject}, DeliverPolicy: jetstream.DeliverByStartTimePolicy, OptStartTime: &from})
	if err != nil {
		return nil, err
	}
	cc, err := c.Consume(func(m jetstream.Msg) {
		at := time.Now()
		if md, err := m.Metadata(); err == nil {
			at = md.Timestamp
		}
		ch <- readMessage(m.Subject(), at, m.Headers(), m.Data())
	})
	if err != nil {
		return nil, err
	}
	return cc.Stop, nil
}

// keeper is the stream that a subject can be read back from.
func keeper(ctx context.Context, js jetstream.JetStream, subject string) (string, error) {
	name, err := js.StreamNameBySubject(ctx, subject)
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound), errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount):
		return "", codedError{fmt.Errorf("no stream keeps %q: leave --since out to follow it from now on", subject), exitNotFound}
	case errors.Is(err, jetstream.ErrInvalidSubject):
		return "", usageError{fmt.Errorf("subject %q: %w", subject, err)}
	case err != nil:
		return "", codedError{fmt.Errorf("find the stream of %q: %w", subject, err), exitUnavailable}
	}
	s, err := js.Stream(ctx, name)
	if err != nil {
		return "", codedError{fmt.Errorf("stream %s: %w", name, err), exitUnavailable}
	}
	if s.CachedInfo().Config.Retention == jetstream.WorkQueuePolicy {
		return "", codedError{fmt.Errorf("%q cannot be read back: %s is a queue of work, and what is done is gone from it; leave --since out to follow it from now on. "+
			"What came of it is among the facts (bus tail evt.> --since ...), what was given up in `commandcenter bus dead list`", subject, name), exitRefused}
	}
	return name, nil
}

func readMessage(subject string, at time.Time, h nats.Header, data []byte) message {
	m := message{Subject: subject, Time: at.UTC(), Headers: h, ID: first(h, "ce-id", nats.MsgIdHdr), Type: first(h, "ce-type")}
	m.Data = data
	if !json.Valid(data) {
		quoted, err := json.Marshal(string(data))
		if err != nil {
			quoted = []byte("null")
		}
		m.Data = quoted
	}
	return m
}

func first(h nats.Header, keys ...string) string {
	for _, k := range keys {
		if v := h.Get(k); v != "" {
			return v
		}
	}
	return ""
}

func (e *env) printMessage(m message, headers bool) {
	if e.json {
		e.print(e.Out, m)
		return
	}
	e.line("%s %s", e.paint(e.Out, dim, m.Time.Local().Format("15:04:05.000")), e.paint(e.Out, bold, m.Subject))
	if headers {
		for k, v := range m.Headers {
			if obs.Secret(k) {
				v = []string{obs.Redacted}
			}
			e.line("  %s: %s", e.paint(e.Out, dim, k), oneLine(strings.Join(v, ", ")))
		}
	}
	e.line("  %s", oneLine(string(m.Data)))
}

// gather asks everybody and takes the answers that come within a time.
func gather[T any](ctx context.Context, nc *nats.Conn, subject string, within time.Duration) ([]T, error) {
	inbox := nc.NewRespInbox()
	sub, err := nc.SubscribeSync(inbox)
	if err != nil {
		return nil, err
	}
	defer sub.Unsubscribe() //nolint:errcheck // the connection is closed next
	if err := nc.PublishRequest(subject, inbox, nil); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	out := []T{}
	for {
		m, err := sub.NextMsgWithContext(ctx)
		if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, nats.ErrNoResponders) {
			return out, nil
		}
		if err != nil {
			return nil, err
		}
		if len(m.Data) == 0 { // nobody answers to the subject
			return out, nil
		}
		var v T
		if err := json.Unmarshal(m.Data, &v); err != nil {
			return nil, fmt.Errorf("answer to %s: %w", subject, err)
		}
		out = append(out, v)
	}
}

// adminBus is the bus as its administrator.
func (e *env) adminBus(ctx context.Context) (*bus.Bus, error) {
	trust, err := natsd.LoadTrust(e.cfg.DataDir)
	if err != nil {
		return nil, codedError{fmt.Errorf("no credentials for the bus: %w; name the data directory of the instance with --data-dir", err), exitAuth}
	}
	seed, err := trust.SigningSeed(natsd.UserAdmin)
	if err != nil {
		return nil, codedError{err, exitAuth}
	}
	b, err := bus.Connect(ctx, bus.Config{URL: e.busURL(), CredsFile: trust.CredsFile(natsd.UserAdmin), Service: natsd.UserAdmin, SigningSeed: seed, Log: obs.Discard()})
	if err != nil {
		return nil, codedError{err, exitUnavailable}
	}
	return b, nil
}
