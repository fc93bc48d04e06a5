-- Connections that end by themselves: whoever can mend one is told once.

ALTER TABLE upstream_grants
  -- When somebody was told that the provider has ended it; null again with the next token.
  ADD COLUMN told_at timestamptz;
