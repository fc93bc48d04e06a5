-- Other MCP servers as connectors: what is known of each, what it offers, and what an admin has approved of that; how nodes find
-- it; and what admins say of tools in place of their connector.

ALTER TABLE installations
  -- Its tools' names have no prefix.
  ADD COLUMN bare_names boolean NOT NULL DEFAULT false,
  -- Longest wait for one call; 0 for the node's own.
  ADD COLUMN timeout_seconds integer NOT NULL DEFAULT 0 CHECK (timeout_seconds BETWEEN 0 AND 600);

CREATE TABLE upstream_servers (
  tenant_id       uuid NOT NULL,
  installation_id uuid NOT NULL,
  -- `streamable_http` or `http_sse`; empty before it was reached.
  transport       text NOT NULL DEFAULT '' CHECK (transport IN ('', 'streamable_http', 'http_sse')),
  revision        text NOT NULL DEFAULT '',
  name            text NOT NULL DEFAULT '',
  title           text NOT NULL DEFAULT '',
  version         text NOT NULL DEFAULT '',
  -- As it told them, a JSON object.
  capabilities    text NOT NULL DEFAULT '{}',
  -- Whether somebody has looked through what was found at first.
  reviewed        boolean NOT NULL DEFAULT false,
  -- What was left out of what it offers, and why: a JSON list of sentences.
  notes           jsonb NOT NULL DEFAULT '[]',
  -- The newest look that succeeded, and the newest at all with what went wrong.
  found_at        timestamptz,
  tried_at        timestamptz,
  problem         text NOT NULL DEFAULT '',
  failures        integer NOT NULL DEFAULT 0,
  PRIMARY KEY (tenant_id, installation_id),
  FOREIGN KEY (tenant_id, installation_id) REFERENCES installations (tenant_id, id) ON DELETE CASCADE
);
ALTER TABLE upstream_servers ENABLE ROW LEVEL SECURITY;
ALTER TABLE upstream_servers FORCE ROW LEVEL SECURITY;
CREATE POLICY upstream_servers_tenant ON upstream_servers
  USING (tenant_id = app_tenant()) WITH CHECK (tenant_id = app_tenant());

-- One thing that a server offers or has offered. It is in use while what the server says of it is what was approved.
CREATE TABLE upstream_definitions (
  tenant_id       uuid NOT NULL,
  installation_id uuid NOT NULL,
  kind            text NOT NULL CHECK (kind IN ('tool', 'prompt', 'resource', 'template', 'instructions')),
  -- A tool's or prompt's name, a resource's URI, or a template's; empty for the instructions.
  name            text NOT NULL,
  -- In the server's order.
  position        integer NOT NULL,
  -- As the server says it, byte by byte; null where it says nothing of it any more.
  found           text,
  found_at        timestamptz NOT NULL DEFAULT now(),
  -- As it was approved; null where it never was.
  approved        text,
  approved_at     timestamptz,
  approved_by     uuid REFERENCES users ON DELETE SET NULL,
  -- What is found now was looked at and not wanted.
  refused         boolean NOT NULL DEFAULT false,
  -- Of tools: the access class that was chosen.
  access          text NOT NULL DEFAULT '',
  -- Of all others: switched off.
  off             boolean NOT NULL DEFAULT false,
  PRIMARY KEY (tenant_id, installation_id, kind, name),
  FOREIGN KEY (tenant_id, installation_id) REFERENCES upstream_servers (tenant_id, installation_id) ON DELETE CASCADE
);
ALTER TABLE upstream_definitions ENABLE ROW LEVEL SECURITY;
ALTER TABLE upstream_definitions FORCE ROW LEVEL SECURITY;
CREATE POLICY upstream_definitions_tenant ON upstream_definitions
  USING (tenant_id = app_tenant()) WITH CHECK (tenant_id = app_tenant());

-- When each server is looked at again. Nothing but ids, so that one task can see what is due in every workspace.
CREATE TABLE upstream_checks (
  tenant_id       uuid NOT NULL,
  installation_id uuid NOT NULL,
  due_at          timestamptz NOT NULL,
  -- Who looks at it now: nobody else does until then.
  lease           uuid,
  leased_until    timestamptz NOT NULL DEFAULT '-infinity',
  PRIMARY KEY (tenant_id, installation_id),
  FOREIGN KEY (tenant_id, installation_id) REFERENCES upstream_servers (tenant_id, installation_id) ON DELETE CASCADE
);
CREATE INDEX upstream_checks_due ON upstream_checks (due_at);
ALTER TABLE upstream_checks ENABLE ROW LEVEL SECURITY;
ALTER TABLE upstream_checks FORCE ROW LEVEL SECURITY;
CREATE POLICY upstream_checks_tenant ON upstream_checks
  USING (tenant_id = app_tenant_if_set()) WITH CHECK (tenant_id = app_tenant_if_set());
CREATE POLICY upstream_checks_due ON upstream_checks FOR SELECT USING (due_at <= now() AND leased_until <= now());

-- How a server fares on each node, as the node says.
CREATE TABLE upstream_states (
  tenant_id       uuid NOT NULL,
  installation_id uuid NOT NULL,
  node            text NOT NULL,
  state           text NOT NULL CHECK (state IN ('well', 'open', 'trying')),
  detail          text NOT NULL,
  since           timestamptz NOT NULL,
  told_at         timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant_id, installation_id, node),
  FOREIGN KEY (tenant_id, installation_id) REFERENCES installations (tenant_id, id) ON DELETE CASCADE
);
ALTER TABLE upstream_states ENABLE ROW LEVEL SECURITY;
ALTER TABLE upstream_states FORCE ROW LEVEL SECURITY;
CREATE POLICY upstream_states_tenant ON upstream_states
  USING (tenant_id = app_tenant()) WITH CHECK (tenant_id = app_tenant());

-- What an admin says of a tool in place of its connector, of any kind.
CREATE TABLE tool_overrides (
  tenant_id       uuid NOT NULL,
  installation_id uuid NOT NULL,
  -- The connector's own name, without the installation's prefix.
  tool            text NOT NULL,
  -- Empty for the connector's own.
  name            text NOT NULL DEFAULT '',
  title           text NOT NULL DEFAULT '',
  description     text NOT NULL DEFAULT '',
  -- A JSON object of annotations that replace the tool's; empty for none.
  annotations     text NOT NULL DEFAULT '',
  -- A JSON list of {name, value, fixed}.
  arguments       jsonb NOT NULL DEFAULT '[]',
  set_by          uuid REFERENCES users ON DELETE SET NULL,
  set_at          timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant_id, installation_id, tool),
  FOREIGN KEY (tenant_id, installation_id) REFERENCES installations (tenant_id, id) ON DELETE CASCADE
);
ALTER TABLE tool_overrides ENABLE ROW LEVEL SECURITY;
ALTER TABLE tool_overrides FORCE ROW LEVEL SECURITY;
CREATE POLICY tool_overrides_tenant ON tool_overrides
  USING (tenant_id = app_tenant()) WITH CHECK (tenant_id = app_tenant());

-- A tool that its server renames keeps its place in the list.
GRANT UPDATE ON promoted_tools TO toolmesh_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON
  upstream_servers, upstream_definitions, upstream_checks, upstream_states, tool_overrides TO toolmesh_app;
