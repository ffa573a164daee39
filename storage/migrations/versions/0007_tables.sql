-- What a tenant may use, and runs that wait for it (chains/admission.py). The indexes hold limited tenants' runs alone.

ALTER TABLE tenants
    ADD COLUMN plan text NOT NULL DEFAULT 'unlimited',
    ADD COLUMN limits json,
    ADD COLUMN weight integer NOT NULL DEFAULT 1,
    ADD CONSTRAINT tenants_plan_check CHECK (plan IN ('unlimited', 'starter', 'professional', 'enterprise'));

ALTER TABLE runs
    ADD COLUMN limited boolean NOT NULL DEFAULT false,
    ADD COLUMN admitted boolean NOT NULL DEFAULT true;

CREATE INDEX runs_waiting ON runs (tenant_id, priority DESC, created_at, id)
    WHERE limited AND NOT admitted AND status = 'pending';
CREATE INDEX runs_admitted ON runs (tenant_id) WHERE limited AND admitted AND status IN ('pending', 'running');
-- A session's runs that are not final: its queue is asked for by every admission, and its history may be long.
CREATE INDEX runs_of_session_active ON runs (tenant_id, session_id, id)
    WHERE status IN ('pending', 'running', 'paused') AND session_id IS NOT NULL;
