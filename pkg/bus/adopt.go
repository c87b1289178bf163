package bus

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/commandcenter/commandcenter/pkg/errs"
)

// adopt is for a call that nobody has noted: another waits for its answer right
// now, or did when its edge died. The stream has what that edge was given, so that
// this one answers in its place. What the stream has not any more the service has,
// which alone knows the body that it was.
func (p *pendingCommand) adopt(ctx context.Context, seq uint64) (*Answer, error) {
	h, err := p.b.stillThere(ctx, seq)
	if err != nil {
		return nil, errs.Newf(errs.Unavailable, "the stream does not show the first call: %w", err).After(time.Second)
	}
	if h == nil || get(h, headerCommand) != p.id.String() {
		if st, err := p.ask(ctx); st != nil || err != nil { // it has just run
			return p.told(st, err)
		}
		return nil, errs.Newf(errs.Unavailable, "%s has the first call with this Idempotency-Key, and does not answer", p.t.Service).After(time.Second)
	}
	accepted := acceptedAt(h, time.Time{})
	wait, err := strconv.ParseInt(get(h, headerWait), 10, 64)
	if err != nil || time.Now().Before(accepted.Add(time.Duration(wait)*time.Millisecond)) {
		return nil, errInHand
	}
	if get(h, headerBody) != hex.EncodeToString(p.sum[:]) {
		return nil, errOtherBody
	}
	p.accepted = accepted
	a, err := p.pending(ctx)
	if a != nil {
		a.Replayed = get(h, headerObject) != p.object || p.object == ""
	}
	return a, err
}

// stillThere returns the headers of a command that is on the stream, nil when it is
// not there any more.
func (b *Bus) stillThere(ctx context.Context, seq uint64) (nats.Header, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	m, err := b.nc.RequestWithContext(ctx, "$JS.API.STREAM.MSG.GET."+StreamCommands, fmt.Appendf(nil, `{"seq":%d}`, seq))
	if err != nil {
		return nil, err
	}
	var r struct {
		Error   *jetstream.APIError `json:"error"`
		Message struct {
			Header []byte `json:"hdrs"`
		} `json:"message"`
	}
	switch err := json.Unmarshal(m.Data, &r); {
	case err != nil:
		return nil, err
	case r.Error != nil && r.Error.ErrorCode == jetstream.JSErrCodeMessageNotFound:
		return nil, nil
	case r.Error != nil:
		return nil, r.Error
	}
	h, err := nats.DecodeHeadersMsg(r.Message.Header)
	if errors.Is(err, nats.ErrBadHeaderMsg) {
		return nil, nil // not one of ours
	}
	return h, err
}
