-- Who sent which file. Blobs lie under their digest and know no owner: to a tenant belongs what it sent, and what its
-- models, builds and releases are made of.
CREATE TABLE uploads (
    tenant_id   text        NOT NULL REFERENCES tenants,
    sha256      bytea       NOT NULL CHECK (is_digest(sha256)),
    received_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, sha256)
);
CREATE INDEX model_files_digest ON model_files (tenant_id, sha256);
