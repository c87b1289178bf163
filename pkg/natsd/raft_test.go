package natsd

import (
	"testing"
	"time"
)

// What the server waits by itself, as this version of it has it. Read before any
// test makes a server.
var serverElects = [...]time.Duration{minElectionTimeout, maxElectionTimeout, hbInterval}

func TestElectionsTakeAsLongAsIsSetHere(t *testing.T) {
	t.Parallel()
	if want := [...]time.Duration{4 * time.Second, 9 * time.Second, time.Second}; serverElects != want {
		t.Errorf("the server elects by %v, want %v: it has changed, and what is set here has to be thought over", serverElects, want)
	}
	electSooner()
	if got := [...]time.Duration{minElectionTimeout, maxElectionTimeout, hbInterval}; got != [...]time.Duration{electionAtLeast, electionAtMost, leaderBeat} {
		t.Errorf("set to %v", got)
	}
}
