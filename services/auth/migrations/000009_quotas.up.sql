-- Limits of calls that projects have set for themselves; gateways count.

-- Versions rise over all of them, so that one that ends and begins again never
-- repeats a number.
CREATE SEQUENCE IF NOT EXISTS quota_versions AS integer;

CREATE TABLE IF NOT EXISTS project_quotas (
    project_id bigint      NOT NULL REFERENCES projects (project_id) ON DELETE CASCADE,
    class      text        NOT NULL,
    calls      integer     NOT NULL,
    seconds    integer     NOT NULL,
    -- Set by a superuser, and so good above the limit of the instance.
    raised     boolean     NOT NULL,
    version    integer     NOT NULL DEFAULT nextval('quota_versions'),
    set_by     bigint      NOT NULL,
    set_at     timestamptz NOT NULL,
    PRIMARY KEY (project_id, class),
    CONSTRAINT project_quotas_class CHECK (class ~ '^[A-Za-z]{1,64}$'),
    CONSTRAINT project_quotas_calls CHECK (calls > 0 AND seconds > 0)
);
SELECT platform.protect('project_quotas', true);
