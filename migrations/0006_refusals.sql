-- What devices refused, as they signed it: only the newest of each device, so that one under attack, or one that
-- lies, cannot fill the database. Reports come twice and late; its place makes a refusal one and the same.
CREATE TABLE device_refusals (
    tenant_id   text        NOT NULL,
    device      text        NOT NULL,
    boot        bigint      NOT NULL CHECK (boot >= 0),
    seq         bigint      NOT NULL CHECK (seq >= 0),
    ordinal     integer     NOT NULL CHECK (ordinal >= 0),
    received_at timestamptz NOT NULL,
    refusal     jsonb       NOT NULL CHECK (jsonb_typeof(refusal) = 'object'),
    PRIMARY KEY (tenant_id, device, boot, seq, ordinal),
    FOREIGN KEY (tenant_id, device) REFERENCES devices (tenant_id, device)
);
