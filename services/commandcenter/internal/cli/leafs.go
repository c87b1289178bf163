package cli

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/commandcenter/commandcenter/pkg/natsd"
)

// partHub is the finding about leaf connections.
const partHub = "leaf connections"

// reply is what a NATS server says of itself.
type reply[T any] struct {
	Data T `json:"data"`
}

// checkLeafs asks the NATS servers, in their own account, which hubs they join
// and which of those are there: the service that looks after the hub may be
// another process than theirs, and does not know. There is no finding without
// leaf connections.
func (e *env) checkLeafs(ctx context.Context) []finding {
	const unseen = "cannot be seen from here"
	nc, err := e.busAs(natsd.UserSys)
	if err != nil {
		return []finding{skip(partHub, unseen+": "+err.Error(), "")}
	}
	defer nc.Close()
	const within = 500 * time.Millisecond
	wanted, err := gather[reply[server.Varz]](ctx, nc, "$SYS.REQ.SERVER.PING.VARZ", within)
	if err != nil {
		return []finding{skip(partHub, unseen+": "+err.Error(), "")}
	}
	made, err := gather[reply[server.Leafz]](ctx, nc, "$SYS.REQ.SERVER.PING.LEAFZ", within)
	if err != nil || len(wanted) == 0 {
		return []finding{skip(partHub, unseen+": NATS does not answer for its own account", "")}
	}
	var hubs []string
	for _, w := range wanted {
		for _, r := range w.Data.LeafNode.Remotes {
			for _, addr := range r.URLs { // natsd writes one for each
				if u, err := url.Parse(addr); err == nil {
					addr = u.Host // the rest may be a secret
				}
				hubs = append(hubs, addr)
			}
		}
	}
	ours, theirs := 0, 0
	for _, m := range made {
		for _, l := range m.Data.Leafs {
			if l.IsSpoke {
				ours++
			} else {
				theirs++
			}
		}
	}
	return leafFindings(hubs, ours, theirs)
}

// leafFindings judges the hubs that are joined, how many of those are there,
// and how many instances have joined here.
func leafFindings(hubs []string, ours, theirs int) []finding {
	var said []string
	if len(hubs) > 0 {
		said = append(said, fmt.Sprintf("connected to %d of %s: %s", ours, count(len(hubs), "hub"), strings.Join(hubs, ", ")))
	}
	if theirs > 0 {
		said = append(said, count(theirs, "instance")+" joined here")
	}
	switch {
	case len(said) == 0:
		return nil
	case ours < len(hubs):
		return []finding{warn(partHub, strings.Join(said, "; "), "see that the hub runs and can be reached, and that its credentials are current (hub.join); the log of NATS says why it is not connected")}
	}
	return []finding{fine(partHub, strings.Join(said, "; "))}
}
