-- The catalog: every instance that was ever heard of, this one too.
CREATE TABLE IF NOT EXISTS instances (
    slug              text        PRIMARY KEY CHECK (slug ~ '^[a-z0-9][a-z0-9_-]{0,99}$'),
    status            text        NOT NULL CHECK (status IN ('online', 'degraded', 'offline')),
    hub_url           text        CHECK (length(hub_url) <= 500),
    mesh_namespace    text        CHECK (length(mesh_namespace) <= 110),
    product_version   text        CHECK (length(product_version) <= 100),
    -- What the instance said of itself: it may be degraded while it is heard.
    reported_degraded boolean     NOT NULL DEFAULT false,
    -- By the receiver's clock; sent_at is by the sender's.
    last_heartbeat_at timestamptz NOT NULL,
    sent_at           timestamptz,
    first_seen_at     timestamptz NOT NULL,
    version           integer     NOT NULL DEFAULT 1
);
CREATE INDEX IF NOT EXISTS instances_by_status ON instances (status, last_heartbeat_at);
SELECT platform.exempt('instances', 'other instances belong to this instance, not to a project');
