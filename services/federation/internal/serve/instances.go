package serve

import (
	"context"

	"github.com/commandcenter/commandcenter/services/federation/internal/instance"
)

type listRequest struct {
	Status instance.Status `json:"status"`
	Skip   int             `json:"skip"`
	Limit  int             `json:"limit"` // 0 is none
}

func (h *Handlers) listInstances(ctx context.Context, req listRequest) (InstanceList, error) {
	entries, err := h.Catalog.List(ctx, req.Status)
	if err != nil {
		return InstanceList{}, err
	}
	out := InstanceList{Instances: []Instance{}, Total: len(entries)}
	entries = entries[min(max(req.Skip, 0), len(entries)):]
	if req.Limit > 0 {
		entries = entries[:min(req.Limit, len(entries))]
	}
	for _, e := range entries {
		out.Instances = append(out.Instances, answer(e))
	}
	return out, nil
}

type slugRequest struct {
	Slug string `json:"slug"`
}

func (h *Handlers) getInstance(ctx context.Context, r slugRequest) (Instance, error) {
	e, err := h.Catalog.Get(ctx, r.Slug)
	if err != nil {
		return Instance{}, err
	}
	return answer(e), nil
}

type registerRequest struct {
	Body InstanceRegistration `json:"body"`
}

// registered is the answer 201.
type registered struct{ RegisteredInstance }

// StatusCode says that the registration is new.
func (registered) StatusCode() int { return 201 }

func (h *Handlers) registerInstance(ctx context.Context, r registerRequest) (registered, error) {
	if err := superuser(ctx); err != nil {
		return registered{}, err
	}
	b := r.Body
	e, key, err := h.Registrar.Register(ctx, instance.Registration{
		Slug: b.Slug, Name: value(b.Name), HubURL: value(b.HubUrl), Tags: value(b.Tags), Key: value(b.Key), Source: instance.FromAPI,
	})
	if err != nil {
		return registered{}, err
	}
	return registered{RegisteredInstance{Instance: answer(e), ApiKey: key}}, nil
}

type admitRequest struct {
	slugRequest
	Body InstanceAdmission `json:"body"`
}

func (h *Handlers) admitInstance(ctx context.Context, r admitRequest) (Instance, error) {
	if err := superuser(ctx); err != nil {
		return Instance{}, err
	}
	e, err := h.Registrar.Admit(ctx, r.Slug, value(r.Body.Key))
	if err != nil {
		return Instance{}, err
	}
	return answer(e), nil
}

func (h *Handlers) removeInstance(ctx context.Context, r slugRequest) (struct{}, error) {
	if err := superuser(ctx); err != nil {
		return struct{}{}, err
	}
	return struct{}{}, h.Registrar.Remove(ctx, r.Slug)
}

func answer(e instance.Entry) Instance {
	return Instance{
		Slug: e.Slug, Self: e.Self, Status: InstanceStatus(e.Status), HubUrl: null(e.HubURL), MeshNamespace: null(e.Namespace),
		Version: null(e.ProductVersion), LastHeartbeatAt: e.LastHeartbeat.UTC(), FirstSeenAt: e.FirstSeen.UTC(),
		Name: null(e.Name), Tags: orEmpty(e.Tags), Source: InstanceSource(e.Source), Admitted: e.Admitted, Contract: null(e.Contract),
		Capabilities: orEmpty(e.Capabilities), Load: e.Load, Key: null(e.Key), OtherKey: null(e.OtherKey),
		Heartbeats: int64(e.Beats), MissedHeartbeats: int64(e.Missed), IntervalSeconds: e.Every().Seconds(),
		JitterMs: float64(e.Jitter.Microseconds()) / 1000, ClockSkewMs: float64(e.Skew.Microseconds()) / 1000,
	}
}

// null is how an unknown text goes out.
func null(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func value[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

func orEmpty(s []string) []string {
	if s == nil {
		return []string{}
	}
	return s
}
