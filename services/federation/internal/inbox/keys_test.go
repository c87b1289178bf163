package inbox_test

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nkeys"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/services/federation/internal/inbox"
	"github.com/commandcenter/commandcenter/services/federation/internal/instance"
)

func keys(t *testing.T, secret string) *inbox.Keys {
	t.Helper()
	k, err := inbox.NewKeys([]byte(secret))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestTheKeysFollowFromTheSecret(t *testing.T) {
	t.Parallel()
	a, same, other := keys(t, "one"), keys(t, "one"), keys(t, "two")
	if a.Public() != same.Public() || a.SealsPublic() != same.SealsPublic() || a.Public() == other.Public() || a.SealsPublic() == other.SealsPublic() {
		t.Errorf("%s %s %s", a.Public(), same.Public(), other.Public())
	}
	if !nkeys.IsValidPublicUserKey(a.Public()) || !nkeys.IsValidPublicCurveKey(a.SealsPublic()) {
		t.Errorf("%s, %s", a.Public(), a.SealsPublic())
	}
	sig, err := a.Sign([]byte("text"))
	if err != nil {
		t.Fatal(err)
	}
	if err := inbox.Check(a.Public(), []byte("text"), sig); err != nil {
		t.Error(err)
	}
	for key, text := range map[string]string{other.Public(): "text", a.Public(): "texts", "": "text", a.SealsPublic(): "text"} {
		if inbox.Check(key, []byte(text), sig) == nil {
			t.Errorf("%q by %q is believed", text, key)
		}
	}
}

func TestASignatureIsVerifiedBeforeAnythingElseAndRefusalsAreCountedByReason(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)
	var h heard
	r := prometheus.NewRegistry()
	p, err := inbox.NewPresence(inbox.Config{Catalog: &h, Collision: &instance.Collision{}, Registerer: r, Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	data, err := instance.Heartbeat{Slug: "apollo", Sent: now, Sequence: 1, Version: "1.0.0"}.Encode(keys(t, "one"))
	if err != nil {
		t.Fatal(err)
	}
	for n, body := range []string{
		string(data), strings.Replace(string(data), "1.0.0", "1.0.1", 1), strings.Replace(string(data), keys(t, "one").Public(), keys(t, "two").Public(), 1), "hello",
	} {
		err := p.Hear(t.Context(), bus.Presence{Slug: "apollo", Data: []byte(body), Time: now})
		if (err == nil) != (n == 0) || n > 0 && n < 3 && !errors.Is(err, instance.ErrSignature) {
			t.Errorf("%d: %v", n, err)
		}
	}
	if len(h) != 1 || h[0].Key != keys(t, "one").Public() {
		t.Errorf("heard %+v", h)
	}
	var want strings.Builder
	want.WriteString("# HELP federation_heartbeats_total Heartbeats that came in, by what became of them.\n# TYPE federation_heartbeats_total counter\n")
	for _, c := range []struct {
		outcome string
		n       int
	}{{"heard", 1}, {"signature", 2}, {"unreadable", 1}} {
		fmt.Fprintf(&want, "federation_heartbeats_total{outcome=%q} %d\n", c.outcome, c.n)
	}
	if err := testutil.GatherAndCompare(r, strings.NewReader(want.String()), "federation_heartbeats_total"); err != nil {
		t.Error(err)
	}
}
