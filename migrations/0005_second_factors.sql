-- What people prove themselves with besides a password, and the workspaces that ask for it.
--
-- Factors belong to people, not to workspaces: one set serves them everywhere. Secrets of authenticator apps are sealed under
-- the key-encryption key, recovery codes are kept as keyed hashes, passkeys are public keys.

CREATE TABLE authenticator_apps (
  user_id      uuid PRIMARY KEY REFERENCES users ON DELETE CASCADE,
  nonce        bytea NOT NULL,
  ciphertext   bytea NOT NULL,
  -- The 30-second step of the last code that was accepted; no code of it or of an earlier one is accepted again.
  last_step    bigint NOT NULL,
  created_at   timestamptz NOT NULL DEFAULT now(),
  last_used_at timestamptz
);

CREATE TABLE passkeys (
  credential_id bytea CONSTRAINT passkeys_pkey PRIMARY KEY,
  id            uuid NOT NULL CONSTRAINT passkeys_id_key UNIQUE,
  user_id       uuid NOT NULL REFERENCES users ON DELETE CASCADE,
  name          text NOT NULL,
  -- Public key, counter and flags, as the library keeps them.
  credential    jsonb NOT NULL,
  created_at    timestamptz NOT NULL DEFAULT now(),
  last_used_at  timestamptz
);
CREATE INDEX passkeys_user ON passkeys (user_id);

CREATE TABLE recovery_codes (
  user_id    uuid NOT NULL REFERENCES users ON DELETE CASCADE,
  hash       bytea NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  used_at    timestamptz,
  PRIMARY KEY (user_id, hash)
);

GRANT SELECT, INSERT, UPDATE, DELETE ON authenticator_apps, passkeys, recovery_codes TO toolmesh_app;

-- Workspaces that let in only those who have a second factor.
CREATE TABLE second_factor_rules (
  tenant_id     uuid PRIMARY KEY REFERENCES tenants ON DELETE CASCADE,
  -- From here on, members without one are stopped.
  required_from timestamptz NOT NULL,
  -- Whether the workspace's bundle leaves them out. It follows the date, so that a bundle is made from rows alone.
  enforced      boolean NOT NULL,
  set_by        uuid REFERENCES users ON DELETE SET NULL,
  set_at        timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX second_factor_rules_waiting ON second_factor_rules (required_from) WHERE NOT enforced;
ALTER TABLE second_factor_rules ENABLE ROW LEVEL SECURITY;
ALTER TABLE second_factor_rules FORCE ROW LEVEL SECURITY;
CREATE POLICY second_factor_rules_tenant ON second_factor_rules
  USING (tenant_id = app_tenant_if_set()) WITH CHECK (tenant_id = app_tenant_if_set());
-- People read which of their own workspaces ask for one.
CREATE POLICY second_factor_rules_own ON second_factor_rules FOR SELECT
  USING (tenant_id IN (SELECT m.tenant_id FROM memberships m WHERE m.user_id = app_user()));
-- The ids of workspaces whose date has come, for the task that enforces it.
CREATE POLICY second_factor_rules_due ON second_factor_rules FOR SELECT
  USING (NOT enforced AND required_from <= now());
GRANT SELECT, INSERT, UPDATE, DELETE ON second_factor_rules TO toolmesh_app;

-- Gives the workspaces that let this person in or leave them out by their second factor a new revision, so that nodes learn of
-- it in the transaction that changes the factor. Acts as each workspace in turn: the policies stay as they are.
CREATE FUNCTION renew_tenants_asking_for_a_factor(person uuid) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
  asking  uuid[];
  tenant  uuid;
  renewed bigint;
BEGIN
  PERFORM set_config('app.user', person::text, true);
  SELECT array_agg(r.tenant_id ORDER BY r.tenant_id) INTO asking
    FROM second_factor_rules r JOIN memberships m ON m.tenant_id = r.tenant_id
    WHERE m.user_id = person AND r.enforced;
  IF asking IS NULL THEN
    RETURN 0;
  END IF;
  FOREACH tenant IN ARRAY asking LOOP
    PERFORM set_config('app.tenant', tenant::text, true);
    UPDATE tenants SET revision = revision + 1, updated_at = now() WHERE id = tenant RETURNING revision INTO renewed;
    CONTINUE WHEN NOT FOUND;
    INSERT INTO outbox (tenant_id, revision) VALUES (tenant, renewed);
    PERFORM pg_notify('toolmesh_changes', tenant::text);
  END LOOP;
  PERFORM set_config('app.tenant', '', true);
  RETURN cardinality(asking);
END $$;
