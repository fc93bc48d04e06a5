-- Code that calls tools: which calls belong together, and where clients find the tools of an installation.

-- `call_id` where other calls were made on behalf of this one, `parent_call_id` where it was itself made on behalf of another.
-- Calls are told of in any order, so that neither refers to a row.
ALTER TABLE audit_events
  ADD COLUMN call_id        uuid,
  ADD COLUMN parent_call_id uuid;
CREATE INDEX audit_events_children ON audit_events (tenant_id, parent_call_id, at) WHERE parent_call_id IS NOT NULL;
CREATE INDEX audit_events_parents ON audit_events (tenant_id, call_id) WHERE call_id IS NOT NULL;

-- Everything that is enabled already stays in the list of tools, where clients know it.
ALTER TABLE installations
  ADD COLUMN exposure text NOT NULL DEFAULT 'direct' CHECK (exposure IN ('direct', 'code', 'both'));

-- Tools that stand in the list though the others of their installation are for code.
CREATE TABLE promoted_tools (
  tenant_id       uuid NOT NULL,
  installation_id uuid NOT NULL,
  -- The connector's own name, without the installation's prefix.
  tool            text NOT NULL,
  promoted_by     uuid NOT NULL REFERENCES users,
  promoted_at     timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant_id, installation_id, tool),
  FOREIGN KEY (tenant_id, installation_id) REFERENCES installations (tenant_id, id) ON DELETE CASCADE
);
ALTER TABLE promoted_tools ENABLE ROW LEVEL SECURITY;
ALTER TABLE promoted_tools FORCE ROW LEVEL SECURITY;
CREATE POLICY promoted_tools_tenant ON promoted_tools USING (tenant_id = app_tenant()) WITH CHECK (tenant_id = app_tenant());
GRANT SELECT, INSERT, DELETE ON promoted_tools TO toolmesh_app;
