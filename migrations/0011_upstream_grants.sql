-- Access tokens for the APIs that installations call (OAuth 2): what they are got with, how long they are good, and what keeps
-- one from being got. Secrets are sealed under the tenant's key.

CREATE TABLE upstream_grants (
  tenant_id          uuid NOT NULL,
  installation_id    uuid NOT NULL,
  -- Counts up when what nodes hold must no longer be used: connected anew, disconnected, a secret replaced.
  epoch              bigint NOT NULL DEFAULT 1,
  -- Counts up with each exchange, for good; names the access token.
  version            bigint NOT NULL DEFAULT 0,
  -- What the access token was got with, as a hash; a token of another basis is not used.
  access_basis       text,
  access_nonce       bytea,
  access_ciphertext  bytea,
  obtained_at        timestamptz,
  -- Null for a token without a known end.
  expires_at         timestamptz,
  -- The newest refresh token, where it came back from an exchange.
  refresh_basis      text,
  refresh_nonce      bytea,
  refresh_ciphertext bytea,
  scope              text NOT NULL DEFAULT '',
  -- Whose account it is at the provider, as far as the provider says.
  account            text NOT NULL DEFAULT '',
  connected_by       uuid REFERENCES users ON DELETE SET NULL,
  connected_at       timestamptz,
  -- What keeps a token from being got, and with which basis it was tried.
  problem            text NOT NULL DEFAULT '' CHECK (problem IN ('', 'reconnect', 'client', 'scope', 'provider')),
  problem_code       text NOT NULL DEFAULT '',
  problem_basis      text NOT NULL DEFAULT '',
  problem_at         timestamptz,
  retry_at           timestamptz,
  -- Who exchanges now: nobody else does until then, however many ask.
  lease              uuid,
  leased_until       timestamptz,
  PRIMARY KEY (tenant_id, installation_id),
  FOREIGN KEY (tenant_id, installation_id) REFERENCES installations (tenant_id, id) ON DELETE CASCADE
);
ALTER TABLE upstream_grants ENABLE ROW LEVEL SECURITY;
ALTER TABLE upstream_grants FORCE ROW LEVEL SECURITY;
CREATE POLICY upstream_grants_tenant ON upstream_grants
  USING (tenant_id = app_tenant()) WITH CHECK (tenant_id = app_tenant());
GRANT SELECT, INSERT, UPDATE, DELETE ON upstream_grants TO toolmesh_app;

-- Somebody on their way to a provider and back.
CREATE TABLE upstream_consents (
  tenant_id       uuid NOT NULL,
  -- SHA-256 of the state that travels with them.
  state_hash      bytea NOT NULL,
  installation_id uuid NOT NULL,
  user_id         uuid NOT NULL REFERENCES users ON DELETE CASCADE,
  -- The browser that they left in; another one does not bring the answer back.
  browser_hash    bytea NOT NULL,
  -- PKCE verifier.
  nonce           bytea NOT NULL,
  verifier        bytea NOT NULL,
  expires_at      timestamptz NOT NULL,
  PRIMARY KEY (tenant_id, state_hash),
  FOREIGN KEY (tenant_id, installation_id) REFERENCES installations (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX upstream_consents_expiry ON upstream_consents (tenant_id, expires_at);
ALTER TABLE upstream_consents ENABLE ROW LEVEL SECURITY;
ALTER TABLE upstream_consents FORCE ROW LEVEL SECURITY;
CREATE POLICY upstream_consents_tenant ON upstream_consents
  USING (tenant_id = app_tenant()) WITH CHECK (tenant_id = app_tenant());
GRANT SELECT, INSERT, DELETE ON upstream_consents TO toolmesh_app;
