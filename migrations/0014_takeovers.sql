-- What must not come back, and what must not be taken over.

-- An event is one by the life of the node that wrote it, whoever says to be that node: the same sent again under another name
-- adds nothing.
ALTER TABLE audit_events
  DROP CONSTRAINT audit_events_origin_key,
  ADD CONSTRAINT audit_events_origin_key UNIQUE (tenant_id, boot_id, sequence);

-- Addresses that workspaces have given up. Clients and people still hold them, so nobody else gets them.
CREATE TABLE retired_slugs (
  slug       text PRIMARY KEY,
  retired_at timestamptz NOT NULL DEFAULT now()
);
ALTER TABLE retired_slugs ENABLE ROW LEVEL SECURITY;
ALTER TABLE retired_slugs FORCE ROW LEVEL SECURITY;
CREATE POLICY retired_slugs_find ON retired_slugs FOR SELECT USING (true);
CREATE POLICY retired_slugs_add ON retired_slugs FOR INSERT WITH CHECK (true);
GRANT SELECT, INSERT ON retired_slugs TO toolmesh_app;

CREATE FUNCTION retire_slug() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO retired_slugs (slug) VALUES (OLD.slug) ON CONFLICT (slug) DO NOTHING;
  RETURN NULL;
END $$;
CREATE TRIGGER tenants_deleted AFTER DELETE ON tenants FOR EACH ROW EXECUTE FUNCTION retire_slug();
CREATE TRIGGER tenants_moved AFTER UPDATE OF slug ON tenants FOR EACH ROW
  WHEN (OLD.slug IS DISTINCT FROM NEW.slug) EXECUTE FUNCTION retire_slug();
