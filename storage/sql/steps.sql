-- The life of one step: lock, claim, start, commit, fail, wait, lose. All run as the application's role under the
-- run's tenant. Locks are always taken in the order run, segment, step; `lock_run` is a statement of its own so that
-- what follows it reads what the holder before it wrote.

-- name: lock_run(uuid)
-- First statement of every transaction that moves a run.
SELECT 1 FROM runs WHERE id = $1 FOR NO KEY UPDATE

-- name: claim(uuid, int, int, int, uuid, uuid, float8, bool, text[])
-- (run, segment, pos, attempt, token, worker, timeout_seconds, reads the input, reads outputs): once a message, unsynced.
-- No row: this message is stale, the run is stopping, or someone alive holds the step. The same token may claim twice
-- (a lost answer).
WITH taken AS (
    UPDATE segments s
    SET token = $5, worker = $6, claimed_at = now(),
        deadline_at = least(now() + make_interval(secs => $7), r.deadline_at)
    FROM runs r
    WHERE s.run_id = $1 AND s.no = $2 AND s.pos = $3 AND s.attempt = $4 AND s.open
      AND (s.token IS NULL OR s.token = $5) AND s.due_at <= now()
      AND r.id = s.run_id AND r.stop IS NULL AND r.status = 'running'
    RETURNING s.keys, s.nodes, s.deadline_at, r.chain, r.chain_version, r.facts, r.session_id, r.user_id, r.trace_id,
        r.traceparent, r.resumes, CASE WHEN $8 THEN r.input END AS input
)
SELECT keys, nodes, extract(epoch FROM deadline_at - now())::float8, chain, chain_version, facts::text, session_id, user_id,
    trace_id, traceparent, resumes, input::text,
    CASE WHEN cardinality($9) > 0 THEN (
        SELECT json_agg(json_build_array(st.key, st.version, st.output, st.output_ref))::text
        FROM steps st
        WHERE st.run_id = $1 AND st.status = 'succeeded'
          AND regexp_replace(st.key, '^.*/|\[\d+\]$', '', 'g') = ANY ($9))
    END,
    (SELECT json_build_array(st.failures, st.losses, st.answer)::text FROM steps st
     WHERE st.run_id = $1 AND st.key = taken.keys[$3 + 1])
FROM taken

-- name: read_outputs(uuid, text[])
-- Outputs that a node did not declare but looks at: once a name.
SELECT st.key, st.version, st.output::text, st.output_ref
FROM steps st
WHERE st.run_id = $1 AND st.status = 'succeeded' AND regexp_replace(st.key, '^.*/|\[\d+\]$', '', 'g') = ANY ($2)

-- name: read_input(uuid)
SELECT input::text FROM runs WHERE id = $1

-- name: start(uuid, int, uuid, text, text, text)
-- (run, segment, token, step, node, data): `step_started` of a step whose start was not written with the commit before it.
WITH held AS (
    SELECT 1 FROM segments WHERE run_id = $1 AND no = $2 AND open AND token = $3
), run AS (
    UPDATE runs SET seq = seq + 1 FROM held WHERE id = $1 RETURNING seq, tenant_id
)
INSERT INTO events (run_id, seq, tenant_id, type, step, node, at, data)
SELECT $1, run.seq, run.tenant_id, 'step_started', $4, $5, now(), $6::json FROM run
RETURNING seq, at

-- name: commit(uuid, int, int, uuid, text, text, int, text, text, text, text, timestamptz, text[], text[], text[], text[], uuid, uuid, float8, text[])
-- (run, segment, pos, token, key, node, attempt, output, output_ref, sha256, facts, started_at, events' types, steps, nodes, data;
-- of the next step, if it is claimed along: token, worker, timeout_seconds, outputs that it reads):
-- once a step, synced, right after lock_run in the same transaction. No row: fenced; `situation` in the same
-- transaction then sees no mark. The message stays the one that was sent for as long as steps are claimed along.
WITH seg AS (
    UPDATE segments
    SET pos = pos + 1, attempt = 1, open = pos + 1 < cardinality(keys),
        sent_at = CASE WHEN $17 IS NULL THEN now() ELSE sent_at END, sends = CASE WHEN $17 IS NULL THEN 1 ELSE sends END,
        (token, worker, claimed_at, deadline_at) = (
            SELECT $17, $18, now(), least(now() + make_interval(secs => $19), r.deadline_at)
            FROM runs r WHERE r.id = $1 AND $17 IS NOT NULL AND r.stop IS NULL AND r.status = 'running')
    WHERE run_id = $1 AND no = $2 AND pos = $3 AND token = $4 AND open
    RETURNING token, deadline_at
), run AS (
    UPDATE runs SET done = done + 1, seq = seq + cardinality($13) FROM seg WHERE id = $1
    RETURNING tenant_id, done, seq, stop, seg.token,
        extract(epoch FROM seg.deadline_at - now())::float8 AS seconds
), step AS (
    INSERT INTO steps AS st (run_id, key, tenant_id, node, segment, attempt, status, version, output, output_ref,
                             sha256, facts, started_at, finished_at)
    SELECT $1, $5, run.tenant_id, $6, $2, $7, 'succeeded', run.done, $8::json, $9, $10, $11::json, $12, now() FROM run
    ON CONFLICT (run_id, key) DO UPDATE
    SET status = 'succeeded', attempt = excluded.attempt, segment = excluded.segment, version = excluded.version,
        output = excluded.output, output_ref = excluded.output_ref, sha256 = excluded.sha256, facts = excluded.facts,
        error = NULL, pause = NULL, due_at = NULL, started_at = excluded.started_at, finished_at = excluded.finished_at
), event AS (
    INSERT INTO events (run_id, seq, tenant_id, type, step, node, at, data)
    SELECT $1, run.seq - cardinality($13) + e.no, run.tenant_id, e.type, e.step, e.node, now(), e.data::json
    FROM run, unnest($13, $14, $15, $16) WITH ORDINALITY AS e(type, step, node, data, no)
)
SELECT done, seq, stop, now(), CASE WHEN token IS NOT NULL THEN seconds END,
    CASE WHEN token IS NOT NULL AND cardinality($20) > 0 THEN (
        SELECT json_agg(json_build_array(st.key, st.version, st.output, st.output_ref))::text
        FROM steps st
        WHERE st.run_id = $1 AND st.status = 'succeeded'
          AND regexp_replace(st.key, '^.*/|\[\d+\]$', '', 'g') = ANY ($20))
    END, set_config('baton.committed', 'yes', true)
FROM run

-- name: lock_runs(uuid[])
-- Before `commit_many`, in the order of their ids, so that two groups never wait for each other.
SELECT 1 FROM runs WHERE id = ANY ($1) ORDER BY id FOR NO KEY UPDATE

-- name: commit_many(uuid[], int[], int[], uuid[], text[], text[], int[], text[], text[], text[], text[], timestamptz[], int[], uuid[], uuid[], float8[], text[], int[], int[], text[], text[], text[], text[])
-- The same as `commit` for several runs at once: arrays of what `commit` takes, the number of events of each, the next
-- steps (the outputs that they read as JSON arrays), and the events of all of them as (commit, number within it, type,
-- step, node, data). A commit that is missing in the answer is fenced.
WITH given AS (
    SELECT * FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17) WITH ORDINALITY
        AS g(run_id, no, pos, token, key, node, attempt, output, output_ref, sha256, facts, started_at, events,
             next_token, next_worker, next_seconds, next_reads, ord)
), seg AS (
    UPDATE segments s
    SET pos = s.pos + 1, attempt = 1, open = s.pos + 1 < cardinality(s.keys),
        sent_at = CASE WHEN g.next_token IS NULL THEN now() ELSE s.sent_at END,
        sends = CASE WHEN g.next_token IS NULL THEN 1 ELSE s.sends END,
        (token, worker, claimed_at, deadline_at) = (
            SELECT g.next_token, g.next_worker, now(),
                least(now() + make_interval(secs => g.next_seconds), r.deadline_at)
            FROM runs r
            WHERE r.id = g.run_id AND g.next_token IS NOT NULL AND r.stop IS NULL AND r.status = 'running')
    FROM given g
    WHERE s.run_id = g.run_id AND s.no = g.no AND s.pos = g.pos AND s.token = g.token AND s.open
    RETURNING g.ord, s.token, s.deadline_at
), run AS (
    UPDATE runs r SET done = r.done + 1, seq = r.seq + g.events
    FROM seg JOIN given g USING (ord)
    WHERE r.id = g.run_id
    RETURNING g.ord, r.id, r.tenant_id, r.done, r.seq, r.stop, seg.token, g.next_reads,
        extract(epoch FROM seg.deadline_at - now())::float8 AS seconds
), step AS (
    INSERT INTO steps AS st (run_id, key, tenant_id, node, segment, attempt, status, version, output, output_ref,
                             sha256, facts, started_at, finished_at)
    SELECT g.run_id, g.key, run.tenant_id, g.node, g.no, g.attempt, 'succeeded', run.done, g.output::json, g.output_ref,
           g.sha256, g.facts::json, g.started_at, now()
    FROM run JOIN given g USING (ord)
    ON CONFLICT (run_id, key) DO UPDATE
    SET status = 'succeeded', attempt = excluded.attempt, segment = excluded.segment, version = excluded.version,
        output = excluded.output, output_ref = excluded.output_ref, sha256 = excluded.sha256, facts = excluded.facts,
        error = NULL, pause = NULL, due_at = NULL, started_at = excluded.started_at, finished_at = excluded.finished_at
), event AS (
    INSERT INTO events (run_id, seq, tenant_id, type, step, node, at, data)
    SELECT g.run_id, run.seq - g.events + e.no, run.tenant_id, e.type, e.step, e.node, now(), e.data::json
    FROM unnest($18, $19, $20, $21, $22, $23) AS e(ord, no, type, step, node, data)
    JOIN run ON run.ord = e.ord JOIN given g ON g.ord = e.ord
)
SELECT ord, done, seq, stop, now(), CASE WHEN token IS NOT NULL THEN seconds END,
    CASE WHEN token IS NOT NULL AND next_reads <> '[]' THEN (
        SELECT json_agg(json_build_array(st.key, st.version, st.output, st.output_ref))::text
        FROM steps st
        WHERE st.run_id = run.id AND st.status = 'succeeded'
          AND regexp_replace(st.key, '^.*/|\[\d+\]$', '', 'g') IN (SELECT json_array_elements_text(next_reads::json)))
    END
FROM run

-- name: was_committed(uuid, text, int, uuid)
-- (run, key, attempt, token of the next step): did this execution commit, and claim along, although its answer was lost?
SELECT r.done, r.seq, r.stop, now(),
    CASE WHEN s.token = $4 THEN extract(epoch FROM s.deadline_at - now())::float8 END
FROM steps st JOIN runs r ON r.id = st.run_id LEFT JOIN segments s ON s.run_id = st.run_id AND s.no = st.segment
WHERE st.run_id = $1 AND st.key = $2 AND st.attempt = $3 AND st.status = 'succeeded'

-- name: close_step(uuid, int, uuid, text, text, int, text, int, int, text, text, timestamptz, float8)
-- (run, segment, token, key, node, attempt, status, +failures, +losses, error, pause, started_at, due in seconds or null):
-- an execution that did not succeed: failed, retrying (due when) or waiting. Closes the segment. No row: fenced.
WITH seg AS (
    UPDATE segments SET open = false, token = NULL, worker = NULL
    WHERE run_id = $1 AND no = $2 AND token IS NOT DISTINCT FROM $3 AND open
    RETURNING tenant_id
)
INSERT INTO steps AS st (run_id, key, tenant_id, node, segment, attempt, status, failures, losses, error, pause,
                         started_at, finished_at, due_at)
SELECT $1, $4, seg.tenant_id, $5, $2, $6, $7, $8, $9, $10::json, $11::json, $12, now(),
       now() + make_interval(secs => $13)
FROM seg
ON CONFLICT (run_id, key) DO UPDATE
SET status = excluded.status, attempt = excluded.attempt, segment = excluded.segment,
    failures = st.failures + excluded.failures, losses = st.losses + excluded.losses, error = excluded.error,
    pause = excluded.pause, answer = CASE WHEN excluded.status = 'waiting' THEN NULL ELSE st.answer END,
    started_at = excluded.started_at, finished_at = excluded.finished_at,
    due_at = excluded.due_at
RETURNING failures, losses
