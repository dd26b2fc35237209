-- Who owns data, and who acts. PostgreSQL 15 syntax; a landed file is never edited.

CREATE FUNCTION is_name(text) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN $1 ~ '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$';

CREATE FUNCTION is_digest(bytea) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN octet_length($1) = 32;

CREATE TABLE tenants (
    tenant_id  text        PRIMARY KEY CHECK (is_name(tenant_id)),
    created_at timestamptz NOT NULL
);

CREATE TABLE principals (
    tenant_id    text        NOT NULL REFERENCES tenants,
    principal_id uuid        NOT NULL,
    name         text        NOT NULL CHECK (name <> ''),
    role         text        NOT NULL CHECK (role IN ('admin')),
    created_at   timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, principal_id),
    UNIQUE (tenant_id, name)
);

-- Tokens are known by their digest only: whoever reads this table can use none of them.
CREATE TABLE tokens (
    token_digest bytea       PRIMARY KEY CHECK (is_digest(token_digest)),
    tenant_id    text        NOT NULL,
    principal_id uuid        NOT NULL,
    created_at   timestamptz NOT NULL,
    expires_at   timestamptz,
    revoked_at   timestamptz,
    FOREIGN KEY (tenant_id, principal_id) REFERENCES principals
);

CREATE TABLE audit_log (
    entry_id     bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id    text        NOT NULL REFERENCES tenants,
    at           timestamptz NOT NULL,
    principal_id uuid,       -- null: the cloud by itself
    action       text        NOT NULL CHECK (action <> ''),
    subject      text        NOT NULL,
    detail       jsonb       NOT NULL,
    FOREIGN KEY (tenant_id, principal_id) REFERENCES principals
);
CREATE INDEX audit_log_newest ON audit_log (tenant_id, entry_id DESC);

-- What the console shows live. Append-only; old rows may be deleted, never changed.
CREATE TABLE events (
    event_id  bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id text        NOT NULL REFERENCES tenants,
    at        timestamptz NOT NULL,
    kind      text        NOT NULL CHECK (kind <> ''),
    subject   text        NOT NULL,
    payload   jsonb       NOT NULL
);
CREATE INDEX events_in_order ON events (tenant_id, event_id);
