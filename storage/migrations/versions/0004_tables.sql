-- The tables of the script studio. storage/studio_tables.py tells what a row means and whom an index serves.

CREATE TABLE creator_profiles (
    id            uuid PRIMARY KEY,
    tenant_id     uuid NOT NULL,
    external_id   text,
    name          text NOT NULL,
    name_key      text NOT NULL,
    language      text,
    categories    text[] NOT NULL DEFAULT '{}',
    style         text,
    default_tone  text,
    persona       text,
    catch_phrases text[] NOT NULL DEFAULT '{}',
    banned        text[] NOT NULL DEFAULT '{}',
    brand_bans    text[] NOT NULL DEFAULT '{}',
    policy_tags   text[] NOT NULL DEFAULT '{}',
    created_at    timestamptz NOT NULL DEFAULT now(),
    updated_at    timestamptz NOT NULL DEFAULT now(),
    archived_at   timestamptz
);
CREATE UNIQUE INDEX creator_profiles_by_name ON creator_profiles (tenant_id, name_key) WHERE archived_at IS NULL;
CREATE UNIQUE INDEX creator_profiles_by_external_id ON creator_profiles (tenant_id, external_id)
    WHERE external_id IS NOT NULL AND archived_at IS NULL;
CREATE INDEX creator_profiles_newest ON creator_profiles (tenant_id, id) WHERE archived_at IS NULL;

CREATE TABLE product_profiles (
    id              uuid PRIMARY KEY,
    tenant_id       uuid NOT NULL,
    sku             text,
    name            text NOT NULL,
    name_key        text NOT NULL,
    aliases         text[] NOT NULL DEFAULT '{}',
    alias_keys      text[] NOT NULL DEFAULT '{}',
    brand           text,
    category        text,
    language        text,
    price           numeric(14, 2),
    original_price  numeric(14, 2),
    currency        text,
    offer           text,
    stock_note      text,
    specification   text,
    selling_points  text[] NOT NULL DEFAULT '{}',
    ingredients     text[] NOT NULL DEFAULT '{}',
    origin          text,
    certifications  text[] NOT NULL DEFAULT '{}',
    audience        text,
    compliance_tags text[] NOT NULL DEFAULT '{}',
    brand_bans      text[] NOT NULL DEFAULT '{}',
    extra           json NOT NULL,
    created_at      timestamptz NOT NULL DEFAULT now(),
    updated_at      timestamptz NOT NULL DEFAULT now(),
    archived_at     timestamptz,
    CONSTRAINT product_profiles_prices_check CHECK (price >= 0 AND original_price >= price)
);
CREATE UNIQUE INDEX product_profiles_by_sku ON product_profiles (tenant_id, sku)
    WHERE sku IS NOT NULL AND archived_at IS NULL;
CREATE UNIQUE INDEX product_profiles_by_name ON product_profiles (tenant_id, name_key)
    WHERE sku IS NULL AND archived_at IS NULL;
CREATE INDEX product_profiles_newest ON product_profiles (tenant_id, id) WHERE archived_at IS NULL;
