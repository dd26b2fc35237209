-- Releases on their way.

CREATE TABLE rollouts (
    tenant_id   text        NOT NULL,
    rollout_id  uuid        NOT NULL,
    release_id  uuid        NOT NULL,
    policy      jsonb       NOT NULL,
    created_at  timestamptz NOT NULL,
    traceparent text,
    -- Grows with every change of the state: a plan made on an older revision is not executed.
    revision    bigint      NOT NULL DEFAULT 0 CHECK (revision >= 0),
    state       text        NOT NULL
        CHECK (state IN ('draft', 'running', 'paused', 'completed', 'aborted', 'reverting', 'reverted')),
    since       timestamptz,
    stage       integer     CHECK (stage >= 0),
    excused     bigint[],
    reason      jsonb,
    PRIMARY KEY (tenant_id, rollout_id),
    FOREIGN KEY (tenant_id, release_id) REFERENCES releases,
    CONSTRAINT all_but_drafts_have_a_time CHECK ((state = 'draft') = (since IS NULL)),
    CONSTRAINT an_open_stage_has_a_number CHECK (
        (state IN ('running', 'paused')) = (stage IS NOT NULL)
        AND (stage IS NULL) = (excused IS NULL)
    ),
    CONSTRAINT a_stop_has_a_reason CHECK (
        (state IN ('paused', 'aborted', 'reverting', 'reverted')) = (reason IS NOT NULL)
    )
);
CREATE INDEX rollouts_newest ON rollouts (tenant_id, created_at DESC);
CREATE INDEX rollouts_live ON rollouts (tenant_id, rollout_id) WHERE state IN ('running', 'paused', 'reverting', 'aborted');

CREATE TABLE rollout_left_out (
    tenant_id  text NOT NULL,
    rollout_id uuid NOT NULL,
    device     text NOT NULL,
    reason     text NOT NULL,
    PRIMARY KEY (tenant_id, rollout_id, device),
    FOREIGN KEY (tenant_id, rollout_id) REFERENCES rollouts
);

CREATE TABLE assignments (
    tenant_id     text        NOT NULL,
    assignment_id uuid        NOT NULL,
    rollout_id    uuid        NOT NULL,
    release_id    uuid        NOT NULL,
    device        text        NOT NULL,
    stage         integer     NOT NULL CHECK (stage >= 0),
    ordinal       integer     NOT NULL CHECK (ordinal >= 0),
    class         text        NOT NULL CHECK (is_name(class)),
    model         text        NOT NULL CHECK (is_name(model)),
    bundle        bytea       NOT NULL CHECK (is_digest(bundle)),
    before        jsonb,
    goal          text        NOT NULL CHECK (goal IN ('install', 'return')),
    attempt       integer     NOT NULL CHECK (attempt >= 0),
    phase         text        NOT NULL CHECK (phase IN (
        'pending', 'sent', 'accepted', 'downloading', 'verified', 'trial', 'active', 'failed', 'rolled-back',
        'silent', 'cancelled', 'withdrawn', 'returning', 'returned', 'return-failed', 'return-silent')),
    -- The step of a device that is underway, in words of the protocol; a phase on the way back hides it.
    step          text        CHECK (step IN ('sent', 'accepted', 'downloading', 'verified', 'trial')),
    sent_at       timestamptz,
    done          bigint      CHECK (done >= 0),
    total         bigint      CHECK (total >= 0),
    outcome       jsonb,
    boot          bigint      CHECK (boot >= 0),
    seq           bigint      CHECK (seq >= 0),
    PRIMARY KEY (tenant_id, assignment_id),
    UNIQUE (tenant_id, rollout_id, device),
    FOREIGN KEY (tenant_id, rollout_id) REFERENCES rollouts,
    FOREIGN KEY (tenant_id, release_id) REFERENCES releases,
    FOREIGN KEY (tenant_id, device) REFERENCES devices (tenant_id, device),
    CONSTRAINT told_means_tried CHECK ((phase IN ('pending', 'cancelled')) = (attempt = 0)),
    CONSTRAINT a_return_leads_somewhere CHECK (
        (goal = 'return') = (phase IN ('returning', 'returned', 'return-failed', 'return-silent'))
        AND (goal = 'install' OR before IS NOT NULL)
    ),
    CONSTRAINT underway_has_a_step CHECK (
        (step IS NOT NULL) = (phase IN ('sent', 'accepted', 'downloading', 'verified', 'trial', 'returning'))
        AND (goal = 'return' OR step IS NULL OR step = phase)
    ),
    CONSTRAINT a_clock_runs_for_who_was_told CHECK (
        (sent_at IS NOT NULL) = (step IS NOT NULL OR phase IN ('silent', 'return-silent'))
    ),
    CONSTRAINT only_downloads_have_bytes CHECK (
        (step IS NOT DISTINCT FROM 'downloading') = (done IS NOT NULL) AND (done IS NULL) = (total IS NULL)
    ),
    CONSTRAINT an_end_has_an_outcome CHECK (
        (phase IN ('active', 'failed', 'rolled-back', 'returned', 'return-failed')) = (outcome IS NOT NULL)
    ),
    CONSTRAINT a_position_is_whole CHECK ((boot IS NULL) = (seq IS NULL))
);
CREATE INDEX assignments_pending ON assignments (tenant_id, rollout_id, stage, ordinal) WHERE phase = 'pending';
CREATE INDEX assignments_underway ON assignments (tenant_id, rollout_id, sent_at) WHERE step IS NOT NULL;
CREATE INDEX assignments_device ON assignments (tenant_id, device, assignment_id);

-- Counts of assignments by stage and phase, kept by the database itself, so that no writer can forget them and
-- nobody ever counts a fleet.
CREATE TABLE stage_tallies (
    tenant_id  text    NOT NULL,
    rollout_id uuid    NOT NULL,
    stage      integer NOT NULL,
    phase      text    NOT NULL,
    devices    bigint  NOT NULL CHECK (devices >= 0),
    PRIMARY KEY (tenant_id, rollout_id, stage, phase),
    FOREIGN KEY (tenant_id, rollout_id) REFERENCES rollouts
) WITH (fillfactor = 70);

CREATE FUNCTION tally_new_assignments() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO stage_tallies AS t (tenant_id, rollout_id, stage, phase, devices)
    SELECT tenant_id, rollout_id, stage, phase, count(*) FROM new_rows GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4
    ON CONFLICT (tenant_id, rollout_id, stage, phase) DO UPDATE SET devices = t.devices + excluded.devices;
    RETURN NULL;
END $$;

-- All tallies of the stages concerned are locked first, in order: one writer moves devices from A to B while
-- another moves some from B to A, and neither may wait for the other in a circle.
CREATE FUNCTION tally_moved_assignments() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM 1 FROM stage_tallies t
    WHERE EXISTS (
        SELECT 1 FROM new_rows n JOIN old_rows o USING (tenant_id, assignment_id)
        WHERE n.phase <> o.phase
            AND (n.tenant_id, n.rollout_id, n.stage) = (t.tenant_id, t.rollout_id, t.stage)
    )
    ORDER BY t.tenant_id, t.rollout_id, t.stage, t.phase FOR UPDATE;

    INSERT INTO stage_tallies AS t (tenant_id, rollout_id, stage, phase, devices)
    SELECT n.tenant_id, n.rollout_id, n.stage, n.phase, count(*)
    FROM new_rows n JOIN old_rows o USING (tenant_id, assignment_id)
    WHERE n.phase <> o.phase GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4
    ON CONFLICT (tenant_id, rollout_id, stage, phase) DO UPDATE SET devices = t.devices + excluded.devices;

    UPDATE stage_tallies t SET devices = t.devices - left_behind.devices
    FROM (
        SELECT o.tenant_id, o.rollout_id, o.stage, o.phase, count(*) AS devices
        FROM new_rows n JOIN old_rows o USING (tenant_id, assignment_id)
        WHERE n.phase <> o.phase GROUP BY 1, 2, 3, 4
    ) left_behind
    WHERE (t.tenant_id, t.rollout_id, t.stage, t.phase)
        = (left_behind.tenant_id, left_behind.rollout_id, left_behind.stage, left_behind.phase);
    RETURN NULL;
END $$;

CREATE TRIGGER tally_new_assignments AFTER INSERT ON assignments
    REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION tally_new_assignments();
CREATE TRIGGER tally_moved_assignments AFTER UPDATE ON assignments
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION tally_moved_assignments();
