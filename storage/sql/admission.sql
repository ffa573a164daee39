-- Runs of limited tenants wait for a free slot (chains/admission.py). Only the two indexes of admission are read, and
-- for runs of a session the one of its active runs.

-- name: lock_admission(int)
-- Until the end of the transaction: one gives out slots at a time. The argument is ignored.
SELECT pg_advisory_xact_lock(hashtextextended('baton_admission', $1))

-- name: admit(text, int, int, int)
-- (slots by plan as JSON, slots of the installation or 0, threads of a worker process, at most so many): as the keeper,
-- when a limited run came or ended, and once a second. Gives free slots to the runs whose tenant has the fewest in
-- proportion to its weight, in a tenant by priority, then age; a tenant without any gets one even where none is free, so
-- that nobody waits for another's runs to end. A run waits on while its session is busy.
WITH RECURSIVE waiting (tenant_id) AS (
    (SELECT tenant_id FROM runs WHERE limited AND NOT admitted AND status = 'pending' ORDER BY tenant_id LIMIT 1)
    UNION ALL
    SELECT (SELECT r.tenant_id FROM runs r
            WHERE r.limited AND NOT r.admitted AND r.status = 'pending' AND r.tenant_id > w.tenant_id
            ORDER BY r.tenant_id LIMIT 1)
    FROM waiting w WHERE w.tenant_id IS NOT NULL
), tenant AS MATERIALIZED (  -- counts once a tenant, not once a candidate
    -- what is no number there stops nobody's admission: the plan's holds, as in policy/tenant_limits.py
    SELECT t.id, greatest(t.weight, 1) AS weight,
        coalesce(substring(t.limits ->> 'max_concurrent' FROM '^(?:-1|[1-9][0-9]{0,15})$')::bigint,
                 ($1::json ->> t.plan)::bigint, -1) AS slots,
        (SELECT count(*) FROM runs r
         WHERE r.limited AND r.admitted AND r.status IN ('pending', 'running') AND r.tenant_id = t.id) AS held
    FROM waiting w JOIN tenants t ON t.id = w.tenant_id WHERE t.status = 'active'
), free AS (
    SELECT CASE WHEN $2 > 0 THEN $2 ELSE $3 * 3 / 2 * greatest(1, (
               SELECT count(*) FROM workers WHERE alive_until > now() AND NOT starts_with(name, 'isolated'))) END
        - (SELECT count(*) FROM runs r WHERE r.limited AND r.admitted AND r.status IN ('pending', 'running')) AS slots
), candidate AS (
    SELECT c.id, t.held + c.no AS nth, (t.held + c.no)::float8 / t.weight AS share
    FROM tenant t CROSS JOIN LATERAL (
        SELECT r.id, row_number() OVER (ORDER BY r.priority DESC, r.created_at, r.id) AS no FROM runs r
        WHERE r.limited AND NOT r.admitted AND r.status = 'pending' AND r.tenant_id = t.id
          AND (r.session_id IS NULL OR NOT EXISTS (
              SELECT 1 FROM runs o WHERE o.tenant_id = r.tenant_id AND o.session_id = r.session_id
                AND o.status IN ('pending', 'running', 'paused') AND (o.status <> 'pending' OR o.id < r.id)))
        ORDER BY r.priority DESC, r.created_at, r.id
        LIMIT CASE WHEN t.slots < 0 THEN $4 ELSE greatest(0, least(t.slots - t.held, $4)) END) c
), placed AS (
    SELECT id, nth, row_number() OVER (ORDER BY share, nth, id) AS place FROM candidate
)
UPDATE runs SET admitted = true
FROM placed, free
WHERE runs.id = placed.id AND runs.status = 'pending' AND NOT runs.admitted
  AND placed.place <= $4 AND (placed.nth = 1 OR placed.place <= free.slots)
RETURNING runs.tenant_id, runs.id

-- name: give_slot_back(uuid)
-- A run that was admitted finds its session busy again: it waits without a slot, which another may need to end that.
UPDATE runs SET admitted = false WHERE id = $1 AND status = 'pending'

-- name: waiting_runs(bigint)
-- (bound): how many of the transaction's tenant's runs wait for a slot; counted no further than the bound.
SELECT count(*) FROM (SELECT 1 FROM runs WHERE limited AND NOT admitted AND status = 'pending'
                      AND tenant_id = nullif(current_setting('baton.tenant', true), '')::uuid LIMIT $1) AS waiting
