-- The door looks for releases that were signed since it last looked, however many there are.
CREATE INDEX releases_signed ON releases (tenant_id, targets_version) WHERE targets_version IS NOT NULL;
