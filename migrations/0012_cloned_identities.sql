-- A device whose key two hold is shut out until an operator has looked. `barred` is what every door asks.
ALTER TABLE devices
    ADD COLUMN quarantined_at     timestamptz,
    ADD COLUMN quarantined_reason text,
    ADD COLUMN barred boolean NOT NULL GENERATED ALWAYS AS (revoked_at IS NOT NULL OR quarantined_at IS NOT NULL) STORED,
    ADD CONSTRAINT a_quarantine_has_a_reason CHECK ((quarantined_at IS NULL) = (quarantined_reason IS NULL));

-- Which start of the device sent its last report. Unknown of reports before this migration, and after a readmission.
ALTER TABLE device_reports
    ADD COLUMN incarnation bytea CHECK (octet_length(incarnation) = 16);
