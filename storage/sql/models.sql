-- The model gateway's budget and record. All but `settle_lost` run as the application's role under the tenant, unsynced:
-- the commit of the step comes later in the log and is synced, so the calls of a step that stands are as durable as it.
-- Locks are taken in the order call, spend.

-- name: open_call(uuid, uuid, uuid, text, text, text, text, text, text, text, text, text, bigint, numeric, bigint, numeric)
-- (call, tenant, run, step, chain, agent, operation, provider, backend, model, prompt_version, fallback_from, tokens, cost,
-- tokens a day, money a day): once before each call of a model. Reserves, and opens the row; no row: the budget does not
-- hold it. The row of the day is locked before its condition is looked at, so of calls at once none goes over the limit.
-- The last two hold for a tenant without limits of its own; 0 is no limit. What needs nothing is always held: a model
-- without a price answers when the money is used up.
WITH allowed AS MATERIALIZED (
    SELECT coalesce(p.tokens_per_day, $15) AS tokens, coalesce(p.money_per_day, $16) AS money
    FROM (SELECT $2 AS tenant_id) t LEFT JOIN model_policies p USING (tenant_id)
), spend AS (
    INSERT INTO model_spend AS s (tenant_id, day, tokens_reserved, cost_reserved)
    SELECT $2, (now() AT TIME ZONE 'UTC')::date, $13, $14 FROM allowed
    WHERE (allowed.tokens = 0 OR $13 <= allowed.tokens) AND (allowed.money = 0 OR $14 <= allowed.money)
    ON CONFLICT (tenant_id, day) DO UPDATE
    SET tokens_reserved = s.tokens_reserved + excluded.tokens_reserved,
        cost_reserved = s.cost_reserved + excluded.cost_reserved
    WHERE ($13 = 0 OR (SELECT tokens FROM allowed) = 0
           OR s.tokens_used + s.tokens_reserved + excluded.tokens_reserved <= (SELECT tokens FROM allowed))
      AND ($14 = 0 OR (SELECT money FROM allowed) = 0
           OR s.cost_used + s.cost_reserved + excluded.cost_reserved <= (SELECT money FROM allowed))
    RETURNING 1
), call AS (
    INSERT INTO llm_call_logs (call_id, tenant_id, run_id, step, chain, agent_id, operation, provider, backend, model,
                               prompt_version, fallback_from, status, reserved_tokens, reserved_cost)
    SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, 'started', $13, $14 FROM spend
)
SELECT 1 FROM spend

-- name: refusal(uuid, bigint, numeric)
-- (tenant, tokens a day, money a day): why `open_call` gave no row: limits, what is used and reserved of them today, and
-- the seconds until the next day.
SELECT coalesce(p.tokens_per_day, $2), coalesce(p.money_per_day, $3),
    coalesce(s.tokens_used, 0), coalesce(s.tokens_reserved, 0), coalesce(s.cost_used, 0), coalesce(s.cost_reserved, 0),
    extract(epoch FROM (t.day + 1)::timestamp - now() AT TIME ZONE 'UTC')::float8
FROM (SELECT $1 AS tenant_id, (now() AT TIME ZONE 'UTC')::date AS day) t
LEFT JOIN model_policies p ON p.tenant_id = t.tenant_id
LEFT JOIN model_spend s ON s.tenant_id = t.tenant_id AND s.day = t.day

-- name: close_call(uuid, text, text, bigint, bigint, numeric, bool, float8, float8, text, text)
-- (call, status, error_code, tokens_in, tokens_out, cost, estimated, latency_ms, first_token_ms, prompt, answer): once after
-- each call. Gives the reservation back and counts what was used, on the day on which the call was opened. A call that is
-- settled already changes nothing. Returns the tokens used on that day by now.
WITH call AS (
    UPDATE llm_call_logs
    SET status = $2, error_code = $3, tokens_in = $4, tokens_out = $5, cost = $6, estimated = $7, latency_ms = $8,
        first_token_ms = $9, prompt = $10::json, answer = $11, finished_at = now()
    WHERE call_id = $1 AND status = 'started'
    RETURNING tenant_id, (created_at AT TIME ZONE 'UTC')::date AS day, reserved_tokens, reserved_cost
)
UPDATE model_spend s
SET tokens_reserved = s.tokens_reserved - call.reserved_tokens, tokens_used = s.tokens_used + $4 + $5,
    cost_reserved = s.cost_reserved - call.reserved_cost, cost_used = s.cost_used + $6
FROM call
WHERE s.tenant_id = call.tenant_id AND s.day = call.day
RETURNING s.tokens_used

-- name: cached_call(uuid, uuid, uuid, text, text, text, text, text, text, text, text, text, text)
-- (call, tenant, run, step, chain, agent, operation, provider, backend, model, prompt_version, fallback_from, level): once
-- for each answer from a cache. Costs nothing.
INSERT INTO llm_call_logs (call_id, tenant_id, run_id, step, chain, agent_id, operation, provider, backend, model,
                           prompt_version, fallback_from, cache_level, status, finished_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, 'cached', now())

-- name: settle_lost(uuid, timestamptz, int)
-- (smallest id of a call that is young, now minus the same, limit): every few minutes, as the keeper's role. What nobody
-- closed was perhaps answered: its reservation counts as used. One at a time, so that two never lock days crosswise.
WITH alone AS MATERIALIZED (
    SELECT pg_try_advisory_xact_lock(hashtext('baton_settle_lost')) AS got
), old AS (
    SELECT l.call_id FROM llm_call_logs l
    WHERE l.status = 'started' AND l.call_id < $1 AND l.created_at < $2 AND (SELECT got FROM alone)
    ORDER BY l.call_id LIMIT $3 FOR UPDATE OF l SKIP LOCKED
), lost AS (
    UPDATE llm_call_logs l
    SET status = 'lost', error_code = 'lost', tokens_in = l.reserved_tokens, cost = l.reserved_cost, estimated = true,
        finished_at = now()
    FROM old
    WHERE l.call_id = old.call_id AND l.status = 'started'
    RETURNING l.tenant_id, (l.created_at AT TIME ZONE 'UTC')::date AS day, l.reserved_tokens, l.reserved_cost
), spend AS (
    UPDATE model_spend s
    SET tokens_reserved = s.tokens_reserved - gone.tokens, tokens_used = s.tokens_used + gone.tokens,
        cost_reserved = s.cost_reserved - gone.cost, cost_used = s.cost_used + gone.cost
    FROM (SELECT tenant_id, day, sum(reserved_tokens)::bigint AS tokens, sum(reserved_cost) AS cost
          FROM lost GROUP BY tenant_id, day) gone
    WHERE s.tenant_id = gone.tenant_id AND s.day = gone.day
)
SELECT count(*) FROM lost

-- name: spent(uuid)
-- Today's figures of a tenant; no row: it asked for nothing yet.
SELECT tokens_used, tokens_reserved, cost_used, cost_reserved FROM model_spend
WHERE tenant_id = $1 AND day = (now() AT TIME ZONE 'UTC')::date
