-- More roles, suspension, and groups.

ALTER TABLE memberships DROP CONSTRAINT memberships_role_check;
ALTER TABLE memberships ADD CONSTRAINT memberships_role_check
  CHECK (role IN ('owner', 'admin', 'connector_manager', 'auditor', 'billing', 'member'));
-- While it is set the member may do nothing here, and nodes do not know them; whatever is theirs stays as it was.
ALTER TABLE memberships ADD COLUMN suspended_at timestamptz;
ALTER TABLE memberships ADD COLUMN suspended_by uuid REFERENCES users ON DELETE SET NULL;

-- Owners are made by owners among the members, never by mail.
ALTER TABLE invitations DROP CONSTRAINT invitations_role_check;
ALTER TABLE invitations ADD CONSTRAINT invitations_role_check
  CHECK (role IN ('admin', 'connector_manager', 'auditor', 'billing', 'member'));

CREATE TABLE groups (
  tenant_id     uuid NOT NULL REFERENCES tenants ON DELETE CASCADE,
  id            uuid NOT NULL,
  name          text NOT NULL,
  -- What the company's identity provider calls it; who logs in there is put in and taken out by it.
  external_name text,
  created_at    timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant_id, id),
  CONSTRAINT groups_external_name_key UNIQUE (tenant_id, external_name)
);
CREATE UNIQUE INDEX groups_name_key ON groups (tenant_id, lower(name));
ALTER TABLE groups ENABLE ROW LEVEL SECURITY;
ALTER TABLE groups FORCE ROW LEVEL SECURITY;
CREATE POLICY groups_tenant ON groups USING (tenant_id = app_tenant()) WITH CHECK (tenant_id = app_tenant());

CREATE TABLE group_members (
  tenant_id uuid NOT NULL,
  group_id  uuid NOT NULL,
  user_id   uuid NOT NULL,
  -- Who put them in: an admin, or what their identity provider said at their last login, which may take them out again.
  source    text NOT NULL CHECK (source IN ('manual', 'sign_in')),
  added_at  timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant_id, group_id, user_id),
  FOREIGN KEY (tenant_id, group_id) REFERENCES groups (tenant_id, id) ON DELETE CASCADE,
  FOREIGN KEY (tenant_id, user_id) REFERENCES memberships (tenant_id, user_id) ON DELETE CASCADE
);
CREATE INDEX group_members_user ON group_members (tenant_id, user_id);
ALTER TABLE group_members ENABLE ROW LEVEL SECURITY;
ALTER TABLE group_members FORCE ROW LEVEL SECURITY;
CREATE POLICY group_members_tenant ON group_members USING (tenant_id = app_tenant()) WITH CHECK (tenant_id = app_tenant());

GRANT SELECT, INSERT, UPDATE, DELETE ON groups, group_members TO toolmesh_app;
