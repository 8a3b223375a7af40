-- An answer is repeated to whoever may still do what was asked: it is kept with the scopes the request was made with.

ALTER TABLE gateway.idempotency ADD COLUMN scopes text[];

DROP FUNCTION gateway.claim, gateway.answer;

-- As in 0001, and with the scopes.
CREATE FUNCTION gateway.claim(of_organisation uuid, of_person uuid, of_key text, of_fingerprint bytea, by_claim uuid,
                              lease double precision, keep double precision)
RETURNS TABLE (mine boolean, fingerprint bytea, subject uuid, scopes text[], status smallint, headers jsonb, body bytea)
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
        expires_at = excluded.expires_at, subject = NULL, scopes = NULL, status = NULL, headers = NULL, body = NULL
    WHERE known.expires_at < clock_timestamp()
       OR (known.status IS NULL AND known.fingerprint = excluded.fingerprint
           AND (known.leased_until < clock_timestamp() OR known.claim = excluded.claim));
    IF FOUND THEN
        RETURN QUERY SELECT true, NULL::bytea, NULL::uuid, NULL::text[], NULL::smallint, NULL::jsonb, NULL::bytea;
    ELSE
        RETURN QUERY SELECT false, i.fingerprint, i.subject, i.scopes, i.status, i.headers, i.body
            FROM gateway.idempotency i
            WHERE i.organisation_id = of_organisation AND i.person_id = of_person AND i.key = of_key;
    END IF;
END
$$;

CREATE FUNCTION gateway.answer(of_organisation uuid, of_person uuid, of_key text, by_claim uuid, its_subject uuid,
                               its_scopes text[], its_status smallint, its_headers jsonb, its_body bytea)
RETURNS boolean
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
    SET subject = its_subject, scopes = its_scopes, status = its_status,
        headers = CASE WHEN NOT erased THEN its_headers END, body = CASE WHEN NOT erased THEN its_body END
    WHERE i.organisation_id = of_organisation AND i.person_id = of_person AND i.key = of_key AND i.claim = by_claim;
    RETURN FOUND;
END
$$;
REVOKE ALL ON FUNCTION gateway.claim, gateway.answer FROM PUBLIC;
GRANT EXECUTE ON FUNCTION gateway.claim, gateway.answer TO devlore_app;
