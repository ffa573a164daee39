-- Requests to forget a subject (chains/erasure.py).

-- name: request_erasure(uuid, uuid, text, bytea, uuid, text)
-- (id, tenant, subject, hash of the subject, run, who asks): once an erasure, in the transaction that writes its run.
INSERT INTO erasures (id, tenant_id, subject, subject_hash, run_id, requested_by) VALUES ($1, $2, $3, $4, $5, $6)
