-- What people and programs prove who they are with. Secrets of 256 random bits are kept as their SHA-256, passwords as
-- argon2id, the private part of signing keys encrypted.
-- Passwords and passkeys are a person's, in whichever organisation they work; sessions and API keys are a person's in
-- one organisation and end with the membership.

CREATE TABLE identity.password (
    person_id  uuid        PRIMARY KEY REFERENCES identity.person (id) ON DELETE CASCADE,
    hash       text        NOT NULL,
    -- Long enough to be the only proof; a shorter one needs a passkey beside it.
    long       boolean     NOT NULL,
    changed_at timestamptz NOT NULL
);

CREATE TABLE identity.passkey (
    person_id     uuid        NOT NULL REFERENCES identity.person (id) ON DELETE CASCADE,
    id            uuid        NOT NULL,
    credential_id bytea       NOT NULL CHECK (length(credential_id) BETWEEN 1 AND 1023),
    public_key    bytea       NOT NULL,
    sign_count    bigint      NOT NULL,
    backed_up     boolean     NOT NULL,
    name          text        NOT NULL,
    created_at    timestamptz NOT NULL,
    last_used_at  timestamptz,
    PRIMARY KEY (person_id, id)
);
-- WebAuthn §7.1: no credential belongs to two. Its id is chosen at random by the authenticator.
CREATE UNIQUE INDEX passkey_credential ON identity.passkey (credential_id);

-- Passkey challenges that were answered: none is answered twice. Those that never are leave no row.
CREATE TABLE identity.challenge (
    digest     bytea       PRIMARY KEY CHECK (length(digest) = 32),
    person_id  uuid        NOT NULL,
    expires_at timestamptz NOT NULL
);
CREATE INDEX challenge_expiry ON identity.challenge (expires_at);

CREATE TABLE identity.session (
    organisation_id  uuid        NOT NULL,
    id               uuid        NOT NULL,
    person_id        uuid        NOT NULL,
    -- A browser's: SHA-256 of the cookie. Null: a session that refreshes tokens.
    cookie           bytea       CHECK (length(cookie) = 32),
    epoch            integer     NOT NULL,
    user_agent       text,
    network          text,
    created_at       timestamptz NOT NULL,
    authenticated_at timestamptz NOT NULL,
    last_seen_at     timestamptz NOT NULL,
    expires_at       timestamptz NOT NULL,
    revoked_at       timestamptz,
    PRIMARY KEY (organisation_id, id),
    FOREIGN KEY (organisation_id, person_id) REFERENCES identity.membership (organisation_id, person_id) ON DELETE CASCADE
);
CREATE INDEX session_id ON identity.session (id);
CREATE INDEX session_cookie ON identity.session (cookie) WHERE cookie IS NOT NULL;
CREATE INDEX session_person ON identity.session (organisation_id, person_id);
CREATE INDEX session_of_person ON identity.session (person_id, created_at);
CREATE INDEX session_expiry ON identity.session (expires_at);

-- A family: each token of a session and whether it was exchanged. Its successor is derived, never stored.
CREATE TABLE identity.refresh (
    organisation_id uuid        NOT NULL,
    digest          bytea       NOT NULL CHECK (length(digest) = 32),
    session_id      uuid        NOT NULL,
    person_id       uuid        NOT NULL,
    issued_at       timestamptz NOT NULL,
    used_at         timestamptz,
    PRIMARY KEY (organisation_id, digest),
    FOREIGN KEY (organisation_id, session_id) REFERENCES identity.session (organisation_id, id) ON DELETE CASCADE
);
CREATE INDEX refresh_digest ON identity.refresh (digest);
CREATE INDEX refresh_session ON identity.refresh (organisation_id, session_id);

CREATE TABLE identity.api_key (
    organisation_id uuid        NOT NULL,
    id              uuid        NOT NULL,
    person_id       uuid        NOT NULL,
    key_id          text        NOT NULL,
    digest          bytea       NOT NULL CHECK (length(digest) = 32),
    name            text        NOT NULL,
    -- Null: whatever its person may do.
    scopes          text[],
    -- The /24 and /48 it was used from, the latest last.
    networks        text[]      NOT NULL DEFAULT '{}',
    created_by      uuid        NOT NULL,
    created_at      timestamptz NOT NULL,
    expires_at      timestamptz,
    last_used_at    timestamptz,
    revoked_at      timestamptz,
    PRIMARY KEY (organisation_id, id),
    FOREIGN KEY (organisation_id, person_id) REFERENCES identity.membership (organisation_id, person_id) ON DELETE CASCADE
);
CREATE INDEX api_key_key_id ON identity.api_key (key_id);
CREATE INDEX api_key_person ON identity.api_key (organisation_id, person_id);

-- Sign-ins begun on a device without a browser (RFC 8628). Nobody's, until somebody approves or refuses it.
CREATE TABLE identity.device (
    digest           bytea       PRIMARY KEY CHECK (length(digest) = 32),
    user_code        bytea       NOT NULL CHECK (length(user_code) = 32),
    user_agent       text,
    network          text,
    created_at       timestamptz NOT NULL,
    expires_at       timestamptz NOT NULL,
    polled_at        timestamptz,
    interval_seconds integer     NOT NULL,
    person_id        uuid,
    in_organisation  uuid,
    authenticated_at timestamptz,
    approved         boolean,
    CHECK ((person_id IS NULL) = (approved IS NULL) AND (person_id IS NULL) = (in_organisation IS NULL))
);
CREATE UNIQUE INDEX device_user_code ON identity.device (user_code);
CREATE INDEX device_expiry ON identity.device (expires_at);

-- What access tokens are signed with: the key without retires_at signs, all others only verify until then.
CREATE TABLE identity.signing_key (
    kid        text        PRIMARY KEY,
    public     bytea       NOT NULL CHECK (length(public) = 32),
    -- AES-256-GCM: 12 bytes of nonce, then the 32 encrypted and 16 of tag.
    private    bytea       NOT NULL CHECK (length(private) = 60),
    sealed_by  text        NOT NULL,
    created_at timestamptz NOT NULL,
    retires_at timestamptz
);

ALTER TABLE identity.password ENABLE ROW LEVEL SECURITY;
ALTER TABLE identity.password FORCE ROW LEVEL SECURITY;
ALTER TABLE identity.passkey ENABLE ROW LEVEL SECURITY;
ALTER TABLE identity.passkey FORCE ROW LEVEL SECURITY;
ALTER TABLE identity.challenge ENABLE ROW LEVEL SECURITY;
ALTER TABLE identity.challenge FORCE ROW LEVEL SECURITY;
ALTER TABLE identity.session ENABLE ROW LEVEL SECURITY;
ALTER TABLE identity.session FORCE ROW LEVEL SECURITY;
ALTER TABLE identity.refresh ENABLE ROW LEVEL SECURITY;
ALTER TABLE identity.refresh FORCE ROW LEVEL SECURITY;
ALTER TABLE identity.api_key ENABLE ROW LEVEL SECURITY;
ALTER TABLE identity.api_key FORCE ROW LEVEL SECURITY;
ALTER TABLE identity.device ENABLE ROW LEVEL SECURITY;
ALTER TABLE identity.device FORCE ROW LEVEL SECURITY;

CREATE POLICY own ON identity.password
    USING (person_id = (SELECT current_setting('app.person')::uuid))
    WITH CHECK (person_id = (SELECT current_setting('app.person')::uuid));
CREATE POLICY own ON identity.passkey
    USING (person_id = (SELECT current_setting('app.person')::uuid))
    WITH CHECK (person_id = (SELECT current_setting('app.person')::uuid));
CREATE POLICY own ON identity.challenge
    USING (person_id = (SELECT current_setting('app.person')::uuid))
    WITH CHECK (person_id = (SELECT current_setting('app.person')::uuid));
-- Their own sessions are a person's to see and to end wherever they are, to begin only where they are.
CREATE POLICY own ON identity.session FOR SELECT
    USING (person_id = (SELECT current_setting('app.person')::uuid));
CREATE POLICY own_end ON identity.session FOR UPDATE
    USING (person_id = (SELECT current_setting('app.person')::uuid))
    WITH CHECK (person_id = (SELECT current_setting('app.person')::uuid));
CREATE POLICY own_begin ON identity.session FOR INSERT
    WITH CHECK (organisation_id = (SELECT current_setting('app.organisation')::uuid)
                AND person_id = (SELECT current_setting('app.person')::uuid));
CREATE POLICY own ON identity.refresh
    USING (organisation_id = (SELECT current_setting('app.organisation')::uuid)
           AND person_id = (SELECT current_setting('app.person')::uuid))
    WITH CHECK (organisation_id = (SELECT current_setting('app.organisation')::uuid)
                AND person_id = (SELECT current_setting('app.person')::uuid));
CREATE POLICY own ON identity.api_key
    USING (organisation_id = (SELECT current_setting('app.organisation')::uuid)
           AND person_id = (SELECT current_setting('app.person')::uuid))
    WITH CHECK (organisation_id = (SELECT current_setting('app.organisation')::uuid)
                AND person_id = (SELECT current_setting('app.person')::uuid));
CREATE POLICY own_or_nobodys ON identity.device
    USING (person_id IS NULL OR person_id = (SELECT current_setting('app.person')::uuid))
    WITH CHECK (person_id IS NULL OR person_id = (SELECT current_setting('app.person')::uuid));

GRANT SELECT, INSERT, UPDATE, DELETE ON identity.password, identity.passkey, identity.api_key, identity.device,
    identity.signing_key TO devlore_app;
GRANT SELECT, INSERT, UPDATE ON identity.session, identity.refresh TO devlore_app;
GRANT SELECT, INSERT ON identity.challenge TO devlore_app;

-- Whose a credential is, asked before anybody is known: ids and what decides, never a secret or a hash of a password.
GRANT SELECT (id, kind, email, epoch, disabled_at) ON identity.person TO devlore_identity;
GRANT SELECT (organisation_id, person_id, role) ON identity.membership TO devlore_identity;
GRANT SELECT (organisation_id, team_id, person_id) ON identity.team_member TO devlore_identity;
GRANT SELECT (person_id, credential_id) ON identity.passkey TO devlore_identity;
GRANT SELECT (organisation_id, id, person_id, cookie, epoch, authenticated_at, last_seen_at, expires_at, revoked_at),
    DELETE ON identity.session TO devlore_identity;
GRANT SELECT (organisation_id, digest, session_id, person_id) ON identity.refresh TO devlore_identity;
GRANT SELECT (organisation_id, id, person_id, key_id, digest, scopes, networks, created_at, expires_at, last_used_at,
    revoked_at) ON identity.api_key TO devlore_identity;
GRANT SELECT (digest, person_id, in_organisation, expires_at), DELETE ON identity.device TO devlore_identity;
GRANT SELECT (digest, expires_at), DELETE ON identity.challenge TO devlore_identity;
GRANT SELECT (kid, retires_at), DELETE ON identity.signing_key TO devlore_identity;

-- What a person is in an organisation now; no row when they are nothing there. While an organisation waits for its
-- deletion only its owners come in: they may still undo it.
CREATE FUNCTION identity.standing(of_person uuid, of_organisation uuid)
RETURNS TABLE (role text, teams uuid[], epoch integer)
LANGUAGE sql STABLE SET search_path = pg_catalog, identity
AS $$
    SELECT m.role, array(SELECT t.team_id FROM identity.team_member t
                         WHERE t.organisation_id = m.organisation_id AND t.person_id = m.person_id ORDER BY t.team_id),
           p.epoch
    FROM identity.membership m
    JOIN identity.organisation o ON o.organisation_id = m.organisation_id
    JOIN identity.person p ON p.id = m.person_id
    WHERE m.organisation_id = of_organisation AND m.person_id = of_person AND p.disabled_at IS NULL
      AND (o.delete_after IS NULL OR m.role = 'owner')
$$;
REVOKE ALL ON FUNCTION identity.standing FROM PUBLIC;
ALTER FUNCTION identity.standing OWNER TO devlore_identity;

CREATE FUNCTION identity.find_session(of_id uuid, moment timestamptz)
RETURNS TABLE (organisation_id uuid, id uuid, person_id uuid, role text, teams uuid[], authenticated_at timestamptz,
               last_seen_at timestamptz, expires_at timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, identity
AS $$
    SELECT s.organisation_id, s.id, s.person_id, now.role, now.teams, s.authenticated_at, s.last_seen_at, s.expires_at
    FROM identity.session s CROSS JOIN LATERAL identity.standing(s.person_id, s.organisation_id) AS now
    WHERE s.id = of_id AND s.revoked_at IS NULL AND s.expires_at > moment AND s.epoch = now.epoch
$$;
REVOKE ALL ON FUNCTION identity.find_session FROM PUBLIC;
GRANT EXECUTE ON FUNCTION identity.find_session TO devlore_app;
ALTER FUNCTION identity.find_session OWNER TO devlore_identity;

CREATE FUNCTION identity.find_cookie(of_cookie bytea, moment timestamptz)
RETURNS TABLE (organisation_id uuid, id uuid, person_id uuid, role text, teams uuid[], authenticated_at timestamptz,
               last_seen_at timestamptz, expires_at timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, identity
AS $$
    SELECT s.organisation_id, s.id, s.person_id, now.role, now.teams, s.authenticated_at, s.last_seen_at, s.expires_at
    FROM identity.session s CROSS JOIN LATERAL identity.standing(s.person_id, s.organisation_id) AS now
    WHERE s.cookie = of_cookie AND s.revoked_at IS NULL AND s.expires_at > moment AND s.epoch = now.epoch
$$;
REVOKE ALL ON FUNCTION identity.find_cookie FROM PUBLIC;
GRANT EXECUTE ON FUNCTION identity.find_cookie TO devlore_app;
ALTER FUNCTION identity.find_cookie OWNER TO devlore_identity;

CREATE FUNCTION identity.find_key(of_key_id text, of_digest bytea, moment timestamptz)
RETURNS TABLE (organisation_id uuid, id uuid, person_id uuid, role text, teams uuid[], scopes text[], networks text[],
               created_at timestamptz, expires_at timestamptz, last_used_at timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, identity
AS $$
    SELECT k.organisation_id, k.id, k.person_id, now.role, now.teams, k.scopes, k.networks, k.created_at, k.expires_at,
           k.last_used_at
    FROM identity.api_key k CROSS JOIN LATERAL identity.standing(k.person_id, k.organisation_id) AS now
    WHERE k.key_id = of_key_id AND k.digest = of_digest AND k.revoked_at IS NULL
      AND (k.expires_at IS NULL OR k.expires_at > moment)
$$;
REVOKE ALL ON FUNCTION identity.find_key FROM PUBLIC;
GRANT EXECUTE ON FUNCTION identity.find_key TO devlore_app;
ALTER FUNCTION identity.find_key OWNER TO devlore_identity;

-- Whose a key of the caller's organisation is: whoever looks after service accounts has only its id.
CREATE FUNCTION identity.owner_of_key(of_id uuid) RETURNS uuid
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, identity
AS $$
    SELECT k.person_id FROM identity.api_key k
    WHERE k.organisation_id = (SELECT current_setting('app.organisation')::uuid) AND k.id = of_id
$$;
REVOKE ALL ON FUNCTION identity.owner_of_key FROM PUBLIC;
GRANT EXECUTE ON FUNCTION identity.owner_of_key TO devlore_app;
ALTER FUNCTION identity.owner_of_key OWNER TO devlore_identity;

CREATE FUNCTION identity.find_refresh(of_digest bytea)
RETURNS TABLE (organisation_id uuid, session_id uuid, person_id uuid)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, identity
AS $$ SELECT r.organisation_id, r.session_id, r.person_id FROM identity.refresh r WHERE r.digest = of_digest $$;
REVOKE ALL ON FUNCTION identity.find_refresh FROM PUBLIC;
GRANT EXECUTE ON FUNCTION identity.find_refresh TO devlore_app;
ALTER FUNCTION identity.find_refresh OWNER TO devlore_identity;

CREATE FUNCTION identity.find_by_email(of_email text) RETURNS uuid
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, identity
AS $$ SELECT p.id FROM identity.person p WHERE p.email = of_email AND p.kind = 'human' AND p.disabled_at IS NULL $$;
REVOKE ALL ON FUNCTION identity.find_by_email FROM PUBLIC;
GRANT EXECUTE ON FUNCTION identity.find_by_email TO devlore_app;
ALTER FUNCTION identity.find_by_email OWNER TO devlore_identity;

CREATE FUNCTION identity.find_by_passkey(of_credential bytea) RETURNS uuid
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, identity
AS $$
    SELECT k.person_id FROM identity.passkey k JOIN identity.person p ON p.id = k.person_id
    WHERE k.credential_id = of_credential AND p.disabled_at IS NULL
$$;
REVOKE ALL ON FUNCTION identity.find_by_passkey FROM PUBLIC;
GRANT EXECUTE ON FUNCTION identity.find_by_passkey TO devlore_app;
ALTER FUNCTION identity.find_by_passkey OWNER TO devlore_identity;

-- Who settled a device's sign-in, and where; no row while nobody has.
CREATE FUNCTION identity.find_by_device(of_digest bytea) RETURNS TABLE (organisation_id uuid, person_id uuid)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, identity
AS $$
    SELECT d.in_organisation, d.person_id FROM identity.device d
    WHERE d.digest = of_digest AND d.person_id IS NOT NULL
$$;
REVOKE ALL ON FUNCTION identity.find_by_device FROM PUBLIC;
GRANT EXECUTE ON FUNCTION identity.find_by_device TO devlore_app;
ALTER FUNCTION identity.find_by_device OWNER TO devlore_identity;

-- Up to `most` of each kind that are of no use any more; how many those were. A session stays a month after its end, so
-- that a stolen refresh token is still known for what it is.
CREATE FUNCTION identity.forget_credentials(moment timestamptz, most integer) RETURNS bigint
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, identity
AS $$
    WITH sessions AS (
        DELETE FROM identity.session WHERE (organisation_id, id) IN (
            SELECT s.organisation_id, s.id FROM identity.session s
            WHERE s.expires_at < moment - interval '30 days' LIMIT most) RETURNING 1),
    challenges AS (
        DELETE FROM identity.challenge WHERE digest IN (
            SELECT c.digest FROM identity.challenge c WHERE c.expires_at < moment LIMIT most) RETURNING 1),
    devices AS (
        DELETE FROM identity.device WHERE digest IN (
            SELECT d.digest FROM identity.device d WHERE d.expires_at < moment - interval '1 hour' LIMIT most)
        RETURNING 1),
    keys AS (
        DELETE FROM identity.signing_key WHERE retires_at < moment - interval '1 day' RETURNING 1)
    SELECT (SELECT count(*) FROM sessions) + (SELECT count(*) FROM challenges) + (SELECT count(*) FROM devices)
         + (SELECT count(*) FROM keys)
$$;
REVOKE ALL ON FUNCTION identity.forget_credentials FROM PUBLIC;
GRANT EXECUTE ON FUNCTION identity.forget_credentials TO devlore_app;
ALTER FUNCTION identity.forget_credentials OWNER TO devlore_identity;
