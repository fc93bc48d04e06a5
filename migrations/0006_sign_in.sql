-- Logging in elsewhere: with Google, Microsoft or GitHub, and with a company's own OpenID Connect provider.

-- What somebody is known as at a provider of the whole deployment. The pair of issuer and subject is the identity; the
-- address is what the provider called it, for people to recognise.
CREATE TABLE external_identities (
  id           uuid PRIMARY KEY,
  user_id      uuid NOT NULL REFERENCES users ON DELETE CASCADE,
  provider     text NOT NULL CHECK (provider IN ('google', 'microsoft', 'github')),
  issuer       text NOT NULL CHECK (length(issuer) <= 512),
  subject      text NOT NULL CHECK (length(subject) BETWEEN 1 AND 255),
  label        text NOT NULL CHECK (length(label) <= 320),
  linked_at    timestamptz NOT NULL DEFAULT now(),
  last_used_at timestamptz,
  CONSTRAINT external_identities_subject_key UNIQUE (issuer, subject)
);
CREATE INDEX external_identities_user ON external_identities (user_id);

-- A login that was started: its state is single use, belongs to one browser, and ends after ten minutes. The sealed text
-- holds what the callback needs and nobody else may read.
CREATE TABLE sign_in_attempts (
  state_hash   bytea PRIMARY KEY,
  browser_hash bytea NOT NULL,
  sealed       text NOT NULL,
  expires_at   timestamptz NOT NULL
);
CREATE INDEX sign_in_attempts_expiry ON sign_in_attempts (expires_at);

-- A company's own provider; one per workspace.
CREATE TABLE sign_in_providers (
  tenant_id      uuid PRIMARY KEY REFERENCES tenants ON DELETE CASCADE,
  issuer         text NOT NULL CHECK (length(issuer) <= 512),
  client_id      text NOT NULL CHECK (length(client_id) BETWEEN 1 AND 255),
  -- Sealed under the tenant's key, with the version as part of its place.
  secret_nonce   bytea NOT NULL,
  secret         bytea NOT NULL,
  secret_last4   text NOT NULL,
  secret_version bigint NOT NULL,
  -- The claim whose values are names of groups; empty for none.
  groups_claim   text NOT NULL CHECK (length(groups_claim) <= 200),
  -- What somebody becomes who logs in for the first time.
  default_role   text NOT NULL CHECK (default_role <> 'owner'),
  -- Counts up with every change that a test login has to prove again.
  version        bigint NOT NULL,
  -- What the last test login found, and with which version; a report without problems has passed.
  test_report    jsonb,
  tested_version bigint,
  tested_by      uuid REFERENCES users ON DELETE SET NULL,
  tested_at      timestamptz,
  enforced_at    timestamptz,
  updated_at     timestamptz NOT NULL DEFAULT now(),
  CHECK (enforced_at IS NULL OR tested_version = version)
);
ALTER TABLE sign_in_providers ENABLE ROW LEVEL SECURITY;
ALTER TABLE sign_in_providers FORCE ROW LEVEL SECURITY;
CREATE POLICY sign_in_providers_tenant ON sign_in_providers
  USING (tenant_id = app_tenant()) WITH CHECK (tenant_id = app_tenant());

-- Owners who may log in without the provider, for the day it is away.
CREATE TABLE sign_in_break_glass (
  tenant_id uuid NOT NULL,
  user_id   uuid NOT NULL,
  PRIMARY KEY (tenant_id, user_id),
  FOREIGN KEY (tenant_id, user_id) REFERENCES memberships (tenant_id, user_id) ON DELETE CASCADE
);
ALTER TABLE sign_in_break_glass ENABLE ROW LEVEL SECURITY;
ALTER TABLE sign_in_break_glass FORCE ROW LEVEL SECURITY;
CREATE POLICY sign_in_break_glass_tenant ON sign_in_break_glass
  USING (tenant_id = app_tenant()) WITH CHECK (tenant_id = app_tenant());

-- Domains that a workspace says are its own, and the value it shows in DNS to prove it.
CREATE TABLE sign_in_domains (
  tenant_id   uuid NOT NULL REFERENCES tenants ON DELETE CASCADE,
  domain      text NOT NULL CHECK (length(domain) BETWEEN 3 AND 253),
  challenge   text NOT NULL,
  added_at    timestamptz NOT NULL DEFAULT now(),
  verified_at timestamptz,
  -- 'dns' or 'operator'
  verified_by text CHECK (verified_by IN ('dns', 'operator')),
  PRIMARY KEY (tenant_id, domain)
);
ALTER TABLE sign_in_domains ENABLE ROW LEVEL SECURITY;
ALTER TABLE sign_in_domains FORCE ROW LEVEL SECURITY;
CREATE POLICY sign_in_domains_tenant ON sign_in_domains
  USING (tenant_id = app_tenant()) WITH CHECK (tenant_id = app_tenant());

-- Whose a proven domain is: the way from an address to its workspace before there is a tenant transaction, as a slug is.
-- One owner each, whoever was first.
CREATE TABLE domain_owners (
  domain text CONSTRAINT domain_owners_pkey PRIMARY KEY,
  owner  uuid NOT NULL REFERENCES tenants ON DELETE CASCADE
);
ALTER TABLE domain_owners ENABLE ROW LEVEL SECURITY;
ALTER TABLE domain_owners FORCE ROW LEVEL SECURITY;
CREATE POLICY domain_owners_find ON domain_owners FOR SELECT USING (true);
CREATE POLICY domain_owners_take ON domain_owners FOR INSERT WITH CHECK (owner = app_tenant());
CREATE POLICY domain_owners_leave ON domain_owners FOR DELETE USING (owner = app_tenant());

-- What somebody is known as at a company's provider. Kept per workspace: a provider that one company runs speaks for nobody
-- in another.
CREATE TABLE company_identities (
  tenant_id    uuid NOT NULL REFERENCES tenants ON DELETE CASCADE,
  issuer       text NOT NULL CHECK (length(issuer) <= 512),
  subject      text NOT NULL CHECK (length(subject) BETWEEN 1 AND 255),
  user_id      uuid NOT NULL REFERENCES users ON DELETE CASCADE,
  label        text NOT NULL CHECK (length(label) <= 320),
  linked_at    timestamptz NOT NULL DEFAULT now(),
  last_used_at timestamptz,
  CONSTRAINT company_identities_pkey PRIMARY KEY (tenant_id, issuer, subject)
);
CREATE INDEX company_identities_user ON company_identities (user_id);
ALTER TABLE company_identities ENABLE ROW LEVEL SECURITY;
ALTER TABLE company_identities FORCE ROW LEVEL SECURITY;
CREATE POLICY company_identities_tenant ON company_identities
  USING (tenant_id = app_tenant_if_set()) WITH CHECK (tenant_id = app_tenant_if_set());
CREATE POLICY company_identities_own ON company_identities FOR SELECT USING (user_id = app_user());

GRANT SELECT, INSERT, UPDATE, DELETE ON external_identities, sign_in_attempts, sign_in_providers, sign_in_break_glass,
  sign_in_domains, company_identities TO toolmesh_app;
GRANT SELECT, INSERT, DELETE ON domain_owners TO toolmesh_app;

-- Somebody who only ever logged in elsewhere has no password.
ALTER TABLE users ALTER COLUMN password_hash DROP NOT NULL;
