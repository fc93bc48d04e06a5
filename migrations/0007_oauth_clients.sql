-- OAuth clients: how each says who it is and proves it, whether it may be used, and what was refused.

ALTER TABLE oauth_clients
  -- By a document on the web, by registering itself, or by an admin's hand.
  ADD COLUMN kind text NOT NULL DEFAULT 'registered' CHECK (kind IN ('metadata_document', 'registered', 'manual')),
  ADD COLUMN auth_method text NOT NULL DEFAULT 'none'
    CHECK (auth_method IN ('none', 'client_secret_basic', 'client_secret_post', 'private_key_jwt')),
  -- Public keys of a client that signs: here, or where they are fetched.
  ADD COLUMN jwks jsonb,
  ADD COLUMN jwks_uri text,
  ADD COLUMN grant_types text[] NOT NULL DEFAULT '{authorization_code,refresh_token}',
  ADD COLUMN standing text NOT NULL DEFAULT 'allowed' CHECK (standing IN ('allowed', 'blocked', 'pending')),
  -- SHA-256 of what makes two registrations the same program: name and redirects.
  ADD COLUMN fingerprint bytea,
  -- Who registered it by hand, or was the first to ask for it.
  ADD COLUMN created_by uuid,
  ADD COLUMN last_seen_at timestamptz;
CREATE INDEX oauth_clients_fingerprint ON oauth_clients (tenant_id, fingerprint);

-- Secrets of clients that were registered by hand; two at a time while one replaces the other.
CREATE TABLE oauth_client_secrets (
  tenant_id  uuid NOT NULL,
  client_id  text NOT NULL,
  hash       bytea NOT NULL,
  last4      text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  expires_at timestamptz,
  PRIMARY KEY (tenant_id, client_id, hash),
  FOREIGN KEY (tenant_id, client_id) REFERENCES oauth_clients (tenant_id, client_id) ON DELETE CASCADE
);
ALTER TABLE oauth_client_secrets ENABLE ROW LEVEL SECURITY;
ALTER TABLE oauth_client_secrets FORCE ROW LEVEL SECURITY;
CREATE POLICY oauth_client_secrets_tenant ON oauth_client_secrets USING (tenant_id = app_tenant()) WITH CHECK (tenant_id = app_tenant());

-- Signed assertions that were used, until they expire: each is good once.
CREATE TABLE oauth_jtis (
  tenant_id  uuid NOT NULL REFERENCES tenants ON DELETE CASCADE,
  -- SHA-256 of who issued it and its jti.
  hash       bytea NOT NULL,
  expires_at timestamptz NOT NULL,
  PRIMARY KEY (tenant_id, hash)
);
CREATE INDEX oauth_jtis_expiry ON oauth_jtis (tenant_id, expires_at);
ALTER TABLE oauth_jtis ENABLE ROW LEVEL SECURITY;
ALTER TABLE oauth_jtis FORCE ROW LEVEL SECURITY;
CREATE POLICY oauth_jtis_tenant ON oauth_jtis USING (tenant_id = app_tenant()) WITH CHECK (tenant_id = app_tenant());

-- Which clients members may allow; no row means any.
CREATE TABLE oauth_client_policies (
  tenant_id  uuid PRIMARY KEY REFERENCES tenants ON DELETE CASCADE,
  policy     text NOT NULL CHECK (policy IN ('open', 'approve', 'hosts')),
  hosts      text[] NOT NULL DEFAULT '{}',
  updated_by uuid,
  updated_at timestamptz NOT NULL DEFAULT now()
);
ALTER TABLE oauth_client_policies ENABLE ROW LEVEL SECURITY;
ALTER TABLE oauth_client_policies FORCE ROW LEVEL SECURITY;
CREATE POLICY oauth_client_policies_tenant ON oauth_client_policies USING (tenant_id = app_tenant()) WITH CHECK (tenant_id = app_tenant());

-- What a consent was given for, so that the same person need not be asked again for the same as long as the grant lives.
ALTER TABLE oauth_grants
  ADD COLUMN redirect_uri text,
  ADD COLUMN consented_at timestamptz NOT NULL DEFAULT now();

-- What the authorization server refused, for the admins of the workspace. The same within a minute is one row.
CREATE TABLE oauth_refusals (
  tenant_id   uuid NOT NULL REFERENCES tenants ON DELETE CASCADE,
  id          uuid NOT NULL,
  minute      bigint NOT NULL,
  -- SHA-256 of endpoint, client, error and reason.
  fingerprint bytea NOT NULL,
  endpoint    text NOT NULL CHECK (endpoint IN ('authorize', 'token', 'register', 'revoke')),
  client_id   text NOT NULL,
  client_name text NOT NULL,
  error       text NOT NULL,
  reason      text NOT NULL,
  remote_addr text NOT NULL,
  times       integer NOT NULL DEFAULT 1,
  at          timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant_id, id),
  UNIQUE (tenant_id, minute, fingerprint)
);
CREATE INDEX oauth_refusals_at ON oauth_refusals (tenant_id, at DESC);
ALTER TABLE oauth_refusals ENABLE ROW LEVEL SECURITY;
ALTER TABLE oauth_refusals FORCE ROW LEVEL SECURITY;
CREATE POLICY oauth_refusals_tenant ON oauth_refusals USING (tenant_id = app_tenant()) WITH CHECK (tenant_id = app_tenant());

GRANT SELECT, INSERT, UPDATE, DELETE ON oauth_client_secrets, oauth_jtis, oauth_client_policies, oauth_refusals TO toolmesh_app;
