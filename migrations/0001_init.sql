-- The first schema.
--
-- Two locks keep tenants apart: every query names its tenant, and row-level security checks it again. The application runs
-- as toolmesh_app, which owns nothing and cannot bypass a policy; FORCE makes the policies hold for the owner too. A tenant
-- transaction sets app.tenant; without it app_tenant() raises an error instead of showing nothing, so that a forgotten
-- setting is noticed.

DO $$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'toolmesh_app') THEN
    CREATE ROLE toolmesh_app NOLOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE;
  END IF;
EXCEPTION
  WHEN insufficient_privilege THEN
    RAISE EXCEPTION '% may not create the role toolmesh_app', current_user
      USING HINT = format('As an administrator: CREATE ROLE toolmesh_app NOLOGIN; GRANT toolmesh_app TO %I', current_user);
  -- Another database of the same cluster made it at the same moment.
  WHEN duplicate_object OR unique_violation THEN NULL;
END $$;

DO $$
DECLARE
  -- Since version 16, being a member is not enough to act as a role.
  right_needed text := CASE WHEN current_setting('server_version_num')::int >= 160000 THEN 'SET' ELSE 'MEMBER' END;
BEGIN
  IF NOT pg_has_role(current_user, 'toolmesh_app', right_needed) THEN
    EXECUTE format('GRANT toolmesh_app TO %I', current_user);
  END IF;
EXCEPTION
  WHEN unique_violation THEN NULL;
  WHEN insufficient_privilege THEN
    RAISE EXCEPTION 'the role toolmesh_app exists, but % may not act as it', current_user
      USING HINT = format('As an administrator: GRANT toolmesh_app TO %I', current_user);
END $$;

CREATE FUNCTION app_tenant() RETURNS uuid LANGUAGE sql STABLE PARALLEL SAFE
  RETURN current_setting('app.tenant')::uuid;

CREATE FUNCTION app_user() RETURNS uuid LANGUAGE sql STABLE PARALLEL SAFE
  RETURN nullif(current_setting('app.user', true), '')::uuid;

-- For the few tables that a user reads across workspaces: no error where no tenant is set.
CREATE FUNCTION app_tenant_if_set() RETURNS uuid LANGUAGE sql STABLE PARALLEL SAFE
  RETURN nullif(current_setting('app.tenant', true), '')::uuid;

-- People -------------------------------------------------------------------------------------------------------------

CREATE TABLE users (
  id            uuid PRIMARY KEY,
  -- Lower case; what people log in with.
  email         text NOT NULL CONSTRAINT users_email_key UNIQUE,
  name          text NOT NULL,
  password_hash text NOT NULL,
  verified_at   timestamptz,
  created_at    timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE email_tokens (
  -- SHA-256 of the token in the link.
  hash       bytea PRIMARY KEY,
  user_id    uuid NOT NULL REFERENCES users ON DELETE CASCADE,
  purpose    text NOT NULL CHECK (purpose IN ('verify')),
  -- What was chosen at the sign-up that this link confirms: until an address is confirmed, nobody's choice is anybody else's.
  name          text NOT NULL,
  password_hash text NOT NULL,
  expires_at timestamptz NOT NULL,
  used_at    timestamptz,
  created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX email_tokens_user ON email_tokens (user_id);

CREATE TABLE sessions (
  -- SHA-256 of the id in the cookie: who reads this table can take over no session.
  id_hash    bytea PRIMARY KEY,
  user_id    uuid REFERENCES users ON DELETE CASCADE,
  data       jsonb NOT NULL,
  expires_at timestamptz NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX sessions_user ON sessions (user_id);
CREATE INDEX sessions_expiry ON sessions (expires_at);

-- Workspaces ---------------------------------------------------------------------------------------------------------

CREATE TABLE tenants (
  id         uuid PRIMARY KEY,
  slug       text NOT NULL CONSTRAINT tenants_slug_key UNIQUE,
  name       text NOT NULL,
  -- Counts up with every change that nodes must learn of.
  revision   bigint NOT NULL DEFAULT 1,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now()
);
ALTER TABLE tenants ENABLE ROW LEVEL SECURITY;
ALTER TABLE tenants FORCE ROW LEVEL SECURITY;
-- Slug, id and revision are read to find a tenant before there is a tenant transaction.
CREATE POLICY tenants_find ON tenants FOR SELECT USING (true);
CREATE POLICY tenants_create ON tenants FOR INSERT WITH CHECK (id = app_tenant());
CREATE POLICY tenants_change ON tenants FOR UPDATE USING (id = app_tenant()) WITH CHECK (id = app_tenant());

CREATE TABLE tenant_keys (
  tenant_id  uuid PRIMARY KEY REFERENCES tenants ON DELETE CASCADE,
  -- The tenant's data key, sealed under the key-encryption key, which is not in the database.
  nonce      bytea NOT NULL,
  wrapped    bytea NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now()
);
ALTER TABLE tenant_keys ENABLE ROW LEVEL SECURITY;
ALTER TABLE tenant_keys FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_keys_tenant ON tenant_keys USING (tenant_id = app_tenant()) WITH CHECK (tenant_id = app_tenant());

CREATE TABLE memberships (
  tenant_id  uuid NOT NULL REFERENCES tenants ON DELETE CASCADE,
  user_id    uuid NOT NULL REFERENCES users ON DELETE CASCADE,
  role       text NOT NULL CHECK (role IN ('owner', 'admin', 'member')),
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant_id, user_id)
);
CREATE INDEX memberships_user ON memberships (user_id);
ALTER TABLE memberships ENABLE ROW LEVEL SECURITY;
ALTER TABLE memberships FORCE ROW LEVEL SECURITY;
CREATE POLICY memberships_tenant ON memberships
  USING (tenant_id = app_tenant_if_set()) WITH CHECK (tenant_id = app_tenant_if_set());
CREATE POLICY memberships_own ON memberships FOR SELECT USING (user_id = app_user());

CREATE TABLE invitations (
  tenant_id   uuid NOT NULL REFERENCES tenants ON DELETE CASCADE,
  id          uuid NOT NULL,
  email       text NOT NULL,
  role        text NOT NULL CHECK (role IN ('admin', 'member')),
  token_hash  bytea NOT NULL,
  invited_by  uuid NOT NULL REFERENCES users,
  created_at  timestamptz NOT NULL DEFAULT now(),
  expires_at  timestamptz NOT NULL,
  accepted_at timestamptz,
  revoked_at  timestamptz,
  PRIMARY KEY (tenant_id, id)
);
CREATE UNIQUE INDEX invitations_token ON invitations (tenant_id, token_hash);
ALTER TABLE invitations ENABLE ROW LEVEL SECURITY;
ALTER TABLE invitations FORCE ROW LEVEL SECURITY;
CREATE POLICY invitations_tenant ON invitations USING (tenant_id = app_tenant()) WITH CHECK (tenant_id = app_tenant());

CREATE TABLE api_keys (
  tenant_id  uuid NOT NULL REFERENCES tenants ON DELETE CASCADE,
  id         uuid NOT NULL,
  user_id    uuid NOT NULL,
  name       text NOT NULL,
  sha256     bytea NOT NULL,
  -- The last four characters, to tell keys apart.
  last4      text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  expires_at timestamptz,
  revoked_at timestamptz,
  PRIMARY KEY (tenant_id, id),
  -- A key dies with the membership it acts as.
  FOREIGN KEY (tenant_id, user_id) REFERENCES memberships (tenant_id, user_id) ON DELETE CASCADE
);
CREATE UNIQUE INDEX api_keys_hash ON api_keys (tenant_id, sha256);
ALTER TABLE api_keys ENABLE ROW LEVEL SECURITY;
ALTER TABLE api_keys FORCE ROW LEVEL SECURITY;
CREATE POLICY api_keys_tenant ON api_keys USING (tenant_id = app_tenant()) WITH CHECK (tenant_id = app_tenant());

-- Connectors ---------------------------------------------------------------------------------------------------------

CREATE TABLE connectors (
  tenant_id  uuid NOT NULL REFERENCES tenants ON DELETE CASCADE,
  -- Hex SHA-256 of `compiled`.
  hash       text NOT NULL,
  name       text NOT NULL,
  source     text NOT NULL,
  -- toolmesh.v1.Connector
  compiled   bytea NOT NULL,
  built_in   boolean NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant_id, hash)
);
ALTER TABLE connectors ENABLE ROW LEVEL SECURITY;
ALTER TABLE connectors FORCE ROW LEVEL SECURITY;
CREATE POLICY connectors_tenant ON connectors USING (tenant_id = app_tenant()) WITH CHECK (tenant_id = app_tenant());

CREATE TABLE installations (
  tenant_id      uuid NOT NULL REFERENCES tenants ON DELETE CASCADE,
  id             uuid NOT NULL,
  name           text NOT NULL,
  connector_hash text NOT NULL,
  base_url       text NOT NULL,
  created_by     uuid NOT NULL REFERENCES users,
  created_at     timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant_id, id),
  CONSTRAINT installations_name_key UNIQUE (tenant_id, name),
  FOREIGN KEY (tenant_id, connector_hash) REFERENCES connectors (tenant_id, hash)
);
ALTER TABLE installations ENABLE ROW LEVEL SECURITY;
ALTER TABLE installations FORCE ROW LEVEL SECURITY;
CREATE POLICY installations_tenant ON installations USING (tenant_id = app_tenant()) WITH CHECK (tenant_id = app_tenant());

CREATE TABLE disabled_tools (
  tenant_id       uuid NOT NULL,
  installation_id uuid NOT NULL,
  -- The connector's own name, without the installation's prefix.
  tool            text NOT NULL,
  disabled_by     uuid NOT NULL REFERENCES users,
  disabled_at     timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant_id, installation_id, tool),
  FOREIGN KEY (tenant_id, installation_id) REFERENCES installations (tenant_id, id) ON DELETE CASCADE
);
ALTER TABLE disabled_tools ENABLE ROW LEVEL SECURITY;
ALTER TABLE disabled_tools FORCE ROW LEVEL SECURITY;
CREATE POLICY disabled_tools_tenant ON disabled_tools USING (tenant_id = app_tenant()) WITH CHECK (tenant_id = app_tenant());

CREATE TABLE credentials (
  tenant_id       uuid NOT NULL,
  installation_id uuid NOT NULL,
  -- Logical name, as the connector's auth calls it.
  name            text NOT NULL,
  version         bigint NOT NULL DEFAULT 1,
  nonce           bytea NOT NULL,
  ciphertext      bytea NOT NULL,
  last4           text NOT NULL,
  set_by          uuid NOT NULL REFERENCES users,
  set_at          timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant_id, installation_id, name),
  FOREIGN KEY (tenant_id, installation_id) REFERENCES installations (tenant_id, id) ON DELETE CASCADE
);
ALTER TABLE credentials ENABLE ROW LEVEL SECURITY;
ALTER TABLE credentials FORCE ROW LEVEL SECURITY;
CREATE POLICY credentials_tenant ON credentials USING (tenant_id = app_tenant()) WITH CHECK (tenant_id = app_tenant());

-- OAuth --------------------------------------------------------------------------------------------------------------

CREATE TABLE signing_keys (
  kid        text PRIMARY KEY,
  -- Raw Ed25519 public key.
  public     bytea NOT NULL,
  -- PKCS#8, sealed under the key-encryption key.
  nonce      bytea NOT NULL,
  wrapped    bytea NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  retired_at timestamptz
);

CREATE TABLE oauth_clients (
  tenant_id     uuid NOT NULL REFERENCES tenants ON DELETE CASCADE,
  client_id     text NOT NULL CHECK (length(client_id) <= 2048),
  name          text NOT NULL,
  redirect_uris text[] NOT NULL,
  first_seen_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant_id, client_id)
);
ALTER TABLE oauth_clients ENABLE ROW LEVEL SECURITY;
ALTER TABLE oauth_clients FORCE ROW LEVEL SECURITY;
CREATE POLICY oauth_clients_tenant ON oauth_clients USING (tenant_id = app_tenant()) WITH CHECK (tenant_id = app_tenant());

CREATE TABLE oauth_grants (
  tenant_id     uuid NOT NULL,
  id            uuid NOT NULL,
  user_id       uuid NOT NULL,
  client_id     text NOT NULL,
  scope         text NOT NULL,
  created_at    timestamptz NOT NULL DEFAULT now(),
  revoked_at    timestamptz,
  revoke_reason text,
  PRIMARY KEY (tenant_id, id),
  FOREIGN KEY (tenant_id, user_id) REFERENCES memberships (tenant_id, user_id) ON DELETE CASCADE,
  FOREIGN KEY (tenant_id, client_id) REFERENCES oauth_clients (tenant_id, client_id)
);
CREATE INDEX oauth_grants_user ON oauth_grants (tenant_id, user_id);
ALTER TABLE oauth_grants ENABLE ROW LEVEL SECURITY;
ALTER TABLE oauth_grants FORCE ROW LEVEL SECURITY;
CREATE POLICY oauth_grants_tenant ON oauth_grants USING (tenant_id = app_tenant()) WITH CHECK (tenant_id = app_tenant());

CREATE TABLE oauth_codes (
  tenant_id    uuid NOT NULL,
  hash         bytea NOT NULL,
  grant_id     uuid NOT NULL,
  redirect_uri text NOT NULL,
  -- PKCE S256 challenge.
  challenge    text NOT NULL,
  expires_at   timestamptz NOT NULL,
  used_at      timestamptz,
  PRIMARY KEY (tenant_id, hash),
  FOREIGN KEY (tenant_id, grant_id) REFERENCES oauth_grants (tenant_id, id) ON DELETE CASCADE
);
ALTER TABLE oauth_codes ENABLE ROW LEVEL SECURITY;
ALTER TABLE oauth_codes FORCE ROW LEVEL SECURITY;
CREATE POLICY oauth_codes_tenant ON oauth_codes USING (tenant_id = app_tenant()) WITH CHECK (tenant_id = app_tenant());

CREATE TABLE refresh_tokens (
  tenant_id   uuid NOT NULL,
  hash        bytea NOT NULL,
  grant_id    uuid NOT NULL,
  created_at  timestamptz NOT NULL DEFAULT now(),
  expires_at  timestamptz NOT NULL,
  -- When it was exchanged for a newer one; it may be used again for a short while, since clients race.
  rotated_at  timestamptz,
  grace_uses  integer NOT NULL DEFAULT 0,
  parent_hash bytea,
  PRIMARY KEY (tenant_id, hash),
  FOREIGN KEY (tenant_id, grant_id) REFERENCES oauth_grants (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX refresh_tokens_grant ON refresh_tokens (tenant_id, grant_id);
ALTER TABLE refresh_tokens ENABLE ROW LEVEL SECURITY;
ALTER TABLE refresh_tokens FORCE ROW LEVEL SECURITY;
CREATE POLICY refresh_tokens_tenant ON refresh_tokens USING (tenant_id = app_tenant()) WITH CHECK (tenant_id = app_tenant());

-- What happened ------------------------------------------------------------------------------------------------------

CREATE TABLE audit_events (
  tenant_id       uuid NOT NULL REFERENCES tenants ON DELETE CASCADE,
  id              uuid NOT NULL,
  at              timestamptz NOT NULL,
  node            text NOT NULL,
  boot_id         text NOT NULL,
  sequence        bigint NOT NULL,
  request_id      uuid NOT NULL,
  user_id         uuid,
  client_id       text,
  api_key_id      uuid,
  client_agent    text NOT NULL,
  remote_addr     text NOT NULL,
  method          text NOT NULL,
  tool            text NOT NULL,
  installation_id uuid,
  access          text NOT NULL,
  arguments       jsonb,
  outcome         text NOT NULL,
  reason          text NOT NULL,
  duration_ms     integer NOT NULL,
  upstream_status integer,
  upstream_ms     integer,
  result_bytes    bigint NOT NULL,
  steps           jsonb NOT NULL,
  received_at     timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant_id, id),
  -- Makes shipping at least once into storing once.
  CONSTRAINT audit_events_origin_key UNIQUE (tenant_id, node, boot_id, sequence)
);
CREATE INDEX audit_events_key ON audit_events (tenant_id, api_key_id, at DESC) WHERE api_key_id IS NOT NULL;
CREATE INDEX audit_events_recent ON audit_events (tenant_id, at DESC, id DESC);
ALTER TABLE audit_events ENABLE ROW LEVEL SECURITY;
ALTER TABLE audit_events FORCE ROW LEVEL SECURITY;
CREATE POLICY audit_events_tenant ON audit_events USING (tenant_id = app_tenant()) WITH CHECK (tenant_id = app_tenant());

-- Which tenants changed, for the stream to the nodes; written in the transaction that made the change.
CREATE TABLE outbox (
  id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  tenant_id  uuid NOT NULL,
  revision   bigint NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX outbox_recent ON outbox (created_at);
ALTER TABLE outbox ENABLE ROW LEVEL SECURITY;
ALTER TABLE outbox FORCE ROW LEVEL SECURITY;
CREATE POLICY outbox_write ON outbox FOR INSERT WITH CHECK (tenant_id = app_tenant());
-- Ids and revisions only, read and pruned by the relay across tenants.
CREATE POLICY outbox_read ON outbox FOR SELECT USING (true);
CREATE POLICY outbox_prune ON outbox FOR DELETE USING (created_at < now() - interval '10 minutes');

GRANT USAGE ON SCHEMA public TO toolmesh_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON users, email_tokens, sessions, memberships, invitations, api_keys, connectors,
  installations, disabled_tools, credentials, oauth_clients, oauth_grants, oauth_codes, refresh_tokens TO toolmesh_app;
GRANT SELECT, INSERT, UPDATE ON tenants, signing_keys TO toolmesh_app;
GRANT SELECT, INSERT ON tenant_keys, audit_events TO toolmesh_app;
GRANT SELECT, INSERT, DELETE ON outbox TO toolmesh_app;
