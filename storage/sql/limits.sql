-- What a tenant may use, and sessions counted exactly (policy/tenant_limits.py, storage/sessions.py).

-- name: tenant_limits(uuid)
-- As the application's role under the tenant; at most once in 5 s for each tenant and process.
SELECT plan, limits::text, weight FROM tenants WHERE id = $1

-- name: sessions_up_to(uuid, bigint)
-- (tenant, limit): when a tenant with a limit makes a session, after the insert and under the lock, in a statement of its
-- own: it sees every session that was committed under the lock, and the new one. Counts no further than one too many.
SELECT count(*) FROM (SELECT 1 FROM sessions WHERE tenant_id = $1 LIMIT $2 + 1) AS first
