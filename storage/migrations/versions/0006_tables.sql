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
    at        timestamptz NOT NULL DEFAULT '-infinity',
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
        CONSTRAINT erasures_status_check CHECK (status IN ('requested', 'done')),
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
-- the roles have no INSERT. The head's row is held until the transaction ends, so that entries of a tenant are in order;
-- their times never go back, and the id is made of the time here: nobody chooses the month that an entry goes with.
CREATE FUNCTION baton_audit(
    entry_actor text, entry_action text, entry_resource text, entry_before text, entry_after text, entry_source text,
    entry_trace_id text
) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    tenant   uuid := nullif(current_setting('baton.tenant', true), '')::uuid;
    head     public.audit_heads%ROWTYPE;
    moment   timestamptz;
    entry_id uuid;
    said     text;
    new_hash bytea;
BEGIN
    IF tenant IS NULL THEN
        RAISE EXCEPTION 'an audit entry needs the transaction''s tenant' USING ERRCODE = 'insufficient_privilege';
    END IF;
    INSERT INTO public.audit_heads (tenant_id) VALUES (tenant) ON CONFLICT DO NOTHING;
    SELECT * INTO STRICT head FROM public.audit_heads WHERE tenant_id = tenant FOR UPDATE;
    moment := greatest(clock_timestamp(), head.at);
    -- a UUIDv7: the milliseconds, the version's digit, and the random rest of a version 4 with its variant
    entry_id := left(replace(public.baton_uuid_floor(moment)::text, '-', ''), 12) || '7'
        || right(replace(gen_random_uuid()::text, '-', ''), 19);
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
    UPDATE public.audit_heads SET seq = head.seq + 1, hash = new_hash, at = moment WHERE tenant_id = tenant;
    RETURN head.seq + 1;
END
$$;

-- Moves each tenant's cut behind the months that ended by `before`, records that as an entry of the tenant, and returns
-- how many tenants it touched. Called by the keeper right before baton_drop_partitions('audit_logs', before), which
-- drops a month only where every entry of it lies before its tenant's cut. Refuses what is younger than 180 days.
CREATE FUNCTION baton_audit_cut(before timestamptz) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s'
AS $$
DECLARE
    edge    timestamptz := date_trunc('month', before AT TIME ZONE 'UTC') AT TIME ZONE 'UTC';
    last    record;
    touched integer := 0;
BEGIN
    IF before > now() - interval '180 days' THEN
        RAISE EXCEPTION 'the record is kept for 180 days at least' USING ERRCODE = 'insufficient_privilege';
    END IF;
    -- every writer takes its own tenant's head alone; two that cut take them in the same order
    FOR last IN
        SELECT DISTINCT ON (l.tenant_id) l.tenant_id, l.seq, l.hash, l.seq - h.cut_seq AS entries
        FROM public.audit_logs l JOIN public.audit_heads h USING (tenant_id)
        WHERE l.id < public.baton_uuid_floor(edge) AND l.seq > h.cut_seq
        ORDER BY l.tenant_id, l.seq DESC
    LOOP
        UPDATE public.audit_heads SET cut_seq = last.seq, cut_hash = last.hash WHERE tenant_id = last.tenant_id;
        PERFORM set_config('baton.tenant', last.tenant_id::text, true);
        PERFORM public.baton_audit('system:retention', 'audit.retention', 'audit:' || last.seq, NULL,
            json_build_object('entries', last.entries, 'up_to_seq', last.seq, 'before',
                to_char(edge AT TIME ZONE 'UTC', 'YYYY-MM-DD'))::text, NULL, NULL);
        touched := touched + 1;
    END LOOP;
    PERFORM set_config('baton.tenant', '', true);
    RETURN touched;
END
$$;

-- Drops the partitions of months that ended by `before`; returns their names. A month of events with a run in it stays
-- whole: its events are deleted run by run. A month of the record goes when it lies before every tenant's cut. Calls
-- outlive their runs, and go by their age alone.
CREATE OR REPLACE FUNCTION baton_drop_partitions(parent text, before timestamptz) RETURNS text[]
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s'
AS $$
DECLARE
    dropped   text[] := '{}';
    part      text;
    month     date;
    month_end timestamptz;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('baton_partitions'));
    FOR part IN
        SELECT child.relname FROM pg_inherits
            JOIN pg_class child ON child.oid = inhrelid
        WHERE inhparent = to_regclass('public.' || parent) AND child.relname ~ ('^' || parent || '_\d{4}_\d{2}$')
        ORDER BY 1
    LOOP
        month := to_date(right(part, 7), 'YYYY_MM');
        month_end := (month + interval '1 month') AT TIME ZONE 'UTC';
        CONTINUE WHEN month_end > before;
        CONTINUE WHEN parent = 'events' AND EXISTS (
            SELECT FROM public.runs
            WHERE id >= public.baton_uuid_floor(month::timestamp AT TIME ZONE 'UTC')
                AND id < public.baton_uuid_floor(month_end));
        CONTINUE WHEN parent = 'audit_logs' AND EXISTS (
            SELECT FROM public.audit_logs l LEFT JOIN public.audit_heads h USING (tenant_id)
            WHERE l.id >= public.baton_uuid_floor(month::timestamp AT TIME ZONE 'UTC')
                AND l.id < public.baton_uuid_floor(month_end) AND l.seq > coalesce(h.cut_seq, 0));
        EXECUTE format('DROP TABLE public.%I', part);
        dropped := dropped || part;
    END LOOP;
    RETURN dropped;
END
$$;

REVOKE ALL ON FUNCTION baton_netstring(text), baton_audit(text, text, text, text, text, text, text),
    baton_audit_cut(timestamptz) FROM PUBLIC;

CREATE TABLE audit_logs_default PARTITION OF audit_logs DEFAULT;
SELECT public.baton_close_partition('audit_logs_default');
SELECT public.baton_make_partitions('audit_logs', 3);

-- Texts of model calls go with their run and on request: few calls have any.
CREATE INDEX llm_call_logs_with_text ON llm_call_logs (run_id) WHERE prompt IS NOT NULL OR answer IS NOT NULL;
