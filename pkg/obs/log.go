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
	o := &slog.HandlerOptions{Level: level}
	var h slog.Handler = slog.NewJSONHandler(w, o)
	if format == FormatText {
		h = slog.NewTextHandler(w, o)
	}
	return slog.New(contextual{h})
}

// Discard returns a logger that drops everything, for tests and defaults.
func Discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

// secretSuffixes end the names of attributes that are never written.
var secretSuffixes = []string{"password", "passwd", "token", "secret", "authorization", "cookie", "credentials", "seed", "_key", "-key", "apikey"}

// Secret reports whether an attribute or setting of this name holds a secret.
func Secret(name string) bool {
	for _, s := range secretSuffixes {
		if endsWith(name, s) {
			return true
		}
	}
	return strings.EqualFold(name, "key")
}

// endsWith is strings.HasSuffix whatever the case; every attribute of every
// line is asked, so it allocates nothing.
func endsWith(name, suffix string) bool {
	return len(name) >= len(suffix) && strings.EqualFold(name[len(name)-len(suffix):], suffix)
}

var (
	userinfo = regexp.MustCompile(`://([^/\s:@]*):[^/\s@]+@`)
	// A NATS address with one word before the @ carries a token.
	natsToken = regexp.MustCompile(`\b((?:nats|leaf)(?:\+tls)?|tls)://[^/\s:@]+@`)
	pairs     = regexp.MustCompile(`\b(password|passwd|sslpassword)=('[^']*'|\S+)`)
)

// RedactText blanks the secrets that addresses and connection strings carry:
// scheme://user:password@host, nats://token@host, password=….
func RedactText(s string) string {
	if strings.Contains(s, "://") {
		s = userinfo.ReplaceAllString(s, "://$1:"+Redacted+"@")
		s = natsToken.ReplaceAllString(s, "$1://"+Redacted+"@")
	}
	if strings.Contains(s, "passw") {
		s = pairs.ReplaceAllString(s, "$1="+Redacted)
	}
	return s
}

// redact returns a as it may be written. The second result is false when that
// is a itself.
func redact(a slog.Attr) (slog.Attr, bool) {
	switch a.Value.Kind() {
	case slog.KindGroup:
		return redactGroup(a)
	case slog.KindLogValuer:
		r, _ := redact(slog.Attr{Key: a.Key, Value: a.Value.Resolve()})
		return r, true
	}
	if Secret(a.Key) {
		return slog.String(a.Key, Redacted), true
	}
	switch a.Value.Kind() {
	case slog.KindString:
		if was := a.Value.String(); strings.Contains(was, "://") || strings.Contains(was, "passw") {
			if s := RedactText(was); s != was {
				return slog.String(a.Key, s), true
			}
		}
	case slog.KindAny:
		if err, ok := a.Value.Any().(error); ok {
			return slog.String(a.Key, RedactText(err.Error())), true
		}
	}
	return a, false
}

func redactGroup(a slog.Attr) (slog.Attr, bool) {
	members, changed := redactAll(a.Value.Group())
	if !changed {
		return a, false
	}
	return slog.Attr{Key: a.Key, Value: slog.GroupValue(members...)}, true
}

func redactAll(as []slog.Attr) (clean []slog.Attr, changed bool) {
	clean = make([]slog.Attr, len(as))
	for i, a := range as {
		var c bool
		clean[i], c = redact(a)
		changed = changed || c
	}
	return clean, changed
}

// contextual adds what the context knows to each record and takes secrets out.
// The handler's own ReplaceAttr would do the latter too, at twice the price of
// the whole line.
type contextual struct{ slog.Handler }

func (h contextual) Handle(ctx context.Context, r slog.Record) error {
	clean := true
	r.Attrs(func(a slog.Attr) bool {
		_, changed := redact(a)
		clean = !changed
		return clean
	})
	if !clean {
		dirty := r
		r = slog.NewRecord(r.Time, r.Level, r.Message, r.PC)
		dirty.Attrs(func(a slog.Attr) bool {
			a, _ = redact(a)
			r.AddAttrs(a)
			return true
		})
	}
	r.Message = RedactText(r.Message)
	var known [4]slog.Attr
	n := 0
	add := func(key, value string) {
		known[n] = slog.String(key, value)
		n++
	}
	if sc := trace.SpanContextFromContext(ctx); sc.HasTraceID() {
		add("trace_id", sc.TraceID().String())
	}
	if id := RequestID(ctx); id != "" {
		add("request_id", id)
	}
	if id := tenant.From(ctx); id.Project != tenant.Instance || id.Principal != "" {
		add("project", id.Project.Token())
		add("principal", id.Principal)
	}
	r.AddAttrs(known[:n]...)
	return h.Handler.Handle(ctx, r)
}

func (h contextual) WithAttrs(as []slog.Attr) slog.Handler {
	clean, _ := redactAll(as)
	return contextual{h.Handler.WithAttrs(clean)}
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
