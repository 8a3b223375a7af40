-- What POST requests with an Idempotency-Key answered, so that a repeated one gets the same answer instead of a second
-- effect. A row without a status is a claim: its request runs, or died; leased_until tells which.

CREATE SCHEMA gateway;
GRANT USAGE ON SCHEMA gateway TO devlore_app;

CREATE TABLE gateway.idempotency (
    organisation_id uuid        NOT NULL,
    person_id       uuid        NOT NULL,
    key             text        NOT NULL CHECK (length(key) BETWEEN 1 AND 255),
    fingerprint     bytea       NOT NULL,
    claim           uuid        NOT NULL,
    leased_until    timestamptz NOT NULL,
    expires_at      timestamptz NOT NULL,
    status          smallint,
    headers         jsonb,
    body            bytea,
    PRIMARY KEY (organisation_id, person_id, key)
);
CREATE INDEX idempotency_expires ON gateway.idempotency (expires_at);

ALTER TABLE gateway.idempotency ENABLE ROW LEVEL SECURITY;
ALTER TABLE gateway.idempotency FORCE ROW LEVEL SECURITY;
-- A key is one person's own: another's may be equal, and neither learns of the other.
CREATE POLICY tenant ON gateway.idempotency
    USING (organisation_id = (SELECT current_setting('app.organisation')::uuid)
           AND person_id = (SELECT current_setting('app.person')::uuid))
    WITH CHECK (organisation_id = (SELECT current_setting('app.organisation')::uuid)
           AND person_id = (SELECT current_setting('app.person')::uuid));
GRANT SELECT, INSERT, UPDATE, DELETE ON gateway.idempotency TO devlore_app;

-- Claiming and answering are one round trip each, so they set who is asking (for their transaction) themselves.
-- Neither waits for the disk: the log is written in order, so a claim is durable whenever the change its request makes
-- after it is.

-- One row: mine, or what is known under the key. No row when the key was freed just now. A key is free when it is new,
-- expired, or claimed for the same request by somebody who stopped renewing the lease.
CREATE FUNCTION gateway.claim(of_organisation uuid, of_person uuid, of_key text, of_fingerprint bytea, by_claim uuid,
                              lease double precision, keep double precision)
RETURNS TABLE (mine boolean, fingerprint bytea, status smallint, headers jsonb, body bytea)
LANGUAGE plpgsql VOLATILE SECURITY INVOKER
AS $$
#variable_conflict use_column
BEGIN
    PERFORM set_config('app.organisation', of_organisation::text, true), set_config('app.person', of_person::text, true),
            set_config('synchronous_commit', 'off', true);
    INSERT INTO gateway.idempotency AS known
        (organisation_id, person_id, key, fingerprint, claim, leased_until, expires_at)
    VALUES (of_organisation, of_person, of_key, of_fingerprint, by_claim,
            clock_timestamp() + make_interval(secs => lease), clock_timestamp() + make_interval(secs => keep))
    ON CONFLICT (organisation_id, person_id, key) DO UPDATE
    SET fingerprint = excluded.fingerprint, claim = excluded.claim, leased_until = excluded.leased_until,
        expires_at = excluded.expires_at, status = NULL, headers = NULL, body = NULL
    WHERE known.expires_at < clock_timestamp()
       OR (known.status IS NULL AND known.fingerprint = excluded.fingerprint
           AND (known.leased_until < clock_timestamp() OR known.claim = excluded.claim));
    IF FOUND THEN
        RETURN QUERY SELECT true, NULL::bytea, NULL::smallint, NULL::jsonb, NULL::bytea;
    ELSE
        RETURN QUERY SELECT false, i.fingerprint, i.status, i.headers, i.body FROM gateway.idempotency i
            WHERE i.organisation_id = of_organisation AND i.person_id = of_person AND i.key = of_key;
    END IF;
END
$$;

-- Whether the claim still held.
CREATE FUNCTION gateway.answer(of_organisation uuid, of_person uuid, of_key text, by_claim uuid, its_status smallint,
                               its_headers jsonb, its_body bytea) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY INVOKER
AS $$
BEGIN
    PERFORM set_config('app.organisation', of_organisation::text, true), set_config('app.person', of_person::text, true),
            set_config('synchronous_commit', 'off', true);
    UPDATE gateway.idempotency i SET status = its_status, headers = its_headers, body = its_body
    WHERE i.organisation_id = of_organisation AND i.person_id = of_person AND i.key = of_key AND i.claim = by_claim;
    RETURN FOUND;
END
$$;
REVOKE ALL ON FUNCTION gateway.claim, gateway.answer FROM PUBLIC;
GRANT EXECUTE ON FUNCTION gateway.claim, gateway.answer TO devlore_app;

-- The cleanup serves every organisation. It runs as the owner, whom forced row-level security binds too: this policy
-- shows the owner what has expired and nothing else.
CREATE POLICY expired ON gateway.idempotency TO devlore_owner USING (expires_at < now()) WITH CHECK (false);

CREATE FUNCTION gateway.forget_expired(most integer) RETURNS bigint
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, gateway
AS $$
    WITH gone AS (
        DELETE FROM gateway.idempotency
        WHERE (organisation_id, person_id, key) IN (
            SELECT i.organisation_id, i.person_id, i.key FROM gateway.idempotency i
            WHERE i.expires_at < now() ORDER BY i.expires_at LIMIT most FOR UPDATE SKIP LOCKED)
        RETURNING 1)
    SELECT count(*) FROM gone
$$;
REVOKE ALL ON FUNCTION gateway.forget_expired FROM PUBLIC;
GRANT EXECUTE ON FUNCTION gateway.forget_expired TO devlore_app;
