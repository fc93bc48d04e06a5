-- What every bundle is made from besides rows: the addresses in the configuration and the form that bundles are written in.

-- One row: what the bundles that nodes hold were made from.
CREATE TABLE bundle_basis (
  only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
  basis    text NOT NULL,
  since    timestamptz NOT NULL DEFAULT now()
);
GRANT SELECT, INSERT, UPDATE ON bundle_basis TO toolmesh_app;

-- Gives every tenant a new revision, so that nodes take its bundle again. Acts as each tenant in turn: the policies that keep
-- tenants apart stay as they are. Writes nothing to the outbox: who calls this reads all tenants next, and a relay that finds
-- another basis does so too. Answers how many there are.
CREATE FUNCTION renew_all_tenants() RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
  tenant  uuid;
  renewed bigint := 0;
BEGIN
  FOR tenant IN SELECT id FROM tenants ORDER BY id LOOP
    PERFORM set_config('app.tenant', tenant::text, true);
    UPDATE tenants SET revision = revision + 1, updated_at = now() WHERE id = tenant;
    CONTINUE WHEN NOT FOUND;
    renewed := renewed + 1;
  END LOOP;
  PERFORM set_config('app.tenant', '', true);
  RETURN renewed;
END $$;
