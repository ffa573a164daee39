-- The record of what was done (storage/audit.py).

-- name: audit(text, text, text, text, text, text, text)
-- (actor, action, resource, before, after, source, trace id): inside the transaction of the change, last.
SELECT baton_audit($1, $2, $3, $4, $5, $6, $7)
