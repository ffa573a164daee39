-- The record. storage/audit_tables.py tells what a row means; storage/audit.py writes and verifies it.

CREATE TABLE audit_logs (
    id        uuid NOT NULL,
    tenant_id uuid NOT NULL,
    seq       bigint NOT NULL,
    at        timestamptz NOT NULL,
    actor     text NOT NULL,
    action    text NOT NULL,
    resource  text NOT NULL,
    before    json,
    after     json,
    source    text,
    trace_id  text,
    prev_hash bytea NOT NULL,
    hash      bytea NOT NULL,
    PRIMARY KEY (id)
) PARTITION BY RANGE (id);
CREATE INDEX audit_logs_in_order ON audit_logs (tenant_id, seq);
CREATE INDEX audit_logs_of_resource ON audit_logs (tenant_id, resource, seq);
CREATE INDEX audit_logs_of_actor ON audit_logs (tenant_id, actor, seq);

CREATE TABLE audit_heads (
    tenant_id uuid PRIMARY KEY,
    seq       bigint NOT NULL DEFAULT 0,
    hash      bytea NOT NULL DEFAULT ''::bytea,
    cut_seq   bigint NOT NULL DEFAULT 0,
    cut_hash  bytea NOT NULL DEFAULT ''::bytea
);

CREATE TABLE audit_anchors (
    tenant_id uuid NOT NULL,
    day       date NOT NULL,
    seq       bigint NOT NULL,
    hash      bytea NOT NULL,
    made_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, day)
);

CREATE TABLE erasures (
    id           uuid PRIMARY KEY,
    tenant_id    uuid NOT NULL,
    subject      text,
    subject_hash bytea NOT NULL,
    status       text NOT NULL DEFAULT 'requested'
        CONSTRAINT erasures_status_check CHECK (status IN ('requested', 'done', 'failed')),
    run_id       uuid,
    requested_by text NOT NULL,
    requested_at timestamptz NOT NULL DEFAULT now(),
    done_at      timestamptz,
    counts       json
);
CREATE INDEX erasures_newest ON erasures (tenant_id, id);

-- A value as the hash reads it: its length in bytes, a colon, itself, a comma (a netstring); `-,` for none. No two lists
-- of values read the same.
CREATE FUNCTION baton_netstring(value text) RETURNS text
    LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$ SELECT CASE WHEN value IS NULL THEN '-,' ELSE octet_length(value) || ':' || value || ',' END $$;

-- Adds an entry to the chain of the tenant that the transaction is for, and returns its seq. The only way to add one:
-- the roles have no INSERT. The head's row is held until the transaction ends, so that entries of a tenant are in order.
CREATE FUNCTION baton_audit(
    entry_id uuid, entry_actor text, entry_action text, entry_resource text, entry_before text, entry_after text,
    entry_source text, entry_trace_id text
) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    tenant   uuid := nullif(current_setting('baton.tenant', true), '')::uuid;
    head     public.audit_heads%ROWTYPE;
    moment   timestamptz := clock_timestamp();
    said     text;
    new_hash bytea;
BEGIN
    IF tenant IS NULL THEN
        RAISE EXCEPTION 'an audit entry needs the transaction''s tenant' USING ERRCODE = 'insufficient_privilege';
    END IF;
    INSERT INTO public.audit_heads (tenant_id) VALUES (tenant) ON CONFLICT DO NOTHING;
    SELECT * INTO STRICT head FROM public.audit_heads WHERE tenant_id = tenant FOR UPDATE;
    said := public.baton_netstring(tenant::text) || public.baton_netstring((head.seq + 1)::text)
        || public.baton_netstring(to_char(moment AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'))
        || public.baton_netstring(entry_id::text) || public.baton_netstring(entry_actor)
        || public.baton_netstring(entry_action) || public.baton_netstring(entry_resource)
        || public.baton_netstring(entry_before) || public.baton_netstring(entry_after)
        || public.baton_netstring(entry_source) || public.baton_netstring(entry_trace_id);
    new_hash := sha256(head.hash || convert_to(said, 'UTF8'));
    INSERT INTO public.audit_logs
        (id, tenant_id, seq, at, actor, action, resource, before, after, source, trace_id, prev_hash, hash)
    VALUES (entry_id, tenant, head.seq + 1, moment, entry_actor, entry_action, entry_resource, entry_before::json,
        entry_after::json, entry_source, entry_trace_id, head.hash, new_hash);
    UPDATE public.audit_heads SET seq = head.seq + 1, hash = new_hash WHERE tenant_id = tenant;
    RETURN head.seq + 1;
END
$$;

REVOKE ALL ON FUNCTION baton_netstring(text), baton_audit(uuid, text, text, text, text, text, text, text) FROM PUBLIC;

CREATE TABLE audit_logs_default PARTITION OF audit_logs DEFAULT;
SELECT public.baton_close_partition('audit_logs_default');
SELECT public.baton_make_partitions('audit_logs', 3);
