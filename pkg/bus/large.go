package bus

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/tenant"
)

// A body that is too large for its message goes ahead of it in pieces, on
// subjects "<kind>.<for whom>.<id>.<piece>": permissions see for whom, and so
// each service reads, and removes, only what is addressed to it. The id begins
// with the project, which a purge goes by. An object
// store would not do: whoever may read one of its objects may read all.
const (
	kindSpill = "spill" // of requests and answers, on StreamSpill
	kindBody  = "body"  // of commands, on StreamBodies
	// piece is how many bytes one message carries, and maxPieces how many
	// messages a body has at most.
	piece     = 512 << 10
	maxPieces = 1 << 10
)

// largeStream is the stream of a kind.
func largeStream(kind string) string {
	if kind == kindBody {
		return StreamBodies
	}
	return StreamSpill
}

// send stores a body of a project for a service and returns its name:
// "<kind>.<service>.<id>/<pieces>".
func (b *Bus) send(ctx context.Context, kind, to string, p tenant.Project, body []byte) (string, error) {
	if !validToken(to) {
		return "", errs.Newf(errs.Internal, "a large body for %q, who is nobody", to)
	}
	ctx, cancel := b.bounded(ctx)
	defer cancel()
	at := kind + "." + to + "." + p.Token() + "-" + uuid.NewString()
	n := (len(body) + piece - 1) / piece
	if n > maxPieces {
		return "", errs.New(errs.TooLarge, "the body is too large")
	}
	for i := range n {
		part := body[i*piece : min((i+1)*piece, len(body))]
		if _, err := b.js.Publish(ctx, at+"."+strconv.Itoa(i), part); err != nil {
			return "", errs.Newf(errs.Unavailable, "store a large body: %w", err).After(time.Second)
		}
	}
	return at + "/" + strconv.Itoa(n), nil
}

// spillFor stores the body of a request to the service.
func (b *Bus) spillFor(t Target) func(ctx context.Context, body []byte) (string, error) {
	return func(ctx context.Context, body []byte) (string, error) {
		return b.send(ctx, kindSpill, t.Service, t.Project, body)
	}
}

// large is a name that [Bus.send] gave.
type large struct {
	stream, at string
	pieces     int
}

// addressed reads the name of a body that is for this service.
func (b *Bus) addressed(name string) (large, error) {
	at, count, _ := strings.Cut(name, "/")
	part := strings.Split(at, ".")
	n, err := strconv.Atoi(count)
	if err != nil || n < 1 || n > maxPieces || len(part) != 3 || part[0] != kindSpill && part[0] != kindBody || part[1] != b.service || !validToken(part[2]) {
		return large{}, fmt.Errorf("large body %q is not for %s", name, b.service)
	}
	return large{largeStream(part[0]), at, n}, nil
}

// receive reads a body that was too large for its message.
func (b *Bus) receive(ctx context.Context, name string) ([]byte, error) {
	l, err := b.addressed(name)
	if err != nil {
		return nil, err
	}
	ctx, cancel := b.bounded(ctx)
	defer cancel()
	body := make([]byte, 0, l.pieces*piece)
	for i := range l.pieces {
		part, err := b.piece(ctx, l.stream, l.at+"."+strconv.Itoa(i))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return nil, fmt.Errorf("the large body %s is gone", name)
		}
		if err != nil {
			return nil, errs.Newf(errs.Unavailable, "read a large body: %w", err)
		}
		body = append(body, part...)
	}
	return body, nil
}

// piece reads one message of a stream by its subject. On a cluster any replica
// answers, and one may be a moment behind.
func (b *Bus) piece(ctx context.Context, stream, subject string) ([]byte, error) {
	for pause := 20 * time.Millisecond; ; pause *= 4 {
		m, err := b.nc.RequestWithContext(ctx, "$JS.API.DIRECT.GET."+stream+"."+subject, nil)
		if err != nil {
			return nil, err
		}
		status := get(m.Header, "Status")
		switch {
		case status == "" && get(m.Header, jetstream.MsgRollup) == "":
			return m.Data, nil
		case status != "" && status != "404":
			return nil, fmt.Errorf("stream %s answers %s %s", stream, status, get(m.Header, "Description"))
		case status == "" || pause > time.Second:
			return nil, jetstream.ErrMsgNotFound
		}
		t := time.NewTimer(pause)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return nil, context.Cause(ctx)
		}
	}
}

// unkeep removes a body that is not needed any more: a mark that the stream
// forgets soon takes the place of each piece. What is left behind by a failure,
// the stream forgets after weeks.
func (b *Bus) unkeep(ctx context.Context, name string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	l, err := b.addressed(name)
	for i := 0; err == nil && i < l.pieces; i++ {
		m := nats.NewMsg(l.at + "." + strconv.Itoa(i))
		m.Header[jetstream.MsgRollup] = []string{jetstream.MsgRollupSubject}
		_, err = b.js.PublishMsg(ctx, m, jetstream.WithMsgTTL(time.Second))
	}
	if err != nil {
		b.log.WarnContext(ctx, "bus.unkeep", "name", name, "err", err)
	}
}

// asker is the service behind a reply subject of ours.
func asker(reply string) string {
	rest, ok := strings.CutPrefix(reply, "rsp.")
	service, _, more := strings.Cut(rest, ".")
	if !ok || !more {
		return ""
	}
	return service
}
