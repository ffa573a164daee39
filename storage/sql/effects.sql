-- The effects ledger. Twice an effect; the lease is looked at in the same statement, so a zombie cannot begin one.

-- name: intend_effect(text, uuid, int, uuid, text, int, text, text, text)
-- (key, run, segment, token, step, attempt, name, kind, request_hash): the row as it stands, new or old. No row: fenced.
WITH held AS (
    SELECT tenant_id FROM segments WHERE run_id = $2 AND no = $3 AND token = $4 AND open AND deadline_at > now()
    FOR SHARE
), new AS (
    INSERT INTO effects (key, run_id, tenant_id, step, attempt, name, kind, status, request_hash)
    SELECT $1, $2, held.tenant_id, $5, $6, $7, $8, 'intended', $9 FROM held
    ON CONFLICT (key) DO NOTHING
    RETURNING status, request_hash, result
)
SELECT true, status, request_hash, result::text FROM new
UNION ALL
SELECT false, e.status, e.request_hash, e.result::text FROM effects e, held WHERE e.key = $1

-- name: again_effect(text, int)
-- (key, attempt): an intent without a result is tried again, by this attempt.
UPDATE effects SET attempt = $2, status = 'intended' WHERE key = $1 AND status <> 'done'

-- name: effect_done(text, text)
-- (key, result)
UPDATE effects SET status = 'done', result = $2::json, finished_at = now() WHERE key = $1 AND status <> 'done'

-- name: effect_unknown(text)
UPDATE effects SET status = 'unknown' WHERE key = $1 AND status = 'intended'

-- name: effect_happened(text, text, text)
-- (key, result or null, request_hash or null): a person said that it happened.
UPDATE effects SET status = 'done', result = coalesce($2::json, result), request_hash = coalesce($3, request_hash),
    finished_at = coalesce(finished_at, now())
WHERE key = $1

-- name: effect_not_sent(text, int)
-- (key, attempt): it did not happen, says the call itself, of its own attempt only: another one may be under way.
DELETE FROM effects WHERE key = $1 AND status = 'intended' AND attempt = $2

-- name: effect_forgotten(text)
-- It did not happen, says a person: it may be sent again.
DELETE FROM effects WHERE key = $1
