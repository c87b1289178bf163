package bus

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

func inHand(seq uint64, project string, size int) *entry {
	return &entry{md: &jetstream.MsgMetadata{Sequence: jetstream.SequencePair{Stream: seq}}, lane: laneOf("cmd." + project + ".auth.count"), size: size}
}

func TestProjectsTakeTurnsAndHoldTheirShareOfWorkers(t *testing.T) {
	t.Parallel()
	h := newHold(ConsumerConfig{Workers: 3, Share: 2, Ahead: 100})
	for seq := range uint64(10) {
		h.add(inHand(seq, "p1", 0))
	}
	h.add(inHand(10, "p2", 0))
	h.add(inHand(11, "p2", 0))
	var got []uint64
	var running []*entry
	for range 3 {
		e, _ := h.take()
		got = append(got, e.md.Sequence.Stream)
		running = append(running, e)
	}
	if want := []uint64{0, 10, 1}; !slices.Equal(got, want) {
		t.Fatalf("took %v, want %v", got, want)
	}
	h.done(running[1])
	if e, _ := h.take(); e.md.Sequence.Stream != 11 { // p1 has its share
		t.Errorf("took %d", e.md.Sequence.Stream)
	}
}

func TestAFloodGivesUpItsLatestForWhatComesBehindIt(t *testing.T) {
	t.Parallel()
	h := newHold(ConsumerConfig{Workers: 2, Share: 1, Ahead: 4})
	for seq := range uint64(4) {
		if back := h.add(inHand(seq, "p1", 0)); back != nil {
			t.Fatalf("gave back %v", back)
		}
	}
	if back := h.add(inHand(4, "p1", 0)); len(back) != 1 || back[0].md.Sequence.Stream != 4 {
		t.Errorf("the flood itself: gave back %v", back)
	}
	if back := h.add(inHand(5, "p2", 0)); len(back) != 1 || back[0].md.Sequence.Stream != 3 {
		t.Errorf("another project: gave back %v", back)
	}
	if back := h.add(inHand(6, "p2", aheadBytes)); len(back) == 0 {
		t.Error("a large message made nobody give up anything")
	}
	if h.bytes > aheadBytes || len(h.held) > 4 {
		t.Errorf("%d messages of %d bytes in hand", len(h.held), h.bytes)
	}
}

func TestWhatWaitsHoldsNoWorkerAndIsGivenUpToo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHold(ConsumerConfig{Workers: 2, Share: 1, Ahead: 2, Patience: time.Hour})
		for seq := range uint64(2) {
			h.add(inHand(seq, "p1", 0))
		}
		for range 2 { // the share is one
			e, _ := h.take()
			e.t.tries = 7
			h.again(e, time.Minute)
		}
		if back := h.add(inHand(2, "p2", 0)); len(back) != 1 || back[0].md.Sequence.Stream != 1 {
			t.Fatalf("gave back %v", back)
		}
		e, _ := h.take()
		h.done(e)
		began := time.Now()
		if e, _ = h.take(); e.md.Sequence.Stream != 0 || time.Since(began) != time.Minute {
			t.Errorf("took %d after %v", e.md.Sequence.Stream, time.Since(began))
		}
		h.done(e)
		h.add(inHand(1, "p1", 0)) // it comes again, and is known
		if e, _ = h.take(); e.t.tries != 7 {
			t.Errorf("tries %d", e.t.tries)
		}
		h.add(inHand(1, "p1", 0)) // delivered twice
		if back := h.close(); len(back) != 0 {
			t.Errorf("gave back %v", back)
		}
	})
}

// heavy is a message of a stream, as far as its weight goes.
type heavy struct {
	jetstream.Msg
	header nats.Header
	data   []byte
}

func (m heavy) Subject() string      { return "cmd.p1.a.b" }
func (m heavy) Reply() string        { return "$JS.ACK.x" }
func (m heavy) Headers() nats.Header { return m.header }
func (m heavy) Data() []byte         { return m.data }

func TestAMessageWeighsItsHeadersToo(t *testing.T) {
	t.Parallel()
	if got := weight(heavy{header: nats.Header{"Cc-Identity": {"0123456789"}}, data: make([]byte, 100)}); got != 10+9+11+10+100 {
		t.Errorf("%d bytes", got)
	}
}
