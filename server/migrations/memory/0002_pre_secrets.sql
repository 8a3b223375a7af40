-- What an organisation does with secrets in what its people write. No row: they are masked.

CREATE TABLE memory.secrets_policy (
    organisation_id uuid        NOT NULL PRIMARY KEY,
    action          text        NOT NULL CHECK (action IN ('redact', 'block', 'flag')),
    changed_at      timestamptz NOT NULL,
    changed_by      uuid        NOT NULL
);
ALTER TABLE memory.secrets_policy ENABLE ROW LEVEL SECURITY;
ALTER TABLE memory.secrets_policy FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON memory.secrets_policy
    USING (organisation_id = (SELECT current_setting('app.organisation')::uuid))
    WITH CHECK (organisation_id = (SELECT current_setting('app.organisation')::uuid));
GRANT SELECT, INSERT, UPDATE, DELETE ON memory.secrets_policy TO devlore_app;
