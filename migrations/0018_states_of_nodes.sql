-- How MCP servers fare on nodes: what is no longer true is forgotten.

-- Forgets what one node has said, which has come back and says anew what is not as usual, and what was said before a moment, by
-- nodes that are gone. Acts as each tenant in turn: the policies that keep tenants apart stay as they are. Answers how much that was.
CREATE FUNCTION forget_upstream_states(of_node text, before timestamptz) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
  tenant    uuid;
  one       bigint;
  forgotten bigint := 0;
BEGIN
  FOR tenant IN SELECT id FROM tenants ORDER BY id LOOP
    PERFORM set_config('app.tenant', tenant::text, true);
    DELETE FROM upstream_states WHERE tenant_id = tenant AND (node = of_node OR told_at < before);
    GET DIAGNOSTICS one = ROW_COUNT;
    forgotten := forgotten + one;
  END LOOP;
  PERFORM set_config('app.tenant', '', true);
  RETURN forgotten;
END $$;
