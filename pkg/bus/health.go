package bus

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/commandcenter/commandcenter/pkg/app"
	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/tenant"
)

// askHealth is answered by every server: the outcome of its checks, now.
const askHealth = "health"

// added reports whether the server itself adds the operation.
func added(name string) bool {
	return name == getOperation || name == listOperations || name == askHealth || name == askReplay || name == askRedrive
}

// CheckResult is the outcome of one check of a service.
type CheckResult struct {
	Name    string     `json:"name"`
	Status  app.Status `json:"status"`
	Message string     `json:"message,omitempty"` // why it is not healthy
	Millis  float64    `json:"ms"`
}

// Health asks a service how its checks go. It is for services only; the error
// is Unavailable when nobody serves.
func (b *Bus) Health(ctx context.Context, service string) ([]CheckResult, error) {
	o, err := b.ask(ctx, Target{Service: service, Operation: askHealth}, AsService(b.service, tenant.Instance), []byte("{}"), "")
	if err != nil {
		return nil, err
	}
	var out []CheckResult
	if err := json.Unmarshal(o.body, &out); err != nil {
		return nil, errs.Newf(errs.Upstream, "health of %s: %w", service, err)
	}
	return out, nil
}

// health answers askHealth. A check that hangs must not cost the others their
// answer, so all end somewhat before the caller's deadline.
func (s *Server) health(ctx context.Context, _ []byte) outcome {
	within := s.c.Timeout
	if d, ok := ctx.Deadline(); ok {
		within = time.Until(d) * 8 / 10
	}
	results := app.RunChecks(ctx, within, s.c.Checks...)
	out := make([]CheckResult, len(results))
	for i, r := range results {
		out[i] = CheckResult{Name: r.Name, Status: r.Status, Millis: float64(r.Took.Microseconds()) / 1000}
		if r.Err != nil {
			out[i].Message = r.Err.Error()
		}
	}
	body, err := json.Marshal(out)
	if err != nil {
		return outcome{err: fmt.Errorf("health: %w", err)}
	}
	return outcome{status: 200, body: body}
}
