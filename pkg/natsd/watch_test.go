package natsd_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/commandcenter/commandcenter/pkg/natsd"
)

func TestLeafConnectionsAreToldToWhoMayOnlyWatch(t *testing.T) {
	t.Parallel()
	hub, spoke := joined(t, guest.Name)
	watch := func(s *natsd.Server) *nats.Conn {
		nc, err := nats.Connect("", nats.InProcessServer(s.InProcess()), nats.UserCredentials(s.Trust.CredsFile(natsd.UserWatch)), nats.CustomInboxPrefix("_INBOX_"+natsd.UserWatch))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(nc.Close)
		return nc
	}
	there, here := watch(hub), watch(spoke)
	if l, err := natsd.AskLeafs(t.Context(), there); err != nil || len(l.Hubs) != 0 || l.Joined != 0 || l.Guests != 1 || l.Missing() != nil {
		t.Errorf("the hub says %+v, %v", l, err)
	}
	if l, err := natsd.AskLeafs(t.Context(), here); err != nil || len(l.Hubs) != 1 || l.Hubs[0] != leafAddr(t, hub) || l.Joined != 1 || l.Guests != 0 || l.Missing() != nil {
		t.Errorf("who joined says %+v, %v", l, err)
	}
	stop, cancel := context.WithTimeout(context.Background(), waits)
	defer cancel()
	if err := hub.Stop(stop); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(waits); ; {
		l, err := natsd.AskLeafs(t.Context(), here)
		if err == nil && l.Missing() != nil && strings.Contains(l.Missing().Error(), "0 of 1") {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("the loss is not told: %+v %v", l, err)
		}
	}
	for _, subject := range []string{"$SYS.REQ.SERVER.PING.CONNZ", "$SYS.REQ.SERVER.x.RELOAD", "$SYS.REQ.CLAIMS.UPDATE"} {
		refused := make(chan error, 1)
		here.SetErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { refused <- err })
		if err := here.Publish(subject, nil); err != nil {
			t.Fatal(err)
		}
		select {
		case err := <-refused:
			if !strings.Contains(err.Error(), subject) {
				t.Error(err)
			}
		case <-time.After(waits):
			t.Errorf("who watches may ask %s", subject)
		}
	}
	admin := connect(t, spoke, natsd.UserHubAdmin)
	if _, err := natsd.AskLeafs(t.Context(), admin); err == nil {
		t.Error("another account is answered")
	}
}
