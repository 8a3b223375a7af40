-- Organisations, the people and teams in them, invitations, and what is owed for those who left.
-- A person is nobody's tenant data: they may belong to several organisations. Their row is seen by themselves and by
-- those they share the organisation of the context with.

CREATE SCHEMA identity;
GRANT USAGE ON SCHEMA identity TO devlore_app, devlore_identity;
-- Taking over a function needs CREATE on its schema.
GRANT CREATE ON SCHEMA identity TO devlore_identity;

-- What kind of instance this database is: one person's without sign-in must never be served where many sign in.
CREATE TABLE identity.instance (
    only_one boolean PRIMARY KEY DEFAULT true CHECK (only_one),
    tier     text    NOT NULL CHECK (tier IN ('individual', 'team'))
);
GRANT SELECT, INSERT, UPDATE ON identity.instance TO devlore_app;

CREATE TABLE identity.organisation (
    organisation_id uuid        NOT NULL PRIMARY KEY,
    name            text        NOT NULL,
    created_at      timestamptz NOT NULL,
    created_by      uuid,
    version         integer     NOT NULL DEFAULT 1,
    -- Its deletion was asked for and is final from then on.
    delete_after    timestamptz
);
CREATE INDEX organisation_due ON identity.organisation (delete_after) WHERE delete_after IS NOT NULL;

CREATE TABLE identity.person (
    id          uuid        PRIMARY KEY,
    kind        text        NOT NULL CHECK (kind IN ('human', 'service')),
    name        text        NOT NULL,
    email       text        CHECK (email = lower(email)),
    -- Every token of a lower epoch is refused.
    epoch       integer     NOT NULL DEFAULT 1,
    created_at  timestamptz NOT NULL,
    disabled_at timestamptz,
    CHECK (kind = 'human' OR email IS NULL)
);
CREATE UNIQUE INDEX person_email ON identity.person (email);

-- No foreign key to the person: a key without the organisation would tell one tenant about another's rows.
CREATE TABLE identity.membership (
    organisation_id uuid        NOT NULL REFERENCES identity.organisation (organisation_id) ON DELETE CASCADE,
    person_id       uuid        NOT NULL,
    role            text        NOT NULL CHECK (role IN ('viewer', 'member', 'admin', 'owner')),
    created_at      timestamptz NOT NULL,
    invited_by      uuid,
    PRIMARY KEY (organisation_id, person_id)
);
CREATE INDEX membership_person ON identity.membership (person_id);

CREATE TABLE identity.team (
    organisation_id uuid        NOT NULL REFERENCES identity.organisation (organisation_id) ON DELETE CASCADE,
    id              uuid        NOT NULL,
    name            text        NOT NULL,
    created_at      timestamptz NOT NULL,
    version         integer     NOT NULL DEFAULT 1,
    PRIMARY KEY (organisation_id, id)
);
CREATE UNIQUE INDEX team_name ON identity.team (organisation_id, lower(name));

CREATE TABLE identity.team_member (
    organisation_id uuid NOT NULL,
    team_id         uuid NOT NULL,
    person_id       uuid NOT NULL,
    role            text NOT NULL CHECK (role IN ('member', 'maintainer')),
    PRIMARY KEY (organisation_id, team_id, person_id),
    FOREIGN KEY (organisation_id, team_id) REFERENCES identity.team (organisation_id, id) ON DELETE CASCADE,
    FOREIGN KEY (organisation_id, person_id) REFERENCES identity.membership (organisation_id, person_id) ON DELETE CASCADE
);
CREATE INDEX team_member_person ON identity.team_member (organisation_id, person_id);

-- The secret is kept as its SHA-256 only.
CREATE TABLE identity.invitation (
    organisation_id uuid        NOT NULL REFERENCES identity.organisation (organisation_id) ON DELETE CASCADE,
    id              uuid        NOT NULL,
    digest          bytea       NOT NULL CHECK (length(digest) = 32),
    role            text        NOT NULL CHECK (role IN ('viewer', 'member', 'admin', 'owner')),
    email           text        CHECK (email = lower(email)),
    teams           uuid[]      NOT NULL DEFAULT '{}',
    -- Whoever takes it becomes this person, who exists already but has never signed in (the one of a former
    -- individual instance).
    person_id       uuid,
    created_by      uuid,
    created_at      timestamptz NOT NULL,
    expires_at      timestamptz NOT NULL,
    accepted_at     timestamptz,
    accepted_by     uuid,
    revoked_at      timestamptz,
    PRIMARY KEY (organisation_id, id),
    CHECK ((accepted_at IS NULL) = (accepted_by IS NULL)),
    CHECK (accepted_at IS NULL OR revoked_at IS NULL)
);
CREATE INDEX invitation_digest ON identity.invitation (digest);

-- `name` is as it was then: their row is no longer this organisation's to read.
CREATE TABLE identity.departure (
    organisation_id uuid        NOT NULL REFERENCES identity.organisation (organisation_id) ON DELETE CASCADE,
    id              uuid        NOT NULL,
    person_id       uuid        NOT NULL,
    name            text        NOT NULL,
    created_at      timestamptz NOT NULL,
    requested_by    uuid        NOT NULL,
    action          text        CHECK (action IN ('transfer', 'purge')),
    to_person       uuid,
    settled_by      uuid,
    settled_at      timestamptz,
    PRIMARY KEY (organisation_id, id),
    CHECK ((action IS NULL) = (settled_at IS NULL)),
    CHECK ((action IS NOT DISTINCT FROM 'transfer') = (to_person IS NOT NULL))
);
CREATE UNIQUE INDEX departure_pending ON identity.departure (organisation_id, person_id) WHERE settled_at IS NULL;

ALTER TABLE identity.organisation ENABLE ROW LEVEL SECURITY;
ALTER TABLE identity.organisation FORCE ROW LEVEL SECURITY;
ALTER TABLE identity.person ENABLE ROW LEVEL SECURITY;
ALTER TABLE identity.person FORCE ROW LEVEL SECURITY;
ALTER TABLE identity.membership ENABLE ROW LEVEL SECURITY;
ALTER TABLE identity.membership FORCE ROW LEVEL SECURITY;
ALTER TABLE identity.team ENABLE ROW LEVEL SECURITY;
ALTER TABLE identity.team FORCE ROW LEVEL SECURITY;
ALTER TABLE identity.team_member ENABLE ROW LEVEL SECURITY;
ALTER TABLE identity.team_member FORCE ROW LEVEL SECURITY;
ALTER TABLE identity.invitation ENABLE ROW LEVEL SECURITY;
ALTER TABLE identity.invitation FORCE ROW LEVEL SECURITY;
ALTER TABLE identity.departure ENABLE ROW LEVEL SECURITY;
ALTER TABLE identity.departure FORCE ROW LEVEL SECURITY;

-- A person sees where they belong, whichever organisation they work in at the moment; only that one is theirs to change.
CREATE POLICY tenant ON identity.organisation
    USING (organisation_id = (SELECT current_setting('app.organisation')::uuid))
    WITH CHECK (organisation_id = (SELECT current_setting('app.organisation')::uuid));
CREATE POLICY own_place ON identity.organisation FOR SELECT USING (
    EXISTS (SELECT FROM identity.membership m WHERE m.organisation_id = organisation.organisation_id
                                                AND m.person_id = (SELECT current_setting('app.person')::uuid)));
CREATE POLICY tenant ON identity.membership
    USING (organisation_id = (SELECT current_setting('app.organisation')::uuid))
    WITH CHECK (organisation_id = (SELECT current_setting('app.organisation')::uuid));
CREATE POLICY own ON identity.membership FOR SELECT USING (
    person_id = (SELECT current_setting('app.person')::uuid));

CREATE POLICY oneself ON identity.person
    USING (id = (SELECT current_setting('app.person')::uuid))
    WITH CHECK (id = (SELECT current_setting('app.person')::uuid));
CREATE POLICY colleague ON identity.person FOR SELECT USING (
    EXISTS (SELECT FROM identity.membership m
            WHERE m.organisation_id = (SELECT current_setting('app.organisation')::uuid) AND m.person_id = person.id));
-- A service account is its organisation's, to make and to remove.
CREATE POLICY account_made ON identity.person FOR INSERT WITH CHECK (kind = 'service');
CREATE POLICY account_removed ON identity.person FOR DELETE USING (
    kind = 'service'
    AND EXISTS (SELECT FROM identity.membership m
                WHERE m.organisation_id = (SELECT current_setting('app.organisation')::uuid)
                  AND m.person_id = person.id));

CREATE POLICY tenant ON identity.team
    USING (organisation_id = (SELECT current_setting('app.organisation')::uuid))
    WITH CHECK (organisation_id = (SELECT current_setting('app.organisation')::uuid));
CREATE POLICY tenant ON identity.team_member
    USING (organisation_id = (SELECT current_setting('app.organisation')::uuid))
    WITH CHECK (organisation_id = (SELECT current_setting('app.organisation')::uuid));
CREATE POLICY tenant ON identity.invitation
    USING (organisation_id = (SELECT current_setting('app.organisation')::uuid))
    WITH CHECK (organisation_id = (SELECT current_setting('app.organisation')::uuid));
CREATE POLICY tenant ON identity.departure
    USING (organisation_id = (SELECT current_setting('app.organisation')::uuid))
    WITH CHECK (organisation_id = (SELECT current_setting('app.organisation')::uuid));

GRANT SELECT, INSERT, UPDATE, DELETE ON
    identity.organisation, identity.person, identity.membership, identity.team, identity.team_member,
    identity.invitation, identity.departure TO devlore_app;

-- Whose invitation a secret is, asked by somebody who belongs nowhere yet: ids only.
GRANT SELECT (organisation_id, id, digest) ON identity.invitation TO devlore_identity;
CREATE FUNCTION identity.find_invitation(of_digest bytea) RETURNS TABLE (organisation_id uuid, id uuid)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, identity
AS $$ SELECT i.organisation_id, i.id FROM identity.invitation i WHERE i.digest = of_digest $$;
REVOKE ALL ON FUNCTION identity.find_invitation FROM PUBLIC;
GRANT EXECUTE ON FUNCTION identity.find_invitation TO devlore_app;
ALTER FUNCTION identity.find_invitation OWNER TO devlore_identity;

-- Organisations whose deletion has become final, for the job that erases them: ids only.
GRANT SELECT (organisation_id, delete_after) ON identity.organisation TO devlore_identity;
CREATE FUNCTION identity.due_organisations(moment timestamptz, most integer) RETURNS SETOF uuid
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, identity
AS $$
    SELECT o.organisation_id FROM identity.organisation o
    WHERE o.delete_after <= moment ORDER BY o.delete_after LIMIT most
$$;
REVOKE ALL ON FUNCTION identity.due_organisations FROM PUBLIC;
GRANT EXECUTE ON FUNCTION identity.due_organisations TO devlore_app;
ALTER FUNCTION identity.due_organisations OWNER TO devlore_identity;
