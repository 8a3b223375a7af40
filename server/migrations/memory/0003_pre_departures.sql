-- What somebody who left kept private goes to an heir or is erased; of an erased organisation everything is.
-- Neither is its caller's to do under the policies for the app, so both are done by the owner of the tables, whom these
-- policies let do it. The restrictive policy `tenant` binds the owner, too: never beyond the organisation of the context.
CREATE POLICY settling ON memory.memory TO devlore_owner USING (true) WITH CHECK (true);
CREATE POLICY settling ON memory.version TO devlore_owner USING (true) WITH CHECK (true);

-- The private memories among `ids` of the person of the context become the heir's, with their private past. One whose
-- source the heir has a memory of already stands for itself from now on: a source's item has one memory per person.
CREATE FUNCTION memory.hand_over(heir uuid, ids uuid[]) RETURNS void
LANGUAGE plpgsql STRICT SECURITY DEFINER SET search_path = pg_catalog, memory
AS $$
DECLARE
    tenant uuid := current_setting('app.organisation')::uuid;
    giver  uuid := current_setting('app.person')::uuid;
BEGIN
    ids := array(SELECT m.id FROM memory.memory m
                 WHERE m.organisation_id = tenant AND m.id = ANY (ids) AND m.created_by = giver
                   AND m.privacy = 'private' FOR UPDATE);
    UPDATE memory.version v SET state = jsonb_set(v.state, '{created_by}', to_jsonb(heir))
    WHERE v.organisation_id = tenant AND v.memory_id = ANY (ids)
      AND v.state->>'privacy' = 'private' AND v.state->>'created_by' = giver::text;
    UPDATE memory.claim c SET person_id = heir WHERE c.organisation_id = tenant AND c.memory_id = ANY (ids);
    UPDATE memory.memory m SET created_by = heir, source_external_id = CASE WHEN NOT EXISTS (
            SELECT FROM memory.memory o
            WHERE o.organisation_id = tenant AND o.created_by = heir AND o.source_connector = m.source_connector
              AND o.source_external_id = m.source_external_id) THEN m.source_external_id END
    WHERE m.organisation_id = tenant AND m.id = ANY (ids);
END
$$;
REVOKE ALL ON FUNCTION memory.hand_over FROM PUBLIC;
GRANT EXECUTE ON FUNCTION memory.hand_over TO devlore_app;

-- Erases up to `most` memories of the organisation of the context, whoever's they are, with all that hangs on them.
CREATE FUNCTION memory.erase_some(most integer) RETURNS TABLE (id uuid, version integer)
LANGUAGE sql STRICT SECURITY DEFINER SET search_path = pg_catalog, memory
AS $$
    DELETE FROM memory.memory m
    WHERE m.organisation_id = current_setting('app.organisation')::uuid
      AND m.id IN (SELECT o.id FROM memory.memory o
                   WHERE o.organisation_id = current_setting('app.organisation')::uuid
                   ORDER BY o.id LIMIT most FOR UPDATE)
    RETURNING m.id, m.version
$$;
REVOKE ALL ON FUNCTION memory.erase_some FROM PUBLIC;
GRANT EXECUTE ON FUNCTION memory.erase_some TO devlore_app;
