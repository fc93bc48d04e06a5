-- What was taken back before its tokens expired, and the times of signing keys.

-- The sequence tells rows apart; it is no order, since rows become visible in the order of commits. A row matters for as long
-- as a token that it refuses may not have expired.
CREATE TABLE revocations (
  tenant_id  uuid NOT NULL REFERENCES tenants ON DELETE CASCADE,
  sequence   bigint GENERATED ALWAYS AS IDENTITY,
  kind       text NOT NULL CHECK (kind IN ('grant', 'client', 'user', 'tenant')),
  -- Id of the grant, the client or the user; empty for everything of the workspace.
  subject    text NOT NULL CHECK ((subject = '') = (kind = 'tenant')),
  -- Tokens issued in this second or before are refused; of a grant, all.
  min_iat    bigint NOT NULL,
  -- Whether API keys made in this second or before are refused too.
  api_keys   boolean NOT NULL DEFAULT false,
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant_id, sequence)
);
CREATE INDEX revocations_recent ON revocations (created_at);
CREATE INDEX revocations_subject ON revocations (tenant_id, kind, subject);
ALTER TABLE revocations ENABLE ROW LEVEL SECURITY;
ALTER TABLE revocations FORCE ROW LEVEL SECURITY;
CREATE POLICY revocations_write ON revocations FOR INSERT WITH CHECK (tenant_id = app_tenant());
-- Inside a tenant, its own. Outside of any, all, for the stream to the nodes: ids and times, nothing else.
CREATE POLICY revocations_read ON revocations FOR SELECT
  USING (app_tenant_if_set() IS NULL OR tenant_id = app_tenant_if_set());
CREATE POLICY revocations_prune ON revocations FOR DELETE
  USING (tenant_id = app_tenant() AND created_at < now() - interval '1 hour');
GRANT SELECT, INSERT, DELETE ON revocations TO toolmesh_app;

-- When the newest access token of a grant was issued, by its own `iat`: a revocation reaches at least that far, whatever the
-- clocks of two machines say.
ALTER TABLE oauth_grants ADD COLUMN last_iat bigint NOT NULL DEFAULT 0;
CREATE INDEX oauth_grants_client ON oauth_grants (tenant_id, client_id);

-- When a client last made a call for a user, for the list of connected apps.
CREATE INDEX audit_events_client ON audit_events (tenant_id, user_id, client_id, at DESC) WHERE client_id IS NOT NULL;

-- A key is published a while before it signs, so that nobody meets a signature by a key they have not heard of; it verifies
-- until the last token that it signed is gone. The private half of a retired key is wiped.
ALTER TABLE signing_keys
  ADD COLUMN published_at timestamptz NOT NULL DEFAULT now(),
  ADD COLUMN sign_from    timestamptz NOT NULL DEFAULT now(),
  ADD COLUMN sign_until   timestamptz NOT NULL DEFAULT now() + interval '30 days',
  ADD COLUMN retire_at    timestamptz NOT NULL DEFAULT now() + interval '31 days';
UPDATE signing_keys SET published_at = created_at, sign_from = created_at;
ALTER TABLE signing_keys
  ALTER COLUMN published_at DROP DEFAULT, ALTER COLUMN sign_from DROP DEFAULT,
  ALTER COLUMN sign_until DROP DEFAULT, ALTER COLUMN retire_at DROP DEFAULT;
