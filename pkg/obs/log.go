package obs

import (
	"context"
	"io"
	"log/slog"
	"regexp"
	"strings"

	"go.opentelemetry.io/otel/trace"

	"github.com/commandcenter/commandcenter/pkg/tenant"
)

// Log formats.
const (
	FormatJSON = "json"
	FormatText = "text"
)

// Redacted stands where a secret would.
const Redacted = "[redacted]"

// NewLogger returns a logger that writes one line per record to w: JSON, or
// key=value when format is [FormatText]. Secrets are redacted by the name of
// their attribute, and passwords in addresses by their form.
func NewLogger(w io.Writer, level slog.Leveler, format string) *slog.Logger {
	o := &slog.HandlerOptions{Level: level, ReplaceAttr: redact}
	var h slog.Handler = slog.NewJSONHandler(w, o)
	if format == FormatText {
		h = slog.NewTextHandler(w, o)
	}
	return slog.New(contextual{h})
}

// Discard returns a logger that drops everything, for tests and defaults.
func Discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

// secretSuffixes end the names of attributes that are never written.
var secretSuffixes = []string{"password", "passwd", "token", "secret", "authorization", "cookie", "credentials", "seed"}

// Secret reports whether an attribute or setting of this name holds a secret.
func Secret(name string) bool {
	n := strings.ToLower(name)
	for _, s := range secretSuffixes {
		if strings.HasSuffix(n, s) {
			return true
		}
	}
	return n == "key" || strings.HasSuffix(n, "_key") || strings.HasSuffix(n, "-key") || strings.HasSuffix(n, "apikey")
}

var userinfo = regexp.MustCompile(`://([^/\s:@]*):[^/\s@]+@`)

// RedactText blanks passwords of addresses (scheme://user:password@host).
func RedactText(s string) string {
	if !strings.Contains(s, "://") {
		return s
	}
	return userinfo.ReplaceAllString(s, "://$1:"+Redacted+"@")
}

func redact(_ []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() != slog.KindGroup && Secret(a.Key) {
		return slog.String(a.Key, Redacted)
	}
	switch a.Value.Kind() {
	case slog.KindString:
		if s := a.Value.String(); strings.Contains(s, "://") {
			return slog.String(a.Key, RedactText(s))
		}
	case slog.KindAny:
		if err, ok := a.Value.Any().(error); ok {
			return slog.String(a.Key, RedactText(err.Error()))
		}
	}
	return a
}

// contextual adds what the context knows to each record.
type contextual struct{ slog.Handler }

func (h contextual) Handle(ctx context.Context, r slog.Record) error {
	if sc := trace.SpanContextFromContext(ctx); sc.HasTraceID() {
		r.AddAttrs(slog.String("trace_id", sc.TraceID().String()))
	}
	if id := RequestID(ctx); id != "" {
		r.AddAttrs(slog.String("request_id", id))
	}
	if id := tenant.From(ctx); id.Project != tenant.Instance || id.Principal != "" {
		r.AddAttrs(slog.String("project", id.Project.Token()), slog.String("principal", id.Principal))
	}
	return h.Handler.Handle(ctx, r)
}

func (h contextual) WithAttrs(as []slog.Attr) slog.Handler {
	return contextual{h.Handler.WithAttrs(as)}
}
func (h contextual) WithGroup(name string) slog.Handler { return contextual{h.Handler.WithGroup(name)} }

type requestIDKey struct{}

// WithRequestID returns a context that carries the id of the request that
// caused the work.
func WithRequestID(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, requestIDKey{}, id)
}

// RequestID returns the id of the request that caused the work, "" when none.
func RequestID(ctx context.Context) string {
	id, _ := ctx.Value(requestIDKey{}).(string)
	return id
}
