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
