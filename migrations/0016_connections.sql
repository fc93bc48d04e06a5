-- Members' own accounts at what is behind installations, and accounts at MCP servers: their authorization servers, and this
-- deployment as a client there.

-- Each member uses an account of their own; there is none of the workspace's then.
ALTER TABLE installations ADD COLUMN personal boolean NOT NULL DEFAULT false;

-- Whose: all zeros for the workspace's. What a member connected goes with their membership.
ALTER TABLE upstream_grants
  ADD COLUMN holder uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
  ADD COLUMN member_id uuid GENERATED ALWAYS AS (NULLIF(holder, '00000000-0000-0000-0000-000000000000'::uuid)) STORED,
  -- Service accounts that the member made may use it.
  ADD COLUMN lent boolean NOT NULL DEFAULT false,
  DROP CONSTRAINT upstream_grants_pkey,
  ADD PRIMARY KEY (tenant_id, installation_id, holder),
  ADD FOREIGN KEY (tenant_id, member_id) REFERENCES memberships (tenant_id, user_id) ON DELETE CASCADE,
  -- Never less than before, also where a row is made again: nodes compare it with what they hold.
  ALTER COLUMN epoch SET DEFAULT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint;
CREATE INDEX upstream_grants_member ON upstream_grants (tenant_id, member_id) WHERE member_id IS NOT NULL;

ALTER TABLE credentials
  ADD COLUMN holder uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
  ADD COLUMN member_id uuid GENERATED ALWAYS AS (NULLIF(holder, '00000000-0000-0000-0000-000000000000'::uuid)) STORED,
  DROP CONSTRAINT credentials_pkey,
  ADD PRIMARY KEY (tenant_id, installation_id, holder, name),
  ADD FOREIGN KEY (tenant_id, member_id) REFERENCES memberships (tenant_id, user_id) ON DELETE CASCADE;
CREATE INDEX credentials_member ON credentials (tenant_id, member_id) WHERE member_id IS NOT NULL;

ALTER TABLE upstream_consents
  ADD COLUMN holder uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
  -- Of the authorization server that they left for; another one's answer is not taken (RFC 9207).
  ADD COLUMN issuer text NOT NULL DEFAULT '',
  -- What was asked for, where the answer does not say what was given.
  ADD COLUMN scope text NOT NULL DEFAULT '';

-- The authorization server of an MCP server, as its documents said when it was found.
CREATE TABLE upstream_providers (
  tenant_id              uuid NOT NULL,
  installation_id        uuid NOT NULL,
  -- The protected resource (RFC 8707).
  resource               text NOT NULL,
  issuer                 text NOT NULL,
  authorization_endpoint text NOT NULL,
  token_endpoint         text NOT NULL,
  registration_endpoint  text NOT NULL DEFAULT '',
  revocation_endpoint    text NOT NULL DEFAULT '',
  -- Space-separated.
  auth_methods           text NOT NULL DEFAULT '',
  scopes                 text NOT NULL DEFAULT '',
  -- It takes the URL of a document as a client id.
  takes_document         boolean NOT NULL,
  -- It names itself in its answers (RFC 9207), so that one without its name is not its own.
  names_itself           boolean NOT NULL,
  found_at               timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant_id, installation_id),
  FOREIGN KEY (tenant_id, installation_id) REFERENCES installations (tenant_id, id) ON DELETE CASCADE
);
ALTER TABLE upstream_providers ENABLE ROW LEVEL SECURITY;
ALTER TABLE upstream_providers FORCE ROW LEVEL SECURITY;
CREATE POLICY upstream_providers_tenant ON upstream_providers
  USING (tenant_id = app_tenant()) WITH CHECK (tenant_id = app_tenant());
GRANT SELECT, INSERT, UPDATE, DELETE ON upstream_providers TO toolmesh_app;

-- This deployment as a client of an authorization server, for one workspace. Never used with another issuer.
CREATE TABLE upstream_clients (
  tenant_id   uuid NOT NULL REFERENCES tenants ON DELETE CASCADE,
  issuer      text NOT NULL,
  -- Registered by itself (RFC 7591), or entered by an admin.
  source      text NOT NULL CHECK (source IN ('registered', 'entered')),
  client_id   text NOT NULL,
  nonce       bytea,
  secret      bytea,
  auth_method text NOT NULL CHECK (auth_method IN ('none', 'client_secret_basic', 'client_secret_post')),
  -- Null for a secret without an end.
  expires_at  timestamptz,
  made_at     timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant_id, issuer)
);
ALTER TABLE upstream_clients ENABLE ROW LEVEL SECURITY;
ALTER TABLE upstream_clients FORCE ROW LEVEL SECURITY;
CREATE POLICY upstream_clients_tenant ON upstream_clients
  USING (tenant_id = app_tenant()) WITH CHECK (tenant_id = app_tenant());
GRANT SELECT, INSERT, UPDATE, DELETE ON upstream_clients TO toolmesh_app;
