-- Connectors of a workspace's own: each with every version that was saved, OpenAPI documents while somebody picks from them,
-- and which installation stands on which connector.

CREATE TABLE private_connectors (
  tenant_id  uuid NOT NULL REFERENCES tenants ON DELETE CASCADE,
  id         uuid NOT NULL,
  -- `backend.name` of every version.
  name       text NOT NULL,
  created_by uuid NOT NULL REFERENCES users,
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant_id, id),
  CONSTRAINT private_connectors_name_key UNIQUE (tenant_id, name)
);
ALTER TABLE private_connectors ENABLE ROW LEVEL SECURITY;
ALTER TABLE private_connectors FORCE ROW LEVEL SECURITY;
CREATE POLICY private_connectors_tenant ON private_connectors
  USING (tenant_id = app_tenant()) WITH CHECK (tenant_id = app_tenant());

CREATE TABLE private_connector_versions (
  tenant_id    uuid NOT NULL,
  connector_id uuid NOT NULL,
  -- From 1, in the order of saving.
  number       integer NOT NULL CHECK (number > 0),
  -- What it compiles to.
  hash         text NOT NULL,
  title        text NOT NULL,
  tools        integer NOT NULL,
  source       text NOT NULL,
  created_by   uuid NOT NULL REFERENCES users,
  created_at   timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant_id, connector_id, number),
  FOREIGN KEY (tenant_id, connector_id) REFERENCES private_connectors (tenant_id, id) ON DELETE CASCADE
);
ALTER TABLE private_connector_versions ENABLE ROW LEVEL SECURITY;
ALTER TABLE private_connector_versions FORCE ROW LEVEL SECURITY;
CREATE POLICY private_connector_versions_tenant ON private_connector_versions
  USING (tenant_id = app_tenant()) WITH CHECK (tenant_id = app_tenant());

CREATE TABLE openapi_imports (
  tenant_id  uuid NOT NULL REFERENCES tenants ON DELETE CASCADE,
  id         uuid NOT NULL,
  -- Name of the file, or the address it was fetched from.
  origin     text NOT NULL,
  document   text NOT NULL,
  -- What the document offers, as the selection shows it.
  outline    jsonb NOT NULL,
  -- What is picked: access class by operation.
  picked     jsonb NOT NULL,
  created_by uuid NOT NULL REFERENCES users,
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant_id, id)
);
ALTER TABLE openapi_imports ENABLE ROW LEVEL SECURITY;
ALTER TABLE openapi_imports FORCE ROW LEVEL SECURITY;
CREATE POLICY openapi_imports_tenant ON openapi_imports
  USING (tenant_id = app_tenant()) WITH CHECK (tenant_id = app_tenant());

-- The connector of its own that an installation stands on; without one it is built in, or came by the operator's command line.
ALTER TABLE installations
  ADD COLUMN private_connector_id uuid,
  ADD FOREIGN KEY (tenant_id, private_connector_id) REFERENCES private_connectors (tenant_id, id);
CREATE INDEX installations_private_connector ON installations (tenant_id, private_connector_id)
  WHERE private_connector_id IS NOT NULL;

GRANT SELECT, INSERT, UPDATE, DELETE ON private_connectors, private_connector_versions, openapi_imports TO toolmesh_app;
