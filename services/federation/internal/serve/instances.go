package serve

import (
	"context"

	"github.com/commandcenter/commandcenter/services/federation/internal/instance"
)

type listRequest struct {
	Status instance.Status `json:"status"`
}

func listInstances(c catalog) func(context.Context, listRequest) (InstanceList, error) {
	return func(ctx context.Context, req listRequest) (InstanceList, error) {
		entries, err := c.List(ctx, req.Status)
		if err != nil {
			return InstanceList{}, err
		}
		out := InstanceList{Instances: make([]Instance, 0, len(entries)), Total: len(entries)}
		for _, e := range entries {
			out.Instances = append(out.Instances, Instance{
				Slug: e.Slug, Self: e.Self, Status: InstanceStatus(e.Status), HubUrl: null(e.HubURL), MeshNamespace: null(e.Namespace),
				Version: null(e.ProductVersion), LastHeartbeatAt: e.LastHeartbeat.UTC(), FirstSeenAt: e.FirstSeen.UTC(),
			})
		}
		return out, nil
	}
}

// null is how an unknown text goes out.
func null(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
