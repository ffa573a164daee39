-- How a run moves: read what is, write what comes next. Everything here runs after `lock_run` in one transaction.

-- name: situation(uuid)
-- Once a segment's end, in chains/advance.py: all that `plan` and the transition table need, without any payload; the
-- time that events of this transaction have, and whether a commit in it, whose own answer nobody read, was let through.
SELECT r.tenant_id, r.chain, r.chain_version, r.status, r.stop, extract(epoch FROM now() - r.stop_at)::float8,
    r.facts::text, r.session_id, r.error::text, r.deadline_at IS NOT NULL AND r.deadline_at <= now(),
    st.plain, st.facts, st.unfinished,
    (SELECT json_agg(json_build_array(s.no, s.keys[s.pos + 1:], s.nodes[s.pos + 1:], s.attempt, s.token, s.deadline_at <= now()))::text
     FROM segments s WHERE s.run_id = r.id AND s.open),
    (SELECT coalesce(max(s.no), 0) FROM segments s WHERE s.run_id = r.id),
    r.done, r.degraded_reason, r.trace_id, r.limited, r.admitted, r.seq, now(),
    coalesce(current_setting('baton.committed', true), '') <> ''
FROM runs r CROSS JOIN LATERAL (
    SELECT array_agg(key) FILTER (WHERE status = 'succeeded' AND facts IS NULL) AS plain,
        json_object_agg(key, facts) FILTER (WHERE status = 'succeeded' AND facts IS NOT NULL)::text AS facts,
        json_agg(json_build_array(key, node, status, attempt, failures, losses, answer, pause,
                 extract(epoch FROM due_at - now()), error)) FILTER (WHERE status <> 'succeeded')::text AS unfinished
    FROM steps WHERE run_id = r.id) st
WHERE r.id = $1

-- name: open_segment(uuid, int, uuid, text[], text[], int, text, float8)
-- (run, no, tenant, keys, nodes, attempt, queue, due in seconds): what is due now counts as sent, because it is sent
-- right after the commit; a failed send says so (`unsent`), and a death in between is what the sweep looks for.
INSERT INTO segments (run_id, no, tenant_id, keys, nodes, attempt, queue, due_at, sent_at, sends)
VALUES ($1, $2, $3, $4, $5, $6, $7, now() + make_interval(secs => $8),
        CASE WHEN $8 > 0 THEN NULL ELSE now() END, CASE WHEN $8 > 0 THEN 0 ELSE 1 END)

-- name: close_open_segments(uuid)
-- The final transition of a run that was stopped: who still runs becomes a zombie. Its attempt is kept, so that a
-- resumed run goes on with the next number.
WITH closed AS (
    UPDATE segments SET open = false, worker = NULL WHERE run_id = $1 AND open
    RETURNING run_id, tenant_id, no, keys[pos + 1] AS key, nodes[pos + 1] AS node, attempt, token
)
INSERT INTO steps AS st (run_id, key, tenant_id, node, segment, attempt, status, finished_at)
SELECT run_id, key, tenant_id, node, no, attempt, 'retrying', now() FROM closed WHERE token IS NOT NULL
ON CONFLICT (run_id, key) DO UPDATE SET attempt = excluded.attempt, segment = excluded.segment, status = 'retrying'

-- name: wait(uuid, text, uuid, text, text, float8)
-- (run, key, tenant, node, pause, timeout_seconds): a gate begins to wait.
INSERT INTO steps AS st (run_id, key, tenant_id, node, segment, attempt, status, pause, started_at, due_at)
VALUES ($1, $2, $3, $4, 0, 1, 'waiting', $5::json, now(), now() + make_interval(secs => $6))
ON CONFLICT (run_id, key) DO UPDATE
SET status = 'waiting', attempt = st.attempt + 1, pause = excluded.pause, answer = NULL, error = NULL,
    started_at = excluded.started_at, finished_at = NULL, due_at = excluded.due_at

-- name: pass_gate(uuid, text, text, text, text)
-- (run, key, answer as output, sha256, facts): an answered gate, or one whose timeout has an answer, is a succeeded step.
WITH passed AS (
    UPDATE steps SET status = 'succeeded', output = $3::json, answer = $3::json, sha256 = $4, facts = $5::json,
        finished_at = now(), due_at = NULL,
        version = (SELECT done + 1 FROM runs WHERE id = $1)
    WHERE run_id = $1 AND key = $2 AND status = 'waiting'
    RETURNING 1
)
UPDATE runs SET done = done + 1 FROM passed WHERE id = $1

-- name: step_again(uuid, text, text)
-- (run, key, answer): a node that paused gets its answer, or none when its time is over, and is planned again with the
-- next attempt.
UPDATE steps SET status = 'retrying', answer = $3::json, due_at = NULL, pause = NULL
WHERE run_id = $1 AND key = $2 AND status = 'waiting'

-- name: expire_wait(uuid, text, text)
-- (run, key, error)
UPDATE steps SET status = 'failed', error = $3::json, finished_at = now(), due_at = NULL
WHERE run_id = $1 AND key = $2 AND status = 'waiting'

-- name: answers_given(uuid)
-- Which steps of this run were answered before, and with what; the newest first.
SELECT key, answer::text FROM steps WHERE run_id = $1 AND answer IS NOT NULL ORDER BY finished_at DESC NULLS FIRST

-- name: stop_run(uuid, text, text)
-- (run, reason, error): the first reason stays.
UPDATE runs SET stop = $2, stop_at = now(), error = coalesce(error, $3::json)
WHERE id = $1 AND stop IS NULL AND status IN ('pending', 'running', 'paused')

-- name: record(uuid, uuid, text[], text[], text[], text[], text, text, text, text, text, text)
-- (run, tenant, events' types, steps, nodes, data; status or null, output, output_ref, error, pause, degraded_reason):
-- events, and with them the run's new status: the one statement that writes runs.status. chains/advance.py counts seq.
WITH run AS (
    UPDATE runs SET seq = seq + cardinality($3), status = coalesce($7, status),
        output = coalesce($8::json, output), output_ref = coalesce($9, output_ref),
        error = CASE WHEN $7 IS NULL THEN error WHEN $7 IN ('failed', 'cancelled') THEN $10::json END,
        pause = CASE WHEN $7 IS NULL THEN pause WHEN $7 = 'paused' THEN $11::json END,
        degraded_reason = coalesce($12, degraded_reason),
        started_at = CASE WHEN $7 = 'running' THEN coalesce(started_at, now()) ELSE started_at END,
        finished_at = CASE WHEN $7 IS NULL THEN finished_at WHEN $7 IN ('completed', 'failed', 'cancelled') THEN now() END
    WHERE id = $1
    RETURNING seq
)
INSERT INTO events (run_id, seq, tenant_id, type, step, node, at, data)
SELECT $1, run.seq - cardinality($3) + e.no, $2, e.type, e.step, e.node, now(), e.data::json
FROM run, unnest($3, $4, $5, $6) WITH ORDINALITY AS e(type, step, node, data, no)

-- name: session_free(text, uuid)
-- (session, run): is no other run of this tenant changing the session, and none waiting since earlier?
SELECT NOT EXISTS (SELECT 1 FROM runs WHERE session_id = $1 AND id <> $2
                   AND status IN ('pending', 'running', 'paused') AND (status <> 'pending' OR id < $2))

-- name: next_in_session(text)
SELECT id FROM runs WHERE session_id = $1 AND status = 'pending' ORDER BY id LIMIT 1

-- name: session_runs(text)
-- The runs of a session that are not final, oldest first.
SELECT id, status FROM runs WHERE session_id = $1 AND status IN ('pending', 'running', 'paused') ORDER BY id

-- name: results(uuid)
-- The final transition: every succeeded step in commit order, without payloads, and how many effects the run had.
SELECT key, node, version, facts::text, (SELECT count(*) FROM effects WHERE run_id = $1 AND status = 'done')
FROM steps WHERE run_id = $1 AND status = 'succeeded' ORDER BY version

-- name: clear_for_resume(uuid)
-- A resumed run: no stop reason, one more resume, its deadline as far away as it was at first (and at each resume since);
-- a limited one that never had a slot has one now, else it would not be counted.
UPDATE runs SET admitted = true, stop = NULL, stop_at = NULL, error = NULL, finished_at = NULL, resumes = resumes + 1,
    deadline_at = now() + (deadline_at - coalesce(
        (SELECT max(at) FROM events WHERE run_id = $1 AND type = 'run_resumed' AND data::text LIKE '%"steps"%'), created_at))
WHERE id = $1

-- name: retry_failed_steps(uuid)
-- A resumed run: every failed step gets a new budget; losses and attempts stay.
UPDATE steps SET status = 'retrying', failures = 0, due_at = NULL, pause = NULL
WHERE run_id = $1 AND status IN ('failed', 'retrying') RETURNING key

-- name: unsent(uuid, int)
-- A send failed: the sweep sends.
UPDATE segments SET sent_at = NULL WHERE run_id = $1 AND no = $2 AND open AND token IS NULL

-- name: lock_session(text)
-- Until the end of the transaction; always taken after the run's lock.
SELECT pg_advisory_xact_lock(hashtextextended($1, 0))

-- name: read_output(uuid, text)
SELECT output::text, output_ref FROM steps WHERE run_id = $1 AND key = $2 AND status = 'succeeded'

-- name: set_version(uuid, text)
-- `manage.py doctor`: the run goes on with another version of its chain, which fits all it has done.
UPDATE runs SET chain_version = $2 WHERE id = $1
