package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go"
)

// Conn is the connection in account HUB, for what its user may do there beside
// presence.
func (h *Hub) Conn() *nats.Conn { return h.b.nc }

// AnnounceKept is [Hub.Announce] that waits until the stream of this instance
// has it, as long as ctx lasts.
func (h *Hub) AnnounceKept(ctx context.Context, slug string, header nats.Header, data []byte) error {
	if !validToken(slug) {
		return fmt.Errorf("announce: %q is not a name", slug)
	}
	m, err := h.b.nc.RequestMsgWithContext(ctx, &nats.Msg{Subject: h.on.Prefix + slug, Header: header, Data: data})
	if err != nil {
		if refused := h.b.nc.LastError(); errors.Is(refused, nats.ErrPermissionViolation) && strings.Contains(refused.Error(), `"`+h.on.Prefix+slug+`"`) {
			return fmt.Errorf("announce: %w (the user was provisioned for another slug: provision again)", refused)
		}
		return fmt.Errorf("announce: %w", err)
	}
	var ack struct {
		Stream string `json:"stream"`
		Error  *struct {
			Description string `json:"description"`
		} `json:"error"`
	}
	switch err := json.Unmarshal(m.Data, &ack); {
	case err != nil:
		return fmt.Errorf("announce: the answer is no acknowledgement: %w", err)
	case ack.Error != nil:
		return fmt.Errorf("announce: %s", ack.Error.Description)
	case ack.Stream != h.on.Stream:
		return fmt.Errorf("announce: acknowledged by stream %q", ack.Stream)
	}
	return nil
}
