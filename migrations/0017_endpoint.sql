-- How a workspace's endpoint answers: from which web pages, how often, and what ChatGPT looks for.

CREATE TABLE endpoint_settings (
  tenant_id             uuid PRIMARY KEY REFERENCES tenants ON DELETE CASCADE,
  -- Origins of web pages that may call from a browser, beside the console's and the endpoint's own.
  browser_origins       text[] NOT NULL DEFAULT '{}',
  -- Requests per minute on each node; 0 for what the operator allows.
  tenant_per_minute     integer NOT NULL DEFAULT 0 CHECK (tenant_per_minute BETWEEN 0 AND 1000000),
  caller_per_minute     integer NOT NULL DEFAULT 0 CHECK (caller_per_minute BETWEEN 0 AND 1000000),
  api_key_per_minute    integer NOT NULL DEFAULT 0 CHECK (api_key_per_minute BETWEEN 0 AND 1000000),
  -- Shown to everybody, so no secret; empty for none.
  openai_apps_challenge text NOT NULL DEFAULT '',
  changed_by            uuid NOT NULL REFERENCES users,
  changed_at            timestamptz NOT NULL DEFAULT now()
);
ALTER TABLE endpoint_settings ENABLE ROW LEVEL SECURITY;
ALTER TABLE endpoint_settings FORCE ROW LEVEL SECURITY;
CREATE POLICY endpoint_settings_tenant ON endpoint_settings
  USING (tenant_id = app_tenant()) WITH CHECK (tenant_id = app_tenant());
GRANT SELECT, INSERT, UPDATE, DELETE ON endpoint_settings TO toolmesh_app;

-- Names without a prefix for single tools: ChatGPT asks for exactly `search` and `fetch`.
CREATE TABLE tool_aliases (
  tenant_id       uuid NOT NULL,
  alias           text NOT NULL CHECK (alias IN ('search', 'fetch')),
  installation_id uuid NOT NULL,
  -- The connector's own name, without the installation's prefix.
  tool            text NOT NULL,
  chosen_by       uuid NOT NULL REFERENCES users,
  chosen_at       timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant_id, alias),
  FOREIGN KEY (tenant_id, installation_id) REFERENCES installations (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX tool_aliases_installation ON tool_aliases (tenant_id, installation_id);
ALTER TABLE tool_aliases ENABLE ROW LEVEL SECURITY;
ALTER TABLE tool_aliases FORCE ROW LEVEL SECURITY;
CREATE POLICY tool_aliases_tenant ON tool_aliases USING (tenant_id = app_tenant()) WITH CHECK (tenant_id = app_tenant());
GRANT SELECT, INSERT, UPDATE, DELETE ON tool_aliases TO toolmesh_app;
