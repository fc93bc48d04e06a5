-- Callers that are no people: service accounts, what API keys may do and for how long, identity providers that vouch for
-- members, and writing as a permission of its own.

CREATE TABLE service_accounts (
  tenant_id   uuid NOT NULL REFERENCES tenants ON DELETE CASCADE,
  id          uuid NOT NULL,
  name        text NOT NULL,
  description text NOT NULL DEFAULT '',
  created_by  uuid NOT NULL REFERENCES users,
  created_at  timestamptz NOT NULL DEFAULT now(),
  -- While set, nothing that acts as it works.
  disabled_at timestamptz,
  PRIMARY KEY (tenant_id, id),
  CONSTRAINT service_accounts_name_key UNIQUE (tenant_id, name)
);
ALTER TABLE service_accounts ENABLE ROW LEVEL SECURITY;
ALTER TABLE service_accounts FORCE ROW LEVEL SECURITY;
CREATE POLICY service_accounts_tenant ON service_accounts
  USING (tenant_id = app_tenant()) WITH CHECK (tenant_id = app_tenant());

ALTER TABLE api_keys
  ALTER COLUMN user_id DROP NOT NULL,
  ADD COLUMN service_account_id uuid,
  -- The part of the key that may be shown.
  ADD COLUMN prefix text NOT NULL DEFAULT 'tmk_',
  ADD COLUMN scope text NOT NULL DEFAULT 'all' CHECK (scope IN ('all', 'read')),
  -- Noted at most once a minute.
  ADD COLUMN last_used_at timestamptz,
  ADD COLUMN last_used_from text,
  -- The secret before the last roll, as long as it may still be used.
  ADD COLUMN previous_sha256 bytea,
  ADD COLUMN previous_until timestamptz,
  ADD COLUMN rolled_at timestamptz,
  ADD CONSTRAINT api_keys_one_owner CHECK ((user_id IS NULL) <> (service_account_id IS NULL)),
  ADD CONSTRAINT api_keys_previous CHECK ((previous_sha256 IS NULL) = (previous_until IS NULL)),
  ADD FOREIGN KEY (tenant_id, service_account_id) REFERENCES service_accounts (tenant_id, id) ON DELETE CASCADE;
CREATE INDEX api_keys_service_account ON api_keys (tenant_id, service_account_id) WHERE service_account_id IS NOT NULL;

ALTER TABLE audit_events ADD COLUMN service_account_id uuid;
CREATE INDEX audit_events_service_account ON audit_events (tenant_id, service_account_id, at DESC)
  WHERE service_account_id IS NOT NULL;

-- A client that acts as a service account, by client_credentials.
ALTER TABLE oauth_clients
  ADD COLUMN service_account_id uuid,
  ADD FOREIGN KEY (tenant_id, service_account_id) REFERENCES service_accounts (tenant_id, id) ON DELETE CASCADE;
CREATE INDEX oauth_clients_service_account ON oauth_clients (tenant_id, service_account_id)
  WHERE service_account_id IS NOT NULL;

-- How a client came to act for a user: by the user's consent, or because an identity provider vouched for both.
ALTER TABLE oauth_grants
  ADD COLUMN via text NOT NULL DEFAULT 'consent' CHECK (via IN ('consent', 'identity_provider'));

-- Whether tools that do more than read need a token with mcp:write.
ALTER TABLE tenants ADD COLUMN writes_need_scope boolean NOT NULL DEFAULT false;

CREATE TABLE identity_providers (
  tenant_id    uuid NOT NULL REFERENCES tenants ON DELETE CASCADE,
  id           uuid NOT NULL,
  -- Compared byte by byte with what an assertion says.
  issuer       text NOT NULL CHECK (length(issuer) <= 500),
  -- Where its keys are, as its discovery document or an admin said.
  jwks_uri     text NOT NULL CHECK (length(jwks_uri) <= 512),
  -- Clients that it may vouch for; none for all.
  client_ids   text[] NOT NULL DEFAULT '{}',
  created_by   uuid NOT NULL REFERENCES users,
  created_at   timestamptz NOT NULL DEFAULT now(),
  last_used_at timestamptz,
  PRIMARY KEY (tenant_id, id),
  CONSTRAINT identity_providers_issuer_key UNIQUE (tenant_id, issuer)
);
ALTER TABLE identity_providers ENABLE ROW LEVEL SECURITY;
ALTER TABLE identity_providers FORCE ROW LEVEL SECURITY;
CREATE POLICY identity_providers_tenant ON identity_providers
  USING (tenant_id = app_tenant()) WITH CHECK (tenant_id = app_tenant());

-- Whom a provider's subject turned out to be. The first time it is told by the address; from then on the address no longer
-- counts, so that one that passes to somebody else does not pass on what the first could do.
CREATE TABLE identity_links (
  tenant_id   uuid NOT NULL,
  provider_id uuid NOT NULL,
  subject     text NOT NULL CHECK (length(subject) <= 255),
  user_id     uuid NOT NULL,
  created_at  timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant_id, provider_id, subject),
  FOREIGN KEY (tenant_id, provider_id) REFERENCES identity_providers (tenant_id, id) ON DELETE CASCADE,
  FOREIGN KEY (tenant_id, user_id) REFERENCES memberships (tenant_id, user_id) ON DELETE CASCADE
);
ALTER TABLE identity_links ENABLE ROW LEVEL SECURITY;
ALTER TABLE identity_links FORCE ROW LEVEL SECURITY;
CREATE POLICY identity_links_tenant ON identity_links
  USING (tenant_id = app_tenant()) WITH CHECK (tenant_id = app_tenant());

GRANT SELECT, INSERT, UPDATE, DELETE ON service_accounts, identity_providers, identity_links TO toolmesh_app;
