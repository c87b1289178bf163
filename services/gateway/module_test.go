package gateway_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime/multipart"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nats.go/micro"

	"github.com/commandcenter/commandcenter/pkg/app"
	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/bus/bustest"
	"github.com/commandcenter/commandcenter/pkg/natsd"
	"github.com/commandcenter/commandcenter/pkg/obs"
	authv1 "github.com/commandcenter/commandcenter/proto-events/auth/v1"

	"github.com/commandcenter/commandcenter/services/gateway"
)

func TestCallsGoOverTheBusAndCommandsRunOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h := map[string]string{"Authorization": "Bearer " + w.token("1", "s1"), "Idempotency-Key": "k-1"}
	if got := w.call("GET", "/api/v1/projects/", "", h); got.status != 200 || !strings.Contains(got.body, `"name":"p"`) {
		t.Fatalf("request: %d %s", got.status, got.body)
	}
	first := w.call("POST", "/api/v1/projects/", `{"name":"p"}`, h)
	if first.status != 201 || first.header.Get("Idempotent-Replayed") != "" {
		t.Fatalf("command: %d %s", first.status, first.body)
	}
	again := w.call("POST", "/api/v1/projects/", `{"name":"p"}`, h)
	if again.status != 201 || again.header.Get("Idempotent-Replayed") != "true" || again.body != first.body {
		t.Errorf("again: %d %v", again.status, again.header)
	}
	if got := w.call("POST", "/api/v1/projects/", `{"name":"other"}`, h); got.status != 422 || !strings.Contains(got.body, "Idempotency-Key") {
		t.Errorf("another body under the same key: %d %s", got.status, got.body)
	}
}

func TestAServiceThatIsAwayIsUnavailableAndItsCommandsWait(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h := map[string]string{"Authorization": "Bearer " + w.token("1", "s1")}
	got := w.call("GET", "/api/v1/federation/instances", "", h) // nobody serves federation here
	if got.status != 503 || got.header.Get("Retry-After") == "" {
		t.Errorf("%d %s", got.status, got.body)
	}
	health := w.call("GET", "/health/detailed", "", nil)
	var d struct {
		Status     string
		Components map[string]struct {
			Status  string
			Message *string
		}
	}
	if err := json.Unmarshal([]byte(health.body), &d); err != nil {
		t.Fatal(err)
	}
	if health.status != 503 || d.Components["federation"].Status != "unhealthy" || d.Components["federation"].Message != nil {
		t.Errorf("%d %s", health.status, health.body)
	}
	if d.Components["auth.database"].Status != "healthy" || d.Components["database"].Status != "healthy" || d.Components["bus"].Status != "healthy" {
		t.Errorf("%s", health.body)
	}
	if m := d.Components["knowledge.model"]; m.Status != "degraded" || m.Message == nil || !strings.Contains(*m.Message, "lexical") {
		t.Errorf("%+v", m)
	}
}

func TestALargeFileIsStoredWholeAndALargerOneIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const most = 20 << 20
	for _, c := range []struct{ size, status int }{{most - 1, 201}, {most + 1, 413}, {25 << 20, 413}} {
		var form bytes.Buffer
		m := multipart.NewWriter(&form)
		file, err := m.CreateFormFile("file", "large.txt")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(file, strings.Repeat("0123456789abcde\n", c.size/16+1)[:c.size]); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(m.WriteField("category", "docs"), m.Close()); err != nil {
			t.Fatal(err)
		}
		got := w.call("POST", "/api/v1/knowledge/documents", form.String(), map[string]string{
			"Authorization": "Bearer " + w.token("1", "s1"), "Content-Type": m.FormDataContentType(), "Expect": "100-continue",
		})
		if got.status != c.status || c.status == 413 && !strings.Contains(got.body, "larger than 20971520 bytes") {
			t.Errorf("%d bytes: %d %s", c.size, got.status, got.body)
		}
		w.mu.Lock()
		payload := w.payloads["addDocument"]
		w.mu.Unlock()
		var p struct{ Upload bus.ObjectRef }
		if err := json.Unmarshal([]byte(payload), &p); err != nil || p.Upload.Size != most-1 {
			t.Errorf("%d bytes: the service got %+v, %v", c.size, p.Upload, err)
		}
	}
}

func TestAFileWhoseCommandCannotBeSentIsNotKept(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	js, err := jetstream.New(w.Conn(natsd.UserAdmin))
	if err != nil {
		t.Fatal(err)
	}
	if err := js.DeleteStream(t.Context(), bus.StreamCommands); err != nil {
		t.Fatal(err)
	}
	const form = "--B\r\nContent-Disposition: form-data; name=\"category\"\r\n\r\ndocs\r\n" +
		"--B\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.md\"\r\n\r\n# Hello\r\n--B--\r\n"
	got := w.call("POST", "/api/v1/knowledge/documents", form, map[string]string{
		"Authorization": "Bearer " + w.token("1", "s1"), "Content-Type": "multipart/form-data; boundary=B",
	})
	if got.status != 503 || got.header.Get("Retry-After") == "" {
		t.Errorf("%d %s", got.status, got.body)
	}
	s, err := js.Stream(t.Context(), "OBJ_"+bus.BucketBlobs)
	if err != nil {
		t.Fatal(err)
	}
	if info := s.CachedInfo(); info.State.Msgs != 0 || info.State.LastSeq == 0 {
		t.Errorf("%d messages left of %d", info.State.Msgs, info.State.LastSeq)
	}
}

func TestTheGatewayIsSeenOnTheBusWithItsVersion(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m, err := w.Conn(natsd.UserAdmin).Request("$SRV.PING.gateway", nil, bustest.Patience)
	if err != nil {
		t.Fatal(err)
	}
	var ping micro.Ping
	if err := json.Unmarshal(m.Data, &ping); err != nil || ping.Name != "gateway" || ping.Version != gateway.Defaults().Version {
		t.Errorf("%s, %v", m.Data, err)
	}
	if health, err := w.Bus("auth").Health(t.Context(), "gateway"); err != nil || len(health) != 1 || health[0].Status != app.StatusHealthy {
		t.Errorf("%+v, %v", health, err)
	}
}

func TestARevocationHoldsAsSoonAsItIsHeard(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one := map[string]string{"Authorization": "Bearer " + w.token("1", "s1")}
	two := map[string]string{"Authorization": "Bearer " + w.token("2", "s2")}
	for _, h := range []map[string]string{one, two} {
		if got := w.call("GET", "/api/v1/projects/1", "", h); got.status != 200 {
			t.Fatal(got.status, got.body)
		}
	}
	w.mu.Lock()
	w.revoked["s1"] = true
	delete(w.roles[1], 2)
	w.mu.Unlock()
	w.Say(&authv1.SessionRevoked{SessionId: "s1", Version: 1, UserId: 1, Reason: "logout"})
	w.eventually(func() bool { return w.call("GET", "/api/v1/projects/1", "", one).status == 401 })
	if got := w.call("GET", "/api/v1/projects/1", "", two); got.status != 200 {
		t.Errorf("another user was forgotten: %d", got.status)
	}
	w.Say(&authv1.MembershipChanged{ProjectId: 1, MembershipId: "1:2", Version: 2, UserId: 2})
	w.eventually(func() bool { return w.call("GET", "/api/v1/projects/1", "", two).status == 404 })
}

func TestADeletedProjectIsForgotten(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h := map[string]string{"Authorization": "Bearer " + w.token("1", "s1")}
	for _, say := range []func(){
		func() { w.Say(&authv1.ProjectDeleting{ProjectId: 1, Version: 2}) },
		func() { w.Say(&authv1.ProjectDeleted{ProjectId: 1, Version: 3}) },
	} {
		w.mu.Lock()
		w.roles[1] = map[int32]string{1: "owner"}
		w.mu.Unlock()
		w.Say(&authv1.MembershipChanged{ProjectId: 1, MembershipId: "1:1", Version: 3, UserId: 1, Role: "owner"})
		w.eventually(func() bool { return w.call("GET", "/api/v1/projects/1", "", h).status == 200 })
		w.mu.Lock()
		delete(w.roles, 1)
		w.mu.Unlock()
		say()
		w.eventually(func() bool { return w.call("GET", "/api/v1/projects/1", "", h).status == 404 })
	}
}

// eventually waits for what an event brings about.
func (w *world) eventually(ok func() bool) {
	w.t.Helper()
	deadline := time.After(10 * time.Second)
	for tick := time.NewTicker(5 * time.Millisecond); !ok(); {
		select {
		case <-tick.C:
		case <-deadline:
			w.t.Fatal("it did not happen")
		}
	}
}

func TestTheGatewayMayNotDoWhatItsContractDoesNotSay(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c, err := gateway.Permissions()
	if err != nil {
		t.Fatal(err)
	}
	spec := bus.PermissionsFor("gateway", c)
	for _, subject := range spec.Pub {
		if subject == "evt.*.gateway.call.recorded.v1" {
			continue // of the requests that it denies
		}
		if strings.HasPrefix(subject, "evt.") || subject == ">" || strings.HasPrefix(subject, "job.") {
			t.Errorf("may publish %s", subject)
		}
	}
	_ = w
}

func TestAConfigurationAtFaultIsRefusedWhole(t *testing.T) {
	t.Parallel()
	if err := gateway.Defaults().Validate(); err != nil {
		t.Fatal(err)
	}
	c := gateway.Config{
		Addr: "nowhere", CertFile: "a.pem", Origins: []string{"*", "http://a/b"}, TrustedProxies: []string{"x"},
		Anonymous: "often", Reads: "1/x", Writes: "0/hour", Metrics: "maybe", AccessKept: time.Hour, Operations: []string{"login=off"},
	}
	err := c.Validate()
	if err == nil {
		t.Fatal("taken")
	}
	for _, word := range []string{
		"gateway.addr", "gateway.cert_file", "gateway.origins", "gateway.trusted_proxies", "gateway.anonymous", "gateway.reads",
		"gateway.writes", "gateway.metrics", "gateway.max_body", "gateway.command_wait", "gateway.access_kept", "gateway.operation_limits",
	} {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("nothing about %s in %v", word, err)
		}
	}
	if _, err := gateway.New(gateway.Deps{}, gateway.Defaults()); err == nil {
		t.Error("a gateway without a bus was made")
	}
}

func TestAGatewayWithACertificateIsCalledOverTLS(t *testing.T) {
	t.Parallel()
	c := gateway.Defaults()
	if got := c.URL("127.0.0.1:1"); got != "http://127.0.0.1:1" {
		t.Errorf("without: %s", got)
	}
	c.CertFile, c.KeyFile = "cert.pem", "key.pem"
	if got := c.URL("127.0.0.1:1"); got != "https://127.0.0.1:1" {
		t.Errorf("with: %s", got)
	}
}

func TestWiringFailsWithAReason(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	d := gateway.Deps{Bus: w.Bus("gateway"), Log: obs.Discard()}
	for name, change := range map[string]func(*gateway.Config){
		"configuration": func(c *gateway.Config) { c.Metrics = "x" },
		"certificate":   func(c *gateway.Config) { c.CertFile, c.KeyFile = "no.pem", "no.key" },
		"issuer":        func(c *gateway.Config) { c.Issuer = "" },
	} {
		c := gateway.Defaults()
		change(&c)
		if _, err := gateway.New(d, c); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	c := gateway.Defaults()
	c.TrustedProxies = []string{"127.0.0.1", "10.1.2.3/8"}
	d.Registry = obs.Registry()
	m, err := gateway.New(d, c)
	if err != nil {
		t.Fatal(err)
	}
	if len(m.Operations) == 0 || len(m.Checks) == 0 || m.Parts[len(m.Parts)-1].Name() != "gateway.http" {
		t.Errorf("%+v", m)
	}
}
