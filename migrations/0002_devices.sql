-- Devices, how they come in, and what they last said.

CREATE TABLE claims (
    tenant_id    text        NOT NULL REFERENCES tenants,
    claim_id     uuid        NOT NULL,
    token_digest bytea       NOT NULL UNIQUE CHECK (is_digest(token_digest)),
    class        text        CHECK (is_name(class)),
    max_uses     integer     NOT NULL CHECK (max_uses > 0),
    uses         integer     NOT NULL DEFAULT 0 CHECK (uses BETWEEN 0 AND max_uses),
    created_at   timestamptz NOT NULL,
    expires_at   timestamptz NOT NULL,
    revoked_at   timestamptz,
    PRIMARY KEY (tenant_id, claim_id)
);

CREATE TABLE devices (
    tenant_id      text        NOT NULL REFERENCES tenants,
    device         text        NOT NULL CHECK (is_name(device)),
    role           text        NOT NULL CHECK (role IN ('device', 'gateway')),
    class          text        NOT NULL CHECK (is_name(class)),
    gateway        text,
    labels         jsonb       NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(labels) = 'object'),
    public_key     bytea       NOT NULL CHECK (octet_length(public_key) = 32),
    enrolled_at    timestamptz NOT NULL,
    revoked_at     timestamptz,
    revoked_reason text,
    inventory      jsonb       CHECK (jsonb_typeof(inventory) = 'object'),
    PRIMARY KEY (tenant_id, device),
    FOREIGN KEY (tenant_id, gateway) REFERENCES devices (tenant_id, device),
    CONSTRAINT a_gateway_stands_alone CHECK (gateway IS NULL OR role = 'device'),
    CONSTRAINT a_revocation_has_a_reason CHECK ((revoked_at IS NULL) = (revoked_reason IS NULL))
);
CREATE INDEX devices_labels ON devices USING gin (labels jsonb_path_ops);
CREATE INDEX devices_gateway ON devices (tenant_id, gateway) WHERE gateway IS NOT NULL;
CREATE UNIQUE INDEX devices_key ON devices (public_key);

CREATE TABLE certificates (
    tenant_id  text        NOT NULL,
    serial     text        NOT NULL CHECK (serial ~ '^[0-9a-f]+$'),
    device     text        NOT NULL,
    issued_at  timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    revoked_at timestamptz,
    PRIMARY KEY (serial),
    FOREIGN KEY (tenant_id, device) REFERENCES devices (tenant_id, device)
);
CREATE INDEX certificates_device ON certificates (tenant_id, device);

-- The last report of each device: rewritten often, so apart from the device, with room on each page and
-- without an index on anything that changes.
CREATE TABLE device_reports (
    tenant_id        text        NOT NULL,
    device           text        NOT NULL,
    boot             bigint      NOT NULL CHECK (boot >= 0),
    seq              bigint      NOT NULL CHECK (seq >= 0),
    received_at      timestamptz NOT NULL,
    desired_sequence bigint      NOT NULL CHECK (desired_sequence >= 0),
    models           jsonb       NOT NULL CHECK (jsonb_typeof(models) = 'array'),
    PRIMARY KEY (tenant_id, device),
    FOREIGN KEY (tenant_id, device) REFERENCES devices (tenant_id, device)
) WITH (fillfactor = 80);

-- What the cloud wants of each device. `wanted` grows with every change of what it should run; `composed` is the
-- `wanted` that the envelope speaks of; `published` is the last sequence that the broker took. A cut between any
-- two of these steps shows as a difference, and is made good from here.
CREATE TABLE desired_states (
    tenant_id  text    NOT NULL,
    device     text    NOT NULL,
    wanted     bigint  NOT NULL CHECK (wanted >= 0),
    composed   bigint  NOT NULL DEFAULT 0,
    sequence   bigint  NOT NULL DEFAULT 0 CHECK (sequence >= 0),
    published  bigint  NOT NULL DEFAULT 0,
    envelope   bytea,
    issued_at  timestamptz,
    expires_at timestamptz,
    PRIMARY KEY (tenant_id, device),
    FOREIGN KEY (tenant_id, device) REFERENCES devices (tenant_id, device),
    CONSTRAINT composed_after_wanted CHECK (composed BETWEEN 0 AND wanted),
    CONSTRAINT published_after_signed CHECK (published BETWEEN 0 AND sequence),
    CONSTRAINT a_sequence_has_an_envelope CHECK (
        (sequence = 0) = (envelope IS NULL)
        AND (envelope IS NULL) = (issued_at IS NULL)
        AND (envelope IS NULL) = (expires_at IS NULL)
    )
);
CREATE INDEX desired_states_to_compose ON desired_states (tenant_id, device) WHERE composed < wanted;
CREATE INDEX desired_states_to_publish ON desired_states (tenant_id, device) WHERE published < sequence;
