package obs_test

import (
	"context"
	"io"
	"log/slog"
	"testing"

	"github.com/commandcenter/commandcenter/pkg/obs"
	"github.com/commandcenter/commandcenter/pkg/tenant"
)

// BenchmarkLine compares a wide line of ours with the same line from the
// standard handler, which redacts nothing and knows no context.
func BenchmarkLine(b *testing.B) {
	ctx := obs.WithRequestID(tenant.With(b.Context(), tenant.Identity{Project: 42, Principal: "user:7"}), "0b7c1d0e")
	write := func(ctx context.Context, l *slog.Logger) {
		l.LogAttrs(ctx, slog.LevelInfo, "request.handled", slog.String("operation", "listCategories"), slog.String("outcome", "2xx"),
			slog.Int64("us", 1234), slog.String("caller", "gateway"), slog.String("path", "/api/v1/knowledge/categories"), slog.Int("status", 200))
	}
	b.Run("slog", func(b *testing.B) {
		l := slog.New(slog.NewJSONHandler(io.Discard, nil))
		b.ReportAllocs()
		for b.Loop() {
			write(ctx, l)
		}
	})
	b.Run("obs", func(b *testing.B) {
		l := obs.NewLogger(io.Discard, slog.LevelInfo, obs.FormatJSON)
		b.ReportAllocs()
		for b.Loop() {
			write(ctx, l)
		}
	})
}
