-- From where a person signed in lately: there they get in while somebody guesses at their account from everywhere else.

CREATE TABLE identity.familiar_network (
    person_id uuid        NOT NULL REFERENCES identity.person (id) ON DELETE CASCADE,
    -- A /24 or /48.
    network   text        NOT NULL,
    seen_at   timestamptz NOT NULL,
    PRIMARY KEY (person_id, network)
);
CREATE INDEX familiar_network_seen ON identity.familiar_network (seen_at);
ALTER TABLE identity.familiar_network ENABLE ROW LEVEL SECURITY;
ALTER TABLE identity.familiar_network FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON identity.familiar_network
    USING (person_id = (SELECT current_setting('app.person')::uuid))
    WITH CHECK (person_id = (SELECT current_setting('app.person')::uuid));
GRANT SELECT, INSERT, UPDATE ON identity.familiar_network TO devlore_app;

GRANT SELECT (person_id, network, seen_at), DELETE ON identity.familiar_network TO devlore_identity;

-- Whether the person with this address, or this id, signed in from a network since then; asked before they are known.
CREATE FUNCTION identity.is_familiar(of_email text, of_person uuid, from_network text, since timestamptz) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, identity
AS $$
    SELECT EXISTS (
        SELECT FROM identity.familiar_network f JOIN identity.person p ON p.id = f.person_id
        WHERE (p.email = of_email OR p.id = of_person) AND f.network = from_network AND f.seen_at > since)
$$;
REVOKE ALL ON FUNCTION identity.is_familiar FROM PUBLIC;
GRANT EXECUTE ON FUNCTION identity.is_familiar TO devlore_app;
ALTER FUNCTION identity.is_familiar OWNER TO devlore_identity;

CREATE FUNCTION identity.forget_networks(before timestamptz, most integer) RETURNS bigint
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, identity
AS $$
    WITH gone AS (
        DELETE FROM identity.familiar_network WHERE (person_id, network) IN (
            SELECT f.person_id, f.network FROM identity.familiar_network f WHERE f.seen_at < before LIMIT most)
        RETURNING 1)
    SELECT count(*) FROM gone
$$;
REVOKE ALL ON FUNCTION identity.forget_networks FROM PUBLIC;
GRANT EXECUTE ON FUNCTION identity.forget_networks TO devlore_app;
ALTER FUNCTION identity.forget_networks OWNER TO devlore_identity;
