package bus

import (
	"log/slog"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

// message is one of a push consumer, at its places in consumer and stream.
func message(consumer, stream string) *nats.Msg {
	return &nats.Msg{Subject: "evt.x", Reply: "$JS.ACK.EVENTS.c.1." + stream + "." + consumer + ".1700000000000000000.0", Sub: &nats.Subscription{}, Data: []byte("x")}
}

func TestAGapOrAMissedMessageMakesAFollowerStartBehindWhatItHad(t *testing.T) {
	t.Parallel()
	var heard []uint64
	o := &ordered{b: &Bus{log: slog.New(slog.DiscardHandler)}, gen: 2, kick: make(chan struct{}, 1), handle: func(_ *nats.Msg, seq uint64, at time.Time) {
		if at.Unix() != 1_700_000_000 {
			t.Errorf("time %v", at)
		}
		heard = append(heard, seq)
	}}
	kicked := func() bool {
		select {
		case <-o.kick:
			return true
		default:
			return false
		}
	}
	o.deliver(1, message("1", "9")) // of the consumer before
	o.deliver(2, message("1", "10"))
	o.deliver(2, message("2", "14"))
	if kicked() || len(heard) != 2 || o.next != 15 {
		t.Fatalf("heard %v, next %d", heard, o.next)
	}
	o.deliver(2, message("4", "20"))
	o.deliver(2, &nats.Msg{Subject: "evt.x", Sub: &nats.Subscription{}, Data: []byte("no metadata")})
	if !kicked() || len(heard) != 2 || o.next != 15 {
		t.Errorf("after a gap: heard %v, next %d", heard, o.next)
	}
	beat := &nats.Msg{Header: nats.Header{"Status": {"100"}, "Nats-Last-Consumer": {"2"}}}
	o.deliver(2, beat)
	if kicked() {
		t.Error("a beat that agrees made it start again")
	}
	beat.Header["Nats-Last-Consumer"] = []string{"3"}
	o.deliver(2, beat)
	if !kicked() {
		t.Error("a beat that tells of a message that never came was ignored")
	}
	o.reset()
	o.reset() // asked twice is asked once
	if !kicked() || kicked() {
		t.Error("resets add up")
	}
	o.over = true
	o.deliver(2, message("3", "15"))
	if len(heard) != 2 {
		t.Error("heard after the end")
	}
}

func TestAFollowerGoesBackWhenTheStreamHasLostItsEnd(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		epoch      string
		last, want uint64
	}{
		"nothing was lost":      {"a", 14, 15},
		"more has come":         {"a", 20, 15},
		"the end is lost":       {"a", 11, 12},
		"everything is lost":    {"a", 0, 1},
		"it is another stream":  {"b", 20, 1},
		"another, and an empty": {"b", 0, 1},
	} {
		o := &ordered{epoch: "a", next: 15}
		o.place(c.epoch, c.last)
		if o.next != c.want || o.epoch != c.epoch {
			t.Errorf("%s: goes on at %d of %s, want %d", name, o.next, o.epoch, c.want)
		}
	}
}
