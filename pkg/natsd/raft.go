package natsd

import (
	"sync"
	"time"
	_ "unsafe" // for go:linkname

	_ "github.com/nats-io/nats-server/v2/server" // whose variables these are
)

// The server has no option for how soon its Raft groups elect a new leader, only
// variables, which its own tests set. By default a follower waits four to nine
// seconds for its leader; a stream that loses its leader takes no message for
// as long, and a consumer gives none out. What is waited for is a beat of the
// leader, so that the beat is shortened with it. Elections that a slow disk or a
// busy machine brings about cost a moment and lose nothing.
//
// TestElectionsTakeAsLongAsIsSetHere fails when an update of the server renames
// or changes what stands here.

//go:linkname minElectionTimeout github.com/nats-io/nats-server/v2/server.minElectionTimeout
var minElectionTimeout time.Duration

//go:linkname maxElectionTimeout github.com/nats-io/nats-server/v2/server.maxElectionTimeout
var maxElectionTimeout time.Duration

//go:linkname hbInterval github.com/nats-io/nats-server/v2/server.hbInterval
var hbInterval time.Duration

// How long a follower waits for its leader, at least and at most, and how often
// a leader that has nothing to say says so.
const (
	electionAtLeast = 1500 * time.Millisecond
	electionAtMost  = 3500 * time.Millisecond
	leaderBeat      = 400 * time.Millisecond
)

// electSooner sets the times, once: groups that run read them.
var electSooner = sync.OnceFunc(func() {
	minElectionTimeout, maxElectionTimeout, hbInterval = electionAtLeast, electionAtMost, leaderBeat
})
