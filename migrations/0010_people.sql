-- What people lack who answer for others: owners who break the glass with a second factor only, an account that is given back
-- clean, and tools that wait while a node cannot know who was shut out.

-- A person who gives their account back to its old address takes out what companies know it as.
CREATE POLICY company_identities_leave ON company_identities FOR DELETE USING (user_id = app_user());

-- Who is named to log in without their company's provider must not give up their last second factor, so their own
-- transaction has to see that they are named, and where it counts.
DROP POLICY sign_in_break_glass_tenant ON sign_in_break_glass;
CREATE POLICY sign_in_break_glass_tenant ON sign_in_break_glass
  USING (tenant_id = app_tenant_if_set()) WITH CHECK (tenant_id = app_tenant_if_set());
CREATE POLICY sign_in_break_glass_own ON sign_in_break_glass FOR SELECT USING (user_id = app_user());
DROP POLICY sign_in_providers_tenant ON sign_in_providers;
CREATE POLICY sign_in_providers_tenant ON sign_in_providers
  USING (tenant_id = app_tenant_if_set()) WITH CHECK (tenant_id = app_tenant_if_set());
CREATE POLICY sign_in_providers_named ON sign_in_providers FOR SELECT
  USING (enforced_at IS NOT NULL
         AND tenant_id IN (SELECT b.tenant_id FROM sign_in_break_glass b WHERE b.user_id = app_user()));

-- Whether tools of the classes dangerous and admin wait while a node hears nothing of revocations.
ALTER TABLE tenants ADD COLUMN strict_when_cut_off boolean NOT NULL DEFAULT false;
