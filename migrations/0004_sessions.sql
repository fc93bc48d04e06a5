-- Sessions that their owner can recognise and end; what happened to an account; links and codes that prove an address.

ALTER TABLE sessions
  -- What a page names the session by; the id itself is in the cookie alone.
  ADD COLUMN handle       uuid NOT NULL DEFAULT gen_random_uuid(),
  ADD COLUMN last_seen_at timestamptz NOT NULL DEFAULT now(),
  -- Network address and user agent as they were last seen.
  ADD COLUMN address      text NOT NULL DEFAULT '',
  ADD COLUMN agent        text NOT NULL DEFAULT '',
  -- What its owner logged in with.
  ADD COLUMN method       text NOT NULL DEFAULT '';
CREATE UNIQUE INDEX sessions_handle ON sessions (handle);

-- Who logs in with another provider alone has no password.
ALTER TABLE users ALTER COLUMN password_hash DROP NOT NULL;
ALTER TABLE users ADD COLUMN password_set_at timestamptz;

-- The code that stands in the same mail as the link, keyed so that this table does not tell it.
ALTER TABLE email_tokens
  ADD COLUMN code_mac   bytea,
  ADD COLUMN code_tries integer NOT NULL DEFAULT 0;

CREATE TABLE password_resets (
  -- SHA-256 of the token in the link.
  hash       bytea PRIMARY KEY,
  user_id    uuid NOT NULL REFERENCES users ON DELETE CASCADE,
  expires_at timestamptz NOT NULL,
  used_at    timestamptz,
  created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX password_resets_user ON password_resets (user_id);

CREATE TABLE email_changes (
  hash       bytea PRIMARY KEY,
  user_id    uuid NOT NULL REFERENCES users ON DELETE CASCADE,
  -- The address that the account shall have.
  email      text NOT NULL,
  -- Whether it gives the account back to the address it had before.
  undo       boolean NOT NULL DEFAULT false,
  code_mac   bytea,
  code_tries integer NOT NULL DEFAULT 0,
  expires_at timestamptz NOT NULL,
  used_at    timestamptz,
  created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX email_changes_user ON email_changes (user_id);

-- What happened to somebody's account; theirs alone to read.
CREATE TABLE security_events (
  id      uuid PRIMARY KEY,
  user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
  at      timestamptz NOT NULL DEFAULT now(),
  kind    text NOT NULL,
  address text NOT NULL,
  -- In words: `Firefox on Windows`.
  device  text NOT NULL,
  -- SHA-256 of the random value in the browser's cookie, by which a browser is known again.
  browser bytea,
  details jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX security_events_user ON security_events (user_id, at DESC, id DESC);

GRANT SELECT, INSERT, UPDATE, DELETE ON password_resets, email_changes TO toolmesh_app;
GRANT SELECT, INSERT, DELETE ON security_events TO toolmesh_app;
