-- name: missed_events(uuid, bigint, int)
-- (run, seq, limit): where the run stands, and its events after that seq; one row with nulls where there are none.
-- Called once when a live stream begins, and whenever a hint says that the stream missed something.
SELECT r.status, r.seq, e.seq, e.type, e.step, e.node, e.at, e.data::text
FROM runs r
LEFT JOIN LATERAL (
    SELECT * FROM events WHERE run_id = $1 AND seq > $2 ORDER BY seq LIMIT $3
) e ON r.seq > $2
WHERE r.id = $1
ORDER BY e.seq

-- name: run(uuid)
-- Once a run is accepted and at every look at one: its row, its steps by version, its open segments. The columns are
-- those of RunRow, StepRow and SegmentRow in storage/reads/runs.py, in their order.
SELECT id, chain, chain_version, status, seq, done, session_id, agent_id, parent_run_id, trace_id, output_ref,
    degraded_reason, created_at, started_at, finished_at, input::text, facts::text, output::text, error::text, pause::text,
    (SELECT json_agg(json_build_array(key, node, status, attempt, started_at, finished_at, facts::text) ORDER BY version, key)::text
     FROM steps WHERE run_id = $1),
    (SELECT json_agg(json_build_array(keys, nodes, pos, attempt, token, claimed_at) ORDER BY no)::text
     FROM segments WHERE run_id = $1 AND open)
FROM runs WHERE id = $1
