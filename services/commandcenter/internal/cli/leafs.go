package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/commandcenter/commandcenter/pkg/natsd"
)

// partHub is the finding about leaf connections.
const partHub = "leaf connections"

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
	l, err := natsd.AskLeafs(ctx, nc)
	if err != nil {
		return []finding{skip(partHub, unseen+": "+err.Error(), "")}
	}
	return leafFindings(l.Hubs, l.Joined, l.Guests)
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
