-- What POST requests with an Idempotency-Key answered, so that a repeated one gets the same answer instead of a second
-- effect. A row without a status is a claim: its request runs, or died; leased_until tells which. An answer repeats the
-- words of its subject. When that is erased they go from here too, whoever asked; that the request was carried out is
-- still known, so that a repeated one does not bring them back.

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
    subject         uuid,
    status          smallint,
    headers         jsonb,
    body            bytea,
    PRIMARY KEY (organisation_id, person_id, key)
);
CREATE INDEX idempotency_expires ON gateway.idempotency (expires_at);
CREATE INDEX idempotency_subject ON gateway.idempotency (organisation_id, subject) WHERE subject IS NOT NULL;

ALTER TABLE gateway.idempotency ENABLE ROW LEVEL SECURITY;
ALTER TABLE gateway.idempotency FORCE ROW LEVEL SECURITY;
-- A key is one person's own: another's may be equal, and neither learns of the other. For callers only: the owner, as
-- whom the functions below run, has no person, and on managed servers no setting that says so.
CREATE POLICY tenant ON gateway.idempotency TO devlore_app
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
        expires_at = excluded.expires_at, subject = NULL, status = NULL, headers = NULL, body = NULL
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

-- Whether the claim still held. An answer that comes after the erasure of its subject has no words left to keep.
CREATE FUNCTION gateway.answer(of_organisation uuid, of_person uuid, of_key text, by_claim uuid, its_subject uuid,
                               its_status smallint, its_headers jsonb, its_body bytea) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY INVOKER
AS $$
DECLARE
    erased boolean;
BEGIN
    PERFORM set_config('app.organisation', of_organisation::text, true), set_config('app.person', of_person::text, true),
            set_config('synchronous_commit', 'off', true);
    erased := EXISTS (SELECT FROM log.event e WHERE e.organisation_id = of_organisation AND e.subject = its_subject
                                                AND e.type = 'memory.purged');
    UPDATE gateway.idempotency i
    SET subject = its_subject, status = its_status, headers = CASE WHEN NOT erased THEN its_headers END,
        body = CASE WHEN NOT erased THEN its_body END
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

-- A subject's answers belong to whoever asked, so its organisation erases them as the owner: this policy shows the owner
-- that organisation's answers, and lets it leave nothing of them but that there was one.
CREATE POLICY erasing ON gateway.idempotency TO devlore_owner
    USING (organisation_id::text = (SELECT current_setting('app.organisation', true)) AND subject IS NOT NULL)
    WITH CHECK (organisation_id::text = (SELECT current_setting('app.organisation', true))
           AND headers IS NULL AND body IS NULL);

CREATE FUNCTION gateway.erase(of_organisation uuid, subjects uuid[]) RETURNS bigint
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, gateway
AS $$
    WITH emptied AS (
        UPDATE gateway.idempotency i SET headers = NULL, body = NULL
        WHERE i.organisation_id = of_organisation AND i.subject = ANY (subjects) AND i.headers IS NOT NULL
        RETURNING 1)
    SELECT count(*) FROM emptied
$$;
REVOKE ALL ON FUNCTION gateway.erase FROM PUBLIC;
GRANT EXECUTE ON FUNCTION gateway.erase TO devlore_app;
