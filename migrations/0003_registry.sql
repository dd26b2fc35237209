-- Full models, and what the forge makes of them.

CREATE TABLE model_versions (
    tenant_id        text        NOT NULL REFERENCES tenants,
    model_version_id uuid        NOT NULL,
    model            text        NOT NULL CHECK (is_name(model)),
    task             text        NOT NULL CHECK (task <> ''),
    summary          text        NOT NULL,
    description      bytea       NOT NULL CHECK (is_digest(description)),
    facts            jsonb       NOT NULL,
    created_at       timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, model_version_id)
);
CREATE INDEX model_versions_newest ON model_versions (tenant_id, model, created_at DESC);

CREATE TABLE model_files (
    tenant_id        text   NOT NULL,
    model_version_id uuid   NOT NULL,
    path             text   NOT NULL CHECK (path <> ''),
    size             bigint NOT NULL CHECK (size >= 0),
    sha256           bytea  NOT NULL CHECK (is_digest(sha256)),
    PRIMARY KEY (tenant_id, model_version_id, path),
    FOREIGN KEY (tenant_id, model_version_id) REFERENCES model_versions
);

CREATE TABLE builds (
    tenant_id        text        NOT NULL,
    build_id         uuid        NOT NULL,
    model_version_id uuid        NOT NULL,
    device_class     text        NOT NULL CHECK (is_name(device_class)),
    recipe           text        NOT NULL,
    created_at       timestamptz NOT NULL,
    state            text        NOT NULL
        CHECK (state IN ('queued', 'running', 'passed', 'refused', 'gated', 'cancelled')),
    -- running
    stage            text,
    done             bigint      CHECK (done >= 0),
    total            bigint      CHECK (total >= 0),
    -- passed and gated: what was made, and how good it is
    bundle           bytea       CHECK (is_digest(bundle)),
    manifest_bytes   bigint      CHECK (manifest_bytes > 0),
    files_bytes      bigint      CHECK (files_bytes >= 0),
    evaluation       jsonb,
    -- refused
    refusal_code     text,
    refusal_detail   text,
    PRIMARY KEY (tenant_id, build_id),
    FOREIGN KEY (tenant_id, model_version_id) REFERENCES model_versions,
    CONSTRAINT running_has_progress CHECK (
        (state = 'running') = (stage IS NOT NULL)
        AND (stage IS NULL) = (done IS NULL)
        AND (stage IS NULL) = (total IS NULL)
    ),
    CONSTRAINT an_end_has_its_product CHECK (
        (state IN ('passed', 'gated')) = (bundle IS NOT NULL)
        AND (bundle IS NULL) = (evaluation IS NULL)
        AND (bundle IS NULL) = (manifest_bytes IS NULL)
        AND (bundle IS NULL) = (files_bytes IS NULL)
    ),
    CONSTRAINT a_refusal_has_a_reason CHECK (
        (state = 'refused') = (refusal_code IS NOT NULL)
        AND (refusal_code IS NULL) = (refusal_detail IS NULL)
    )
);
CREATE INDEX builds_newest ON builds (tenant_id, created_at DESC);

-- The forge's queue. A job is taken by a lease; a forge that dies lets it run out.
CREATE TABLE jobs (
    tenant_id        text        NOT NULL,
    job_id           uuid        NOT NULL,
    build_id         uuid        NOT NULL,
    created_at       timestamptz NOT NULL,
    attempts         integer     NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    worker           text,
    lease_until      timestamptz,
    cancel_requested boolean     NOT NULL DEFAULT false,
    finished_at      timestamptz,
    PRIMARY KEY (tenant_id, job_id),
    UNIQUE (tenant_id, build_id),
    FOREIGN KEY (tenant_id, build_id) REFERENCES builds,
    CONSTRAINT a_lease_has_a_holder CHECK ((worker IS NULL) = (lease_until IS NULL))
);
CREATE INDEX jobs_open ON jobs (created_at) WHERE finished_at IS NULL;
