-- name: insert_run(uuid, uuid, text, text, text, text, text, text, text, text, bytea, int, float8, text, text, text, uuid, text, text, bool, text)
-- (id, tenant, chain, version, session, on_busy, agent, user, trace_id, idem_key, idem_hash, priority, deadline_seconds,
--  traceparent, input, facts, parent_run, fork_after, data of `run_accepted`, limited, actor): once a run. No row: this key was used before.
WITH run AS (
    INSERT INTO runs (id, tenant_id, chain, chain_version, status, session_id, on_busy, agent_id, user_id, trace_id,
                      idem_key, idem_hash, priority, deadline_at, traceparent, input, facts, parent_run_id, fork_after,
                      created_at, seq, limited, admitted, actor)
    VALUES ($1, $2, $3, $4, 'pending', $5, $6, $7, $8, $9, $10, $11, $12, now() + make_interval(secs => $13), $14,
            $15::json, $16::json, $17, $18, now(), 1,
            $20, NOT $20, $21)
    ON CONFLICT (tenant_id, idem_key) WHERE idem_key IS NOT NULL DO NOTHING
    RETURNING id, tenant_id
), event AS (
    INSERT INTO events (run_id, seq, tenant_id, type, at, data)
    SELECT id, 1, tenant_id, 'run_accepted', now(), $19::json FROM run
)
SELECT now() FROM run

-- name: run_by_key(text)
SELECT id, idem_hash FROM runs WHERE idem_key = $1

-- name: copy_steps(uuid, uuid, text[])
-- (from, to, keys): a fork keeps these checkpoints under the same versions order.
INSERT INTO steps (run_id, key, tenant_id, node, segment, attempt, failures, losses, status, version, output, output_ref,
                   sha256, facts, started_at, finished_at)
SELECT $2, key, tenant_id, node, 0, attempt, failures, losses, status, row_number() OVER (ORDER BY version), output,
       output_ref, sha256, facts, started_at, finished_at
FROM steps WHERE run_id = $1 AND status = 'succeeded' AND key = ANY ($3)

-- name: set_done(uuid, int)
UPDATE runs SET done = $2 WHERE id = $1

-- name: ensure_session(uuid, text, text)
-- (tenant, session, user): a run may name a session that nobody created.
INSERT INTO sessions (tenant_id, id, user_id, data) VALUES ($1, $2, $3, '{}') ON CONFLICT DO NOTHING

-- name: fork_source(uuid)
SELECT chain, chain_version, agent_id, user_id, input::text, traceparent FROM runs WHERE id = $1

-- name: steps_in_order(uuid)
SELECT key, output_ref FROM steps WHERE run_id = $1 AND status = 'succeeded' ORDER BY version

-- name: set_output_ref(uuid, text, text)
-- A fork's large outputs lie in blobs of its own, so that the parent's retention cannot take them away.
UPDATE steps SET output_ref = $3 WHERE run_id = $1 AND key = $2
