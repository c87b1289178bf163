package postgres

import (
	"context"

	"github.com/jmoiron/sqlx"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/commandcenter/commandcenter/pkg/outbox"
	federationv1 "github.com/commandcenter/commandcenter/proto-events/federation/v1"
	"github.com/commandcenter/commandcenter/services/federation/internal/instance"
)

// Announce adds status_changed to the outbox.
func (s *Instances) Announce(ctx context.Context, c instance.Change) error {
	return s.run(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		return outbox.Add(ctx, tx, &federationv1.InstanceStatusChanged{
			InstanceId: c.Instance.Slug, Version: version(c.Instance), Status: string(c.Instance.Status),
			PreviousStatus: string(c.Previous), HubUrl: c.Instance.HubURL, LastHeartbeatAt: timestamppb.New(c.Instance.LastHeartbeat),
		})
	})
}

// Registered adds registered to the outbox.
func (s *Instances) Registered(ctx context.Context, i instance.Instance) error {
	return s.run(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		i.Version++ // it is said with the change, not after it
		return outbox.Add(ctx, tx, &federationv1.InstanceRegistered{
			InstanceId: i.Slug, Version: version(i), Source: i.Source, HubUrl: i.HubURL, Key: i.Key,
		})
	})
}

// Removed adds removed to the outbox.
func (s *Instances) Removed(ctx context.Context, i instance.Instance, reason string) error {
	return s.run(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		i.Version++
		return outbox.Add(ctx, tx, &federationv1.InstanceRemoved{InstanceId: i.Slug, Version: version(i), Reason: reason})
	})
}

func version(i instance.Instance) int32 { return int32(i.Version) } //nolint:gosec // a version is small
