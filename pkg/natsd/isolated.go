package natsd

import (
	"context"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// isolatedLook is how often a member counts the others that it is connected to.
const isolatedLook = 500 * time.Millisecond

// sendAway watches whether the member still has a majority of the cluster with
// it. One that has lost the others, and they it, acknowledges nothing: no write
// has a quorum there. But its clients would stay, since their connection is
// sound, and be answered by nobody until the network is mended. So it closes
// their connections, once for each time that it loses the others, and they try
// the other members first. Who finds none comes back and stays: with the others
// dead, what needs no stream goes on here.
func (s *Server) sendAway(ctx context.Context, size int) {
	tick := time.NewTicker(isolatedLook)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		others := s.ns.NumRemotes()
		inside := 2*(others+1) > size
		if s.inside.Swap(inside) == inside {
			continue
		}
		if inside {
			s.log.Info("nats.majority", "others", others)
			continue
		}
		s.log.Warn("nats.isolated", "others", others, "members", size, "clients", s.disconnect())
	}
}

// disconnect closes the connections of all clients, and returns how many.
func (s *Server) disconnect() (n int) {
	all, err := s.ns.Connz(&server.ConnzOptions{Limit: 1 << 20})
	if err != nil {
		s.log.Error("nats.isolated", "err", err)
		return 0
	}
	for _, c := range all.Conns {
		if s.ns.DisconnectClientByID(c.Cid) == nil { // or it has just left
			n++
		}
	}
	return n
}
