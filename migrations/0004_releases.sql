-- Releases, and the metadata that says which of them exist.

-- Counters only grow, also when a draft that took one is thrown away.
CREATE TABLE release_counters (
    tenant_id text   NOT NULL REFERENCES tenants,
    model     text   NOT NULL CHECK (is_name(model)),
    last      bigint NOT NULL CHECK (last > 0),
    PRIMARY KEY (tenant_id, model)
);

CREATE TABLE releases (
    tenant_id        text        NOT NULL,
    release_id       uuid        NOT NULL,
    model            text        NOT NULL,
    model_version_id uuid        NOT NULL,
    counter          bigint      NOT NULL CHECK (counter > 0),
    digest           bytea       NOT NULL CHECK (is_digest(digest)),
    document         bytea       NOT NULL,
    created_at       timestamptz NOT NULL,
    signed_at        timestamptz,
    targets_version  bigint      CHECK (targets_version > 0),
    PRIMARY KEY (tenant_id, release_id),
    UNIQUE (tenant_id, model, counter),
    UNIQUE (tenant_id, digest),
    FOREIGN KEY (tenant_id, model_version_id) REFERENCES model_versions,
    FOREIGN KEY (tenant_id, model) REFERENCES release_counters,
    CONSTRAINT signed_in_an_edition CHECK ((signed_at IS NULL) = (targets_version IS NULL)),
    -- The digest is of these very bytes; nobody can swap one without the other.
    CONSTRAINT the_digest_is_the_documents CHECK (digest = sha256(document))
);
CREATE INDEX releases_newest ON releases (tenant_id, created_at DESC);

CREATE TABLE release_builds (
    tenant_id    text NOT NULL,
    release_id   uuid NOT NULL,
    device_class text NOT NULL,
    build_id     uuid NOT NULL,
    PRIMARY KEY (tenant_id, release_id, device_class),
    FOREIGN KEY (tenant_id, release_id) REFERENCES releases,
    FOREIGN KEY (tenant_id, build_id) REFERENCES builds
);

-- Every edition of every role, as signed. The key is what makes two editions of one version impossible.
CREATE TABLE tuf_metadata (
    tenant_id  text        NOT NULL REFERENCES tenants,
    role       text        NOT NULL CHECK (role IN ('root', 'targets', 'snapshot', 'timestamp')),
    version    bigint      NOT NULL CHECK (version > 0),
    bytes      bytea       NOT NULL,
    expires_at timestamptz NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, role, version)
);
