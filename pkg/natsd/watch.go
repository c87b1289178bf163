package natsd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// Questions that the user [UserWatch] may ask, of every server at once.
const (
	askVars  = "$SYS.REQ.SERVER.PING.VARZ"
	askLeafs = "$SYS.REQ.SERVER.PING.LEAFZ"
)

// Leafs is what the servers of an instance say of their leaf connections.
type Leafs struct {
	Hubs   []string // of others, which are to be joined: host:port
	Joined int      // so many of those are there
	Guests int      // instances that have joined here
}

// Missing returns an error when a hub that is to be joined is not there.
func (l Leafs) Missing() error {
	if l.Joined < len(l.Hubs) {
		return fmt.Errorf("%d of %d leaf connections to hubs are there", l.Joined, len(l.Hubs))
	}
	return nil
}

// errSilent says that no server answers: it may not be one of ours, or be away.
var errSilent = errors.New("NATS does not answer for its own account")

// AskLeafs asks the servers that nc, a connection of [UserWatch] or [UserSys],
// reaches: it need not be in their process.
func AskLeafs(ctx context.Context, nc *nats.Conn) (Leafs, error) {
	var l Leafs
	vars, err := askAll[server.Varz](ctx, nc, askVars)
	if err != nil {
		return l, err
	}
	made, err := askAll[server.Leafz](ctx, nc, askLeafs)
	if err != nil {
		return l, err
	}
	for _, v := range vars {
		for _, r := range v.LeafNode.Remotes {
			for _, addr := range r.URLs { // natsd writes one for each
				if u, err := url.Parse(addr); err == nil {
					addr = u.Host // the rest may be a secret
				}
				l.Hubs = append(l.Hubs, addr)
			}
		}
	}
	for _, m := range made {
		for _, leaf := range m.Leafs {
			if leaf.IsSpoke {
				l.Joined++
			} else {
				l.Guests++
			}
		}
	}
	return l, nil
}

// How long the first answer may take, and how long it is waited for another:
// nobody knows how many servers there are.
const (
	firstAnswer = time.Second
	nextAnswer  = 200 * time.Millisecond
)

func askAll[T any](ctx context.Context, nc *nats.Conn, subject string) (all []T, err error) {
	inbox := nc.NewInbox()
	sub, err := nc.SubscribeSync(inbox)
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", subject, err)
	}
	defer sub.Unsubscribe() //nolint:errcheck // nothing more is asked
	if err := nc.PublishRequest(subject, inbox, nil); err != nil {
		return nil, fmt.Errorf("ask %s: %w", subject, err)
	}
	for within := firstAnswer; ; within = nextAnswer {
		wait, cancel := context.WithTimeout(ctx, within)
		m, err := sub.NextMsgWithContext(wait)
		cancel()
		switch {
		case err != nil && ctx.Err() != nil:
			return nil, fmt.Errorf("ask %s: %w", subject, context.Cause(ctx))
		case err != nil && len(all) > 0:
			return all, nil
		case err != nil || len(m.Data) == 0: // nobody answers to the subject
			return nil, errSilent
		}
		var reply struct {
			Data T `json:"data"`
		}
		if err := json.Unmarshal(m.Data, &reply); err != nil {
			return nil, fmt.Errorf("answer to %s: %w", subject, err)
		}
		all = append(all, reply.Data)
	}
}
