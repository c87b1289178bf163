package bus

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Conn is the connection in account HUB, for what its user may do there beside
// presence.
func (h *Hub) Conn() *nats.Conn { return h.b.nc }

// keptAgain is the wait between two looks at what the stream has.
const keptAgain = 20 * time.Millisecond

// AnnounceKept is [Hub.Announce] that waits until the stream of this instance
// has it, as long as ctx lasts. data must differ from what was announced before.
// The stream is looked at, since it acknowledges nothing, see [ProvisionHub].
func (h *Hub) AnnounceKept(ctx context.Context, slug string, header nats.Header, data []byte) error {
	ctx, cancel := h.b.bounded(ctx)
	defer cancel()
	if err := h.Announce(ctx, slug, header, data); err != nil {
		return err
	}
	subject := h.on.Prefix + slug
	for {
		// A question of the stream itself needs no right but this one.
		m, err := h.b.nc.RequestWithContext(ctx, "$JS.API.DIRECT.GET."+h.on.Stream+"."+subject, nil)
		switch {
		case err == nil && get(m.Header, jetstream.SubjectHeader) == subject && bytes.Equal(m.Data, data):
			return nil
		case err != nil && !errors.Is(err, nats.ErrNoResponders):
			return fmt.Errorf("announce: is it kept: %w", err)
		}
		again := time.NewTimer(keptAgain) // it is on its way; a cluster copies it first, or has no leader now
		select {
		case <-again.C:
		case <-ctx.Done():
			again.Stop()
			return fmt.Errorf("announce: the stream does not have it: %w", context.Cause(ctx))
		}
	}
}
