package serve

import (
	"context"
	"net/http"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	"github.com/commandcenter/commandcenter/services/gateway/internal/contract"
)

// repeated is the answer of a write that has taken its caller's place in the
// project, the deletion of it above all, when the same call comes again and is
// refused for that: it was done, and is not done twice. It is nil unless the
// caller's own earlier call has an answer that says nothing but that. A person who
// was never there has none, whatever the project; nor have keys, whose scopes
// differ.
func (s *Edge) repeated(r *http.Request, k *call, op *contract.Operation, path []string, refused error) *bus.Answer {
	kind := errs.KindOf(refused)
	key, err := keyOf(r.Header)
	if err != nil || key == "" || kind != errs.NotFound && kind != errs.Forbidden || op.Delivery != contract.Command || k.denied.principal == "" || k.denied.key != "" {
		return nil
	}
	asked, err := projects(r, op, path)
	want := asked.want
	if err != nil || want == tenant.Instance {
		return nil
	}
	if form, _, err := s.form(r, op); err != nil || form != contract.NoBody {
		return nil
	}
	params, faults := op.Parameters(make([]byte, 0, 128), contract.Values{Path: path, Query: r.URL.Query(), Header: r.Header, Secure: s.overTLS(r)})
	if len(faults) > 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(r.Context(), s.c.RequestTimeout)
	defer cancel()
	who := tenant.Identity{Principal: k.denied.principal, Project: want}
	a, err := s.bus.Answered(ctx, bus.Target{Service: op.Service, Operation: op.ID, Project: want}, who, closed(open(params)), key)
	if err != nil || a == nil || a.Status != http.StatusNoContent {
		return nil
	}
	a.Replayed = true
	return a
}
