package obs_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/trace"

	"github.com/commandcenter/commandcenter/pkg/app"
	"github.com/commandcenter/commandcenter/pkg/obs"
	"github.com/commandcenter/commandcenter/pkg/tenant"
)

// hidden is a value that says itself what is written of it.
type hidden struct{}

func (hidden) LogValue() slog.Value {
	return slog.GroupValue(slog.String("token", "hush11"), slog.String("name", "Ada"))
}

func TestSecretsNeverReachTheLog(t *testing.T) {
	t.Parallel()
	for _, format := range []string{obs.FormatJSON, obs.FormatText} {
		var out bytes.Buffer
		log := obs.NewLogger(&out, slog.LevelInfo, format).With("api_key", "hush1").WithGroup("g")
		log.Info("x", "password", "hush2", "Authorization", "Bearer hush3", slog.Group("in", "refresh_token", "hush4", "seed", []byte("hush5")),
			"url", "postgres://me:hush6@db/x", "hub", "nats://hush12@hub:4222", "dsn", "host=db user=me password='hush13 hush14' dbname=x", "err", errors.New("dial nats://u:hush7@n:4222: refused"), "key", "hush8", "client-secret", "hush9",
			"tokens", 7, "keyboard", "qwerty", "note", "a plain word")
		log.Debug("not written")
		log.Warn("cannot reach postgres://me:hush10@db/x", "who", hidden{}, "member", slog.GroupValue(slog.Any("inner", hidden{})))
		s := out.String()
		if strings.Contains(s, "hush") || strings.Contains(s, "not written") {
			t.Errorf("%s: %s", format, s)
		}
		for _, want := range []string{"qwerty", "a plain word", obs.Redacted, "//me:", "7"} {
			if !strings.Contains(s, want) {
				t.Errorf("%s: no %q in %s", format, want, s)
			}
		}
	}
	if got := obs.RedactText("see https://example.org/a:b@c"); got != "see https://example.org/a:b@c" {
		t.Errorf("an address without a password was changed: %s", got)
	}
}

func TestALineSaysWhoseWorkItIs(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	log := obs.NewLogger(&out, slog.LevelInfo, obs.FormatJSON)
	id, err := trace.TraceIDFromHex("0af7651916cd43dd8448eb211c80319c")
	if err != nil {
		t.Fatal(err)
	}
	ctx := trace.ContextWithSpanContext(t.Context(), trace.NewSpanContext(trace.SpanContextConfig{TraceID: id, SpanID: trace.SpanID{1}}))
	ctx = obs.WithRequestID(ctx, "r-1")
	ctx = tenant.With(ctx, tenant.Identity{Project: 42, Principal: "user:7"})
	log.InfoContext(ctx, "x")
	var line map[string]any
	if err := json.Unmarshal(out.Bytes(), &line); err != nil {
		t.Fatal(err)
	}
	for k, want := range map[string]string{"trace_id": "0af7651916cd43dd8448eb211c80319c", "request_id": "r-1", "project": "p42", "principal": "user:7", "msg": "x"} {
		if line[k] != want {
			t.Errorf("%s = %v, want %s", k, line[k], want)
		}
	}
	out.Reset()
	obs.Discard().Info("nothing")
	log.Info("plain")
	if strings.Contains(out.String(), "trace_id") || strings.Contains(out.String(), "project") || obs.RequestID(t.Context()) != "" {
		t.Errorf("a line without a context says too much: %s", out.String())
	}
}

// The tracer provider is the process's, so these run one after another.
func TestTracesGoToTheEndpointAndExistWithoutOne(t *testing.T) { //nolint:paralleltest // otel's globals
	got := make(chan string, 1)
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			t.Error(err)
		}
		select {
		case got <- r.URL.Path:
		default:
		}
	}))
	defer collector.Close()
	shutdown, err := obs.SetupTracing(t.Context(), "test", collector.URL)
	if err != nil {
		t.Fatal(err)
	}
	_, span := otel.Tracer("x").Start(t.Context(), "work")
	if !span.IsRecording() {
		t.Error("a span is not recorded although there is an endpoint")
	}
	span.End()
	if err := shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	select {
	case path := <-got:
		if path != "/v1/traces" {
			t.Errorf("sent to %s", path)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("nothing was sent")
	}
	shutdown, err = obs.SetupTracing(t.Context(), "test", "")
	if err != nil {
		t.Fatal(err)
	}
	ctx, span := otel.Tracer("x").Start(t.Context(), "work")
	if span.IsRecording() || !trace.SpanContextFromContext(ctx).HasTraceID() {
		t.Error("without an endpoint: want a trace id, and nothing recorded")
	}
	span.End()
	if err := shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"collector:4318", "ftp://x", "http://"} {
		if _, err := obs.SetupTracing(t.Context(), "test", bad); err == nil {
			t.Errorf("endpoint %q was accepted", bad)
		}
	}
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

func TestOpsListenerShowsMetricsAndHealth(t *testing.T) {
	t.Parallel()
	down := make(chan error, 1)
	var err error
	o := obs.NewOps("127.0.0.1:0", obs.Registry(), obs.Discard(), app.Check{Name: "db", Check: func(context.Context) error {
		select {
		case err = <-down:
		default:
		}
		return err
	}})
	if err := o.Start(t.Context()); err != nil || o.Name() != "ops" {
		t.Fatal(err)
	}
	base := "http://" + o.Addr()
	if code, body := get(t, base+"/metrics"); code != 200 || !strings.Contains(body, "go_goroutines") {
		t.Errorf("metrics: %d", code)
	}
	if code, _ := get(t, base+"/health/live"); code != 200 {
		t.Errorf("live: %d", code)
	}
	if code, body := get(t, base+"/health/ready"); code != 200 || body != "db healthy\n" {
		t.Errorf("ready: %d %q", code, body)
	}
	down <- errors.New("gone")
	if code, body := get(t, base+"/health/ready"); code != 503 || body != "db unhealthy\n" {
		t.Errorf("ready: %d %q", code, body)
	}
	if err := obs.NewOps(o.Addr(), obs.Registry(), obs.Discard()).Start(t.Context()); err == nil {
		t.Error("a taken address was taken again")
	}
	if err := o.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-o.Failed():
		t.Errorf("an orderly stop is a failure: %v", err)
	default:
	}
}
