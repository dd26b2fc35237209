-- What happened in one rollout, or with one device, is read without looking at the rest of the log.
CREATE INDEX events_subject ON events (tenant_id, subject, event_id);
CREATE INDEX events_rollout ON events (tenant_id, (payload ->> 'rollout'), event_id)
    WHERE payload ->> 'rollout' IS NOT NULL;
CREATE INDEX events_device ON events (tenant_id, (payload ->> 'device'), event_id)
    WHERE payload ->> 'device' IS NOT NULL;
