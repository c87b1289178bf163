package outbox_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/commandcenter/commandcenter/pkg/outbox"
	"github.com/commandcenter/commandcenter/pkg/pg/pgtest"
)

// silent is a publisher on a cluster whose leader was lost: what is published
// arrives, and nobody answers.
type silent struct{ js jetstream.JetStream }

func (s silent) JetStream() jetstream.JetStream { return s.js }

func (silent) StreamState(context.Context, string) (string, uint64, error) { return "epoch", 0, nil }

func (silent) Publish(context.Context, string, string, nats.Header, []byte) (string, uint64, error) {
	return "", 0, errors.New("not one by one")
}

func TestWhatALostLeaderWasGivenIsSoonGivenToTheNext(t *testing.T) {
	t.Parallel()
	ns, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: -1, NoLog: true, NoSigs: true, Cluster: server.ClusterOpts{Name: "c", Host: "127.0.0.1", Port: -1}})
	must(t, err)
	ns.Start()
	t.Cleanup(func() { ns.Shutdown(); ns.WaitForShutdown() })
	if !ns.ReadyForConnections(patience) {
		t.Fatal("the server does not start")
	}
	nc, err := nats.Connect(ns.ClientURL())
	must(t, err)
	t.Cleanup(nc.Close)
	given := make(chan *nats.Msg, 100)
	_, err = nc.ChanSubscribe("evt.>", given)
	must(t, err)
	js, err := jetstream.New(nc)
	must(t, err)
	db := pgtest.New(t, schema)
	say(t, db, 1, 1)
	start(t, db, silent{js: js}, outbox.Silence(100*time.Millisecond))
	for range 2 { // it would be ten seconds
		select {
		case <-given:
		case <-time.After(patience / 4):
			t.Fatal("it is not given again")
		}
	}
}
