-- The tables of the engine. storage/tables.py tells what a row means and whom an index serves.

CREATE TABLE tenants (
    id         uuid PRIMARY KEY,
    name       text NOT NULL UNIQUE,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE api_keys (
    id           uuid PRIMARY KEY,
    tenant_id    uuid NOT NULL REFERENCES tenants (id),
    name         text NOT NULL,
    prefix       text NOT NULL,
    hash         bytea NOT NULL UNIQUE,
    created_at   timestamptz NOT NULL DEFAULT now(),
    last_used_at timestamptz,
    revoked_at   timestamptz
);
CREATE INDEX ix_api_keys_tenant_id ON api_keys (tenant_id);

CREATE TABLE sessions (
    tenant_id  uuid NOT NULL,
    id         text NOT NULL,
    user_id    text,
    status     text NOT NULL DEFAULT 'active',
    data       json,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, id)
);

CREATE TABLE turns (
    tenant_id  uuid NOT NULL,
    session_id text NOT NULL,
    no         integer NOT NULL,
    run_id     uuid,
    role       text NOT NULL,
    content    text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, session_id, no),
    FOREIGN KEY (tenant_id, session_id) REFERENCES sessions (tenant_id, id) ON DELETE CASCADE,
    CONSTRAINT turns_once UNIQUE (tenant_id, session_id, run_id, role)
);

CREATE TABLE runs (
    id              uuid PRIMARY KEY,
    tenant_id       uuid NOT NULL,
    chain           text NOT NULL,
    chain_version   text NOT NULL,
    status          text NOT NULL DEFAULT 'pending',
    stop            text,
    stop_at         timestamptz,
    seq             bigint NOT NULL DEFAULT 0,
    done            integer NOT NULL DEFAULT 0,
    resumes         integer NOT NULL DEFAULT 0,
    session_id      text,
    on_busy         text NOT NULL DEFAULT 'reject',
    agent_id        text,
    user_id         text,
    parent_run_id   uuid,
    fork_after      text,
    idem_key        text,
    idem_hash       bytea,
    priority        integer NOT NULL DEFAULT 0,
    deadline_at     timestamptz,
    trace_id        text NOT NULL,
    traceparent     text,
    input           json NOT NULL,
    facts           json,
    output          json,
    output_ref      text,
    error           json,
    pause           json,
    degraded_reason text,
    created_at      timestamptz NOT NULL DEFAULT now(),
    started_at      timestamptz,
    finished_at     timestamptz,
    CONSTRAINT runs_idempotency UNIQUE (tenant_id, idem_key),
    CONSTRAINT runs_status_check
        CHECK (status IN ('pending', 'running', 'paused', 'completed', 'failed', 'cancelled')),
    CONSTRAINT runs_stop_check CHECK (stop IN ('cancelled', 'failed', 'deadline', 'interrupted')),
    CONSTRAINT runs_on_busy_check CHECK (on_busy IN ('reject', 'queue', 'interrupt'))
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);
-- A condition that a claim also makes (running, open) would let the planner take the index of the sweep instead of the
-- primary key whenever it was empty at the last ANALYZE, and read every open row from then on. So each has a second one.
CREATE UNIQUE INDEX runs_session_busy ON runs (tenant_id, session_id)
    WHERE status IN ('running', 'paused') AND session_id IS NOT NULL;
CREATE INDEX runs_newest ON runs (tenant_id, created_at, id);
CREATE INDEX runs_of_session ON runs (tenant_id, session_id, created_at) WHERE session_id IS NOT NULL;
CREATE INDEX runs_failed ON runs (tenant_id, finished_at) WHERE status = 'failed';
CREATE INDEX runs_active ON runs (created_at)
    WHERE status IN ('pending', 'running', 'paused') AND created_at > '-infinity';
CREATE INDEX runs_deadline ON runs (deadline_at)
    WHERE deadline_at IS NOT NULL AND status IN ('pending', 'running', 'paused');
CREATE INDEX runs_stopping ON runs (stop_at) WHERE stop IS NOT NULL AND status IN ('pending', 'running', 'paused');

CREATE TABLE workers (
    id          uuid PRIMARY KEY,
    name        text NOT NULL,
    lock_key    bigint NOT NULL,
    started_at  timestamptz NOT NULL DEFAULT now(),
    alive_until timestamptz NOT NULL
) WITH (fillfactor = 20);

CREATE TABLE segments (
    run_id      uuid NOT NULL,
    no          integer NOT NULL,
    tenant_id   uuid NOT NULL,
    keys        text[] NOT NULL,
    nodes       text[] NOT NULL,
    pos         integer NOT NULL DEFAULT 0,
    attempt     integer NOT NULL DEFAULT 1,
    open        boolean NOT NULL DEFAULT true,
    queue       text NOT NULL,
    due_at      timestamptz NOT NULL DEFAULT now(),
    sent_at     timestamptz,
    sends       integer NOT NULL DEFAULT 0,
    token       uuid,
    worker      uuid,
    claimed_at  timestamptz,
    deadline_at timestamptz,
    opened_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (run_id, no)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 2000);
CREATE INDEX segments_due ON segments (due_at) WHERE open AND due_at > '-infinity';

CREATE TABLE steps (
    run_id      uuid NOT NULL,
    key         text NOT NULL,
    tenant_id   uuid NOT NULL,
    node        text NOT NULL,
    segment     integer,
    attempt     integer NOT NULL DEFAULT 1,
    failures    integer NOT NULL DEFAULT 0,
    losses      integer NOT NULL DEFAULT 0,
    status      text NOT NULL,
    version     integer,
    output      json,
    output_ref  text,
    sha256      text,
    facts       json,
    error       json,
    pause       json,
    answer      json,
    due_at      timestamptz,
    started_at  timestamptz,
    finished_at timestamptz,
    PRIMARY KEY (run_id, key),
    CONSTRAINT steps_status_check CHECK (status IN ('succeeded', 'failed', 'retrying', 'waiting'))
);
CREATE INDEX steps_due ON steps (due_at) WHERE status = 'waiting' AND due_at IS NOT NULL;

CREATE TABLE effects (
    key          text PRIMARY KEY,
    run_id       uuid NOT NULL,
    tenant_id    uuid NOT NULL,
    step         text NOT NULL,
    attempt      integer NOT NULL,
    name         text NOT NULL,
    kind         text NOT NULL,
    status       text NOT NULL,
    request_hash text NOT NULL,
    result       json,
    created_at   timestamptz NOT NULL DEFAULT now(),
    finished_at  timestamptz,
    CONSTRAINT effects_of_run UNIQUE (run_id, step, name),
    CONSTRAINT effects_kind_check CHECK (kind IN ('idempotent', 'at_most_once')),
    CONSTRAINT effects_status_check CHECK (status IN ('intended', 'done', 'unknown'))
) WITH (fillfactor = 80);

CREATE TABLE events (
    run_id    uuid NOT NULL,
    seq       bigint NOT NULL,
    tenant_id uuid NOT NULL,
    type      text NOT NULL,
    step      text,
    node      text,
    at        timestamptz NOT NULL DEFAULT now(),
    data      json,
    PRIMARY KEY (run_id, seq)
) PARTITION BY RANGE (run_id);

CREATE TABLE broker (
    id     integer PRIMARY KEY DEFAULT 1,
    marker text NOT NULL,
    CONSTRAINT broker_one_row CHECK (id = 1)
);

CREATE TABLE slots (
    schedule text NOT NULL,
    fire_at  timestamptz NOT NULL,
    at       timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (schedule, fire_at)
);
