-- The keeper's statements, as the keeper's role over all tenants: each once a second and worker process.
-- `> '-infinity'` is always true: it names the partial indexes of the sweep, which the hot path must not choose.

-- name: heartbeat(uuid, text, bigint, float8)
-- (worker, name, lock_key, alive for seconds)
INSERT INTO workers (id, name, lock_key, started_at, alive_until)
VALUES ($1, $2, $3, now(), now() + make_interval(secs => $4))
ON CONFLICT (id) DO UPDATE SET alive_until = excluded.alive_until

-- name: hold_lock(bigint)
-- Session lock of a worker's keeper: it goes when the process goes, which the sweep of another worker sees.
SELECT pg_try_advisory_lock($1)

-- name: forget_worker(uuid)
DELETE FROM workers WHERE id = $1

-- name: still_mine(uuid, uuid[], int[], uuid[])
-- (worker, runs, segments, tokens) of the nodes that run here: the tokens that still hold and need not stop.
SELECT s.token
FROM unnest($2, $3, $4) AS mine(run_id, no, token)
JOIN segments s ON s.run_id = mine.run_id AND s.no = mine.no AND s.token = mine.token
JOIN runs r ON r.id = s.run_id
WHERE s.open AND s.worker = $1 AND s.deadline_at > now() AND r.stop IS NULL AND (r.deadline_at IS NULL OR r.deadline_at > now())

-- name: workers()
-- Who is there: (id, expired, its lock is free).
SELECT w.id, w.alive_until < now(),
    NOT EXISTS (
        SELECT 1 FROM pg_locks l
        WHERE l.locktype = 'advisory' AND l.objsubid = 1 AND l.granted
          AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
          AND (l.classid::bigint << 32) | l.objid::bigint = w.lock_key)
FROM workers w

-- name: held_by_nobody(uuid[], int)
-- (dead workers, limit): leases whose worker is dead or unknown, or whose deadline passed.
SELECT tenant_id, run_id, no, token,
    CASE WHEN deadline_at <= now() THEN 'deadline' ELSE 'worker_lost' END
FROM segments s
WHERE open AND due_at > '-infinity' AND token IS NOT NULL
  AND (deadline_at <= now() OR worker = ANY ($1) OR NOT EXISTS (SELECT 1 FROM workers w WHERE w.id = s.worker))
LIMIT $2

-- name: take_unsent(int)
-- Due and never sent. Marked as sent at once, so that two sweeps do not both send it.
UPDATE segments s SET sent_at = now(), sends = sends + 1
FROM (SELECT run_id, no FROM segments
      WHERE open AND due_at > '-infinity' AND due_at <= now() AND sent_at IS NULL AND token IS NULL
      ORDER BY due_at LIMIT $1 FOR UPDATE SKIP LOCKED) due
WHERE s.run_id = due.run_id AND s.no = due.no
RETURNING s.tenant_id, s.run_id, s.no, s.pos, s.keys[s.pos + 1:], s.nodes[s.pos + 1:], s.attempt, s.queue, s.sends

-- name: take_lost(text[], float8, int)
-- (empty queues, seconds, limit): sent a while ago, taken by nobody, and either its queue is empty or something sent
-- later in the same queue runs already. The patience doubles with every send. Only what was sent once tells when the
-- running message was sent: of several it may be the oldest, and then the whole queue would seem overtaken and be sent
-- again, without end.
UPDATE segments s SET sent_at = now(), sends = sends + 1
FROM (SELECT o.run_id, o.no FROM segments o
      JOIN runs r ON r.id = o.run_id AND r.status = 'running' AND r.stop IS NULL
      LEFT JOIN (SELECT queue, max(sent_at) AS newest FROM segments
                 WHERE open AND due_at > '-infinity' AND token IS NOT NULL AND sends = 1 GROUP BY queue) running
          ON running.queue = o.queue
      WHERE o.open AND o.due_at > '-infinity' AND o.token IS NULL AND o.due_at <= now()
        AND o.sent_at < now() - make_interval(secs => $2 * least(power(2, greatest(o.sends - 1, 0)), 16))
        AND (o.queue = ANY ($1)
             OR o.sent_at < running.newest - make_interval(secs => $2 * least(power(2, greatest(o.sends - 1, 0)), 16)))
      ORDER BY o.sent_at LIMIT $3 FOR UPDATE OF o SKIP LOCKED) lost
WHERE s.run_id = lost.run_id AND s.no = lost.no
RETURNING s.tenant_id, s.run_id, s.no, s.pos, s.keys[s.pos + 1:], s.nodes[s.pos + 1:], s.attempt, s.queue, s.sends

-- name: runs_to_move(int)
-- Runs that somebody has to look at: waits that are due, deadlines that passed, stops to be carried through,
-- pending runs whose session is free and that need no slot or got one, which they give back where it is not free.
(SELECT st.tenant_id, st.run_id FROM steps st JOIN runs r ON r.id = st.run_id
 WHERE st.status = 'waiting' AND st.due_at <= now() AND r.status IN ('running', 'paused') LIMIT $1)
UNION
(SELECT tenant_id, id FROM runs
 WHERE deadline_at <= now() AND stop IS NULL AND status IN ('pending', 'running', 'paused') LIMIT $1)
UNION
(SELECT tenant_id, id FROM runs
 WHERE stop IS NOT NULL AND stop_at < now() - interval '1 second' AND status IN ('pending', 'running', 'paused') LIMIT $1)
UNION
(SELECT r.tenant_id, r.id FROM runs r
 WHERE r.status = 'pending' AND r.admitted AND r.created_at > '-infinity' AND r.created_at < now() - interval '2 seconds'
   AND (r.session_id IS NULL OR r.limited OR NOT EXISTS (
       SELECT 1 FROM runs o WHERE o.tenant_id = r.tenant_id AND o.session_id = r.session_id
         AND o.status IN ('pending', 'running', 'paused') AND (o.status <> 'pending' OR o.id < r.id)))
 LIMIT $1)

-- name: broker_marker(text)
-- (a first marker): the marker that Redis must hold too.
WITH first AS (INSERT INTO broker (id, marker) VALUES (1, $1) ON CONFLICT (id) DO NOTHING RETURNING marker)
SELECT marker FROM first UNION ALL SELECT marker FROM broker WHERE id = 1 LIMIT 1

-- name: broker_forgot(text, text)
-- (old marker, new one): every open segment that nobody runs becomes unsent, as if never sent, once, whoever sees it
-- first.
WITH mine AS (
    UPDATE broker SET marker = $2 WHERE id = 1 AND marker = $1 RETURNING 1
), unsent AS (
    UPDATE segments SET sent_at = NULL, sends = 0 FROM mine
    WHERE open AND due_at > '-infinity' AND token IS NULL AND sent_at IS NOT NULL RETURNING 1
)
SELECT (SELECT count(*) FROM mine) = 1, (SELECT count(*) FROM unsent)

-- name: leases_of(uuid[])
SELECT tenant_id, run_id, no, token, 'drained' FROM segments WHERE open AND due_at > '-infinity' AND token IS NOT NULL AND worker = ANY ($1)

-- name: workers_named(text)
-- (name): the workers of one Celery node, its forked children included.
SELECT id FROM workers WHERE name = $1 OR starts_with(name, $1 || '/')

-- name: runs_without_segment(int)
-- A backstop, seldom asked: running runs with nothing to run. Random, so that one that cannot move hides no other.
SELECT r.tenant_id, r.id FROM runs r
WHERE r.status = 'running' AND r.created_at > '-infinity' AND NOT EXISTS (SELECT 1 FROM segments s WHERE s.run_id = r.id AND s.open)
ORDER BY random() LIMIT $1

-- name: take_slot(text, timestamptz)
-- Once a schedule and minute and beat; the row is unique, so one beat fires.
INSERT INTO slots (schedule, fire_at) VALUES ($1, $2) ON CONFLICT DO NOTHING

-- name: forget_dead_workers(uuid[])
DELETE FROM workers WHERE id = ANY ($1)

-- name: active_versions()
-- `manage.py doctor`: the chain versions that runs still need, failed ones included, because they can be resumed.
SELECT chain, chain_version, count(*), array_agg(id ORDER BY id), array_agg(tenant_id ORDER BY id)
FROM runs WHERE status IN ('pending', 'running', 'paused', 'failed') GROUP BY chain, chain_version ORDER BY 1, 2

-- name: server_facts()
-- `manage.py doctor`: version, time, and the extensions that are there.
SELECT current_setting('server_version'), now(), (SELECT array_agg(extname::text ORDER BY 1) FROM pg_extension)
