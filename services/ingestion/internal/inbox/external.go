package inbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/errs"
	ingestionv1 "github.com/commandcenter/commandcenter/proto-events/ingestion/v1"

	"github.com/commandcenter/commandcenter/services/ingestion/internal/schema"
)

// external checks what a team said and says it again as ours. What does not fit
// is a dead letter, to be redriven once the form is right.
func (h *Handlers) external(ctx context.Context, x bus.External) error {
	outcome, err := h.accept(ctx, x)
	h.facts.WithLabelValues(outcome).Inc()
	return err
}

func (h *Handlers) accept(ctx context.Context, x bus.External) (outcome string, err error) {
	n := schema.Name{Team: x.Team, Noun: x.Noun, Fact: x.Fact, Version: x.Version}
	object, err := h.Read(ctx, x.Project, n, x.Data)
	switch {
	case errors.Is(err, schema.ErrNotFound):
		return "unregistered", bus.Bury(fmt.Errorf("no schema is registered for %s", x.Subject))
	case errs.KindOf(err) == errs.Invalid, errs.KindOf(err) == errs.TooLarge:
		return "invalid", bus.Bury(err)
	case err != nil:
		return "failed", err
	}
	data, err := structOf(object)
	if err != nil {
		return "invalid", bus.Bury(err)
	}
	err = h.Say(ctx, x.Project, &ingestionv1.FactAccepted{
		ProjectId: int32(x.Project), FactId: x.Team + "/" + x.ID, Version: 1, Team: x.Team, Noun: x.Noun, Fact: x.Fact, FactVersion: int32(x.Version), //nolint:gosec // G115: ids are int4, a schema's version is at most 1000
		OccurredAt: timestamppb.New(x.Time), ReceivedAt: timestamppb.New(x.ReceivedAt), Data: data,
	})
	if err != nil {
		return "failed", err
	}
	return "accepted", nil
}

// structOf goes by way of JSON: the checker keeps numbers as they are written.
func structOf(object map[string]any) (*structpb.Struct, error) {
	text, err := json.Marshal(object)
	if err != nil {
		return nil, fmt.Errorf("read the fact: %w", err)
	}
	s := &structpb.Struct{}
	if err := s.UnmarshalJSON(text); err != nil {
		return nil, fmt.Errorf("read the fact: %w", err)
	}
	return s, nil
}
