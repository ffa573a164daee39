-- The tables of the model gateway. storage/tables.py tells what a row means and whom an index serves.

CREATE TABLE model_policies (
    tenant_id      uuid PRIMARY KEY,
    allowed_models text[],
    tokens_per_day bigint,
    money_per_day  numeric(20, 10),
    record_text    boolean NOT NULL DEFAULT false,
    updated_at     timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT model_policies_limits_check CHECK (tokens_per_day >= 0 AND money_per_day >= 0)
);

CREATE TABLE model_spend (
    tenant_id       uuid NOT NULL,
    day             date NOT NULL,
    tokens_used     bigint NOT NULL DEFAULT 0,
    tokens_reserved bigint NOT NULL DEFAULT 0,
    cost_used       numeric(20, 10) NOT NULL DEFAULT 0,
    cost_reserved   numeric(20, 10) NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant_id, day)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);

CREATE TABLE llm_call_logs (
    call_id         uuid PRIMARY KEY,
    tenant_id       uuid NOT NULL,
    run_id          uuid,
    step            text,
    chain           text NOT NULL,
    agent_id        text NOT NULL,
    operation       text NOT NULL,
    provider        text NOT NULL,
    backend         text NOT NULL,
    model           text NOT NULL,
    prompt_version  text NOT NULL,
    fallback_from   text,
    cache_level     text,
    status          text NOT NULL,
    error_code      text,
    reserved_tokens bigint NOT NULL DEFAULT 0,
    reserved_cost   numeric(20, 10) NOT NULL DEFAULT 0,
    tokens_in       bigint NOT NULL DEFAULT 0,
    tokens_out      bigint NOT NULL DEFAULT 0,
    cost            numeric(20, 10) NOT NULL DEFAULT 0,
    estimated       boolean NOT NULL DEFAULT false,
    latency_ms      double precision,
    first_token_ms  double precision,
    created_at      timestamptz NOT NULL DEFAULT now(),
    finished_at     timestamptz,
    prompt          json,
    answer          text,
    CONSTRAINT llm_call_logs_status_check
        CHECK (status IN ('started', 'succeeded', 'failed', 'cancelled', 'cached', 'lost')),
    CONSTRAINT llm_call_logs_cache_level_check CHECK (cache_level IN ('l1', 'l2', 'l3'))
) PARTITION BY RANGE (call_id);
CREATE INDEX llm_call_logs_open ON llm_call_logs (call_id) WHERE status = 'started';
CREATE INDEX llm_call_logs_of_tenant ON llm_call_logs (tenant_id, call_id) WHERE created_at > '-infinity';

CREATE TABLE semantic_answers (
    id            uuid PRIMARY KEY,
    tenant_id     uuid NOT NULL,
    scope         bytea NOT NULL,
    question_hash bytea NOT NULL,
    embedding     real[] NOT NULL,
    answer        text NOT NULL,
    created_at    timestamptz NOT NULL DEFAULT now(),
    expires_at    timestamptz NOT NULL
);
CREATE UNIQUE INDEX semantic_answers_of_scope ON semantic_answers (tenant_id, scope, question_hash);
CREATE INDEX semantic_answers_expired ON semantic_answers (expires_at);
