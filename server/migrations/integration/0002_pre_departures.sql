-- Connections are their person's alone; those of somebody who left, or of everybody in an erased organisation, are
-- taken away by the owner of the tables, whom this policy lets do it. The restrictive policy `tenant` binds the owner.
CREATE POLICY leaving ON integration.connection TO devlore_owner USING (true) WITH CHECK (false);

-- Removes the connections of a person of the organisation of the context, or everybody's (null), made until then, with
-- their syncs; the ids of those that were there.
CREATE FUNCTION integration.disconnect(of_person uuid, until timestamptz) RETURNS SETOF uuid
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, integration
AS $$
    DELETE FROM integration.connection c
    WHERE c.organisation_id = current_setting('app.organisation')::uuid
      AND (of_person IS NULL OR c.created_by = of_person) AND c.created_at <= until
    RETURNING c.id
$$;
REVOKE ALL ON FUNCTION integration.disconnect FROM PUBLIC;
GRANT EXECUTE ON FUNCTION integration.disconnect TO devlore_app;
