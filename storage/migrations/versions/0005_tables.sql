-- The tables of identity. storage/identity_tables.py tells what a row means and whom an index serves.

ALTER TABLE tenants ADD COLUMN status text NOT NULL DEFAULT 'active',
    ADD CONSTRAINT tenants_status_check CHECK (status IN ('active', 'suspended'));

CREATE TABLE users (
    id               uuid PRIMARY KEY,
    tenant_id        uuid NOT NULL REFERENCES tenants (id),
    email            text NOT NULL,
    email_key        text NOT NULL,
    name             text NOT NULL,
    roles            text[] NOT NULL DEFAULT '{}',
    status           text NOT NULL DEFAULT 'active' CONSTRAINT users_status_check CHECK (status IN ('active', 'disabled')),
    external_issuer  text,
    external_subject text,
    created_at       timestamptz NOT NULL DEFAULT now(),
    updated_at       timestamptz NOT NULL DEFAULT now(),
    last_login_at    timestamptz
);
CREATE UNIQUE INDEX users_by_email ON users (tenant_id, email_key);
CREATE UNIQUE INDEX users_by_subject ON users (tenant_id, external_issuer, external_subject)
    WHERE external_subject IS NOT NULL;

CREATE TABLE user_passwords (
    user_id    uuid PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    tenant_id  uuid NOT NULL,
    hash       text NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE groups (
    id         uuid PRIMARY KEY,
    tenant_id  uuid NOT NULL REFERENCES tenants (id),
    name       text NOT NULL,
    roles      text[] NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX groups_by_name ON groups (tenant_id, name);

CREATE TABLE group_members (
    group_id  uuid NOT NULL REFERENCES groups (id) ON DELETE CASCADE,
    user_id   uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    tenant_id uuid NOT NULL,
    PRIMARY KEY (group_id, user_id)
);
CREATE INDEX ix_group_members_user_id ON group_members (user_id);

-- the keys that there are keep opening everything, as they did
ALTER TABLE api_keys
    ADD COLUMN user_id uuid REFERENCES users (id) ON DELETE CASCADE,
    ADD COLUMN roles text[] NOT NULL DEFAULT '{owner}',
    ADD COLUMN scopes text[],
    ADD COLUMN expires_at timestamptz,
    ADD COLUMN replaced_by uuid,
    ADD COLUMN created_by text;

CREATE TABLE refresh_tokens (
    id         uuid PRIMARY KEY,
    tenant_id  uuid NOT NULL,
    user_id    uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    family     uuid NOT NULL,
    hash       bytea NOT NULL UNIQUE,
    issued_at  timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    used_at    timestamptz,
    ended_at   timestamptz,
    ended_why  text,
    source     text
);
CREATE INDEX refresh_tokens_of_family ON refresh_tokens (family);
CREATE INDEX refresh_tokens_of_user ON refresh_tokens (user_id);
CREATE INDEX refresh_tokens_old ON refresh_tokens (expires_at);

CREATE TABLE one_time_tokens (
    hash       bytea PRIMARY KEY,
    tenant_id  uuid NOT NULL,
    kind       text NOT NULL
        CONSTRAINT one_time_tokens_kind_check CHECK (kind IN ('ticket', 'oidc_login', 'password_reset')),
    data       json NOT NULL,
    expires_at timestamptz NOT NULL
);
CREATE INDEX one_time_tokens_old ON one_time_tokens (expires_at);

CREATE TABLE login_failures (
    tenant_id    uuid NOT NULL,
    name_hash    bytea NOT NULL,
    failures     integer NOT NULL DEFAULT 0,
    last_at      timestamptz NOT NULL DEFAULT now(),
    locked_until timestamptz,
    PRIMARY KEY (tenant_id, name_hash)
);

CREATE TABLE oidc_providers (
    tenant_id       uuid PRIMARY KEY REFERENCES tenants (id),
    issuer          text NOT NULL,
    client_id       text NOT NULL,
    client_secret   bytea,
    scopes          text[] NOT NULL DEFAULT '{openid,email,profile}',
    role_claim      text,
    role_map        json,
    default_roles   text[] NOT NULL DEFAULT '{viewer}',
    allowed_domains text[] NOT NULL DEFAULT '{}',
    enabled         boolean NOT NULL DEFAULT true,
    updated_at      timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE signing_keys (
    kid         text PRIMARY KEY,
    public      json NOT NULL,
    private     bytea NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    signs_from  timestamptz NOT NULL,
    shown_until timestamptz
);

-- who started a run, as the audit names them
ALTER TABLE runs ADD COLUMN actor text;
