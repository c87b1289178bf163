package pg_test

import (
	"context"
	"testing"

	"github.com/jmoiron/sqlx"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/commandcenter/commandcenter/pkg/pg/pgtest"
)

func TestEveryTransactionIsASpanThatSaysWhoseRowsItSees(t *testing.T) { // not parallel: the provider is the process's
	recorder := tracetest.NewSpanRecorder()
	before := otel.GetTracerProvider()
	otel.SetTracerProvider(sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder)))
	defer otel.SetTracerProvider(before)
	db := pgtest.New(t, notes)
	ctx, root := otel.Tracer("test").Start(t.Context(), "root")
	must(t, db.InTenant(ctx, 7, func(ctx context.Context, _ *sqlx.Tx) error {
		return db.AcrossProjects(ctx, "to see it", func(context.Context, *sqlx.Tx) error { return nil })
	}))
	_ = db.InTenant(ctx, 8, func(context.Context, *sqlx.Tx) error { return errOops })
	root.End()
	want := []struct {
		name   string
		attr   attribute.KeyValue
		status codes.Code
	}{
		{"pg.AcrossProjects", attribute.String("pg.reason", "to see it"), codes.Unset},
		{"pg.InTenant", attribute.Int64("project", 7), codes.Unset},
		{"pg.InTenant", attribute.Int64("project", 8), codes.Error},
	}
	var spans []sdktrace.ReadOnlySpan
	for _, s := range recorder.Ended() {
		if s.SpanContext().TraceID() == root.SpanContext().TraceID() && s.Name() != "root" {
			spans = append(spans, s)
		}
	}
	if len(spans) != len(want) {
		t.Fatalf("%d spans, want %d", len(spans), len(want))
	}
	for i, w := range want {
		found := false
		for _, a := range spans[i].Attributes() {
			found = found || a == w.attr
		}
		if spans[i].Name() != w.name || !found || spans[i].Status().Code != w.status {
			t.Errorf("span %d: %s %v %v", i, spans[i].Name(), spans[i].Attributes(), spans[i].Status())
		}
	}
	if spans[0].Parent().SpanID() != spans[1].SpanContext().SpanID() {
		t.Error("the joined transaction is no child of the outer one")
	}
}
