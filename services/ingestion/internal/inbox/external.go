package inbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

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
		return "unregistered", bus.Bury(fmt.Errorf("no schema is registered for %s: register one (commandcenter bus schema register %s.%s.%s.v%d FILE), then redrive this", x.Subject, x.Team, x.Noun, x.Fact, x.Version))
	case errs.KindOf(err) == errs.Invalid, errs.KindOf(err) == errs.TooLarge:
		return "invalid", bus.Bury(err)
	case err != nil:
		return "failed", err
	}
	data, exactly, err := structOf(object)
	if err != nil {
		return "invalid", bus.Bury(err)
	}
	err = h.Say(ctx, x.Project, &ingestionv1.FactAccepted{
		ProjectId: int32(x.Project), FactId: x.Team + "/" + x.ID, Version: 1, Team: x.Team, Noun: x.Noun, Fact: x.Fact, FactVersion: int32(x.Version), //nolint:gosec // G115: ids are int4, a schema's version is at most 1000
		OccurredAt: timestamppb.New(x.Time), ReceivedAt: timestamppb.New(x.ReceivedAt), Data: data, ExactJson: exactly,
	})
	if err != nil {
		return "failed", err
	}
	return "accepted", nil
}

// structOf goes by way of JSON: the checker keeps numbers as they are written. The
// text is returned too when a number in it is more exact than a float.
func structOf(object map[string]any) (s *structpb.Struct, exactly string, err error) {
	text, err := json.Marshal(object)
	if err != nil {
		return nil, "", fmt.Errorf("read the fact: %w", err)
	}
	s = &structpb.Struct{}
	if err := s.UnmarshalJSON(text); err != nil {
		return nil, "", fmt.Errorf("read the fact: %w", err)
	}
	if !floats(object) {
		exactly = string(text)
	}
	return s, exactly, nil
}

// floats reports whether every number in v is one that a 64-bit float gives back
// as it was written.
func floats(v any) bool {
	switch v := v.(type) {
	case json.Number:
		return isFloat(v)
	case map[string]any:
		for _, each := range v {
			if !floats(each) {
				return false
			}
		}
	case []any:
		for _, each := range v {
			if !floats(each) {
				return false
			}
		}
	}
	return true
}

// isFloat takes what has at most 15 digits, which always come back, and whole
// numbers of up to 53 bits.
func isFloat(n json.Number) bool {
	if whole, err := n.Int64(); err == nil {
		return whole >= -1<<53 && whole <= 1<<53
	}
	mantissa, _, _ := strings.Cut(strings.ToLower(n.String()), "e")
	digits := strings.Trim(strings.NewReplacer("-", "", ".", "").Replace(mantissa), "0")
	f, err := n.Float64()
	return err == nil && len(digits) <= 15 && (f != 0 || digits == "")
}
