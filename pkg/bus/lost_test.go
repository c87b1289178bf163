package bus_test

import (
	"bytes"
	"net"
	"sync/atomic"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/bus/bustest"
)

// swallower is a way to the server on which the first message that contains
// what is lost, and nobody is told.
type swallower struct {
	nats.InProcessConnProvider
	what []byte
	lost atomic.Bool
}

func (s *swallower) InProcessConn() (net.Conn, error) {
	c, err := s.InProcessConnProvider.InProcessConn()
	return &swallowed{c, s}, err
}

type swallowed struct {
	net.Conn
	by *swallower
}

func (c *swallowed) Write(b []byte) (int, error) {
	if bytes.Contains(b, c.by.what) && c.by.lost.CompareAndSwap(false, true) {
		return len(b), nil
	}
	return c.Conn.Write(b)
}

func TestANoteThatIsAskedForAndLostIsAskedForAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	conf := w.Config(bustest.Edge)
	lossy := &swallower{InProcessConnProvider: conf.InProcess, what: []byte("$JS.API.DIRECT.GET.KV_" + bus.BucketOperations)}
	conf.InProcess = lossy
	a, err := w.Connect(conf).Command(t.Context(), count, alice, []byte(`{"text":"a"}`), bus.CommandOptions{Key: "k"})
	if err != nil || !lossy.lost.Load() {
		t.Fatalf("%+v, %v; lost %v", a, err, lossy.lost.Load())
	}
}
