-- Of an organisation that is gone no answer is kept, whomever it was given to: the owner of the table, whom this policy
-- shows that organisation's answers, deletes them.
CREATE POLICY gone ON gateway.idempotency TO devlore_owner
    USING (organisation_id::text = (SELECT current_setting('app.organisation', true))) WITH CHECK (false);

CREATE FUNCTION gateway.erase_all(of_organisation uuid) RETURNS bigint
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, gateway
AS $$
    WITH deleted AS (
        DELETE FROM gateway.idempotency i WHERE i.organisation_id = of_organisation RETURNING 1)
    SELECT count(*) FROM deleted
$$;
REVOKE ALL ON FUNCTION gateway.erase_all FROM PUBLIC;
GRANT EXECUTE ON FUNCTION gateway.erase_all TO devlore_app;
