-- What has been replaced can lead a search to what holds in its place.

CREATE INDEX document_superseded ON search.document (organisation_id, model, memory_id)
    WHERE status = 'superseded' AND live;

-- The passages of superseded memories nearest to a vector that the holder of `audiences` may see, as `search.nearest` has
-- those of the others; of so many memories the newest.
CREATE FUNCTION search.nearest_superseded(tenant uuid, audiences uuid[], of_model smallint, target public.halfvec,
                                          most integer, wanted jsonb, unwanted jsonb)
RETURNS TABLE (memory_id uuid, score real, ordinal smallint, starts integer, ends integer)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, search SET jit = off
AS $$
DECLARE
    chosen uuid[];
BEGIN
    IF tenant IS NULL OR tenant = '00000000-0000-0000-0000-000000000000' THEN
        RAISE EXCEPTION 'a search needs an organisation';
    END IF;
    -- Mostly nothing was superseded, and a plan that is kept says so soonest.
    IF NOT EXISTS (SELECT FROM search.document d WHERE d.organisation_id = tenant AND d.model = of_model
                   AND d.status = 'superseded' AND d.live) THEN
        RETURN;
    END IF;
    EXECUTE 'SELECT array_agg(few.memory_id) FROM (SELECT d.memory_id FROM search.document d'
            ' WHERE d.organisation_id = $4 AND d.model = $5 AND d.status = ''superseded'' AND d.live'
            ' AND d.access = ANY ($6)' || search.conditions(wanted, unwanted)
            || ' ORDER BY d.memory_id DESC LIMIT 4000) AS few'
        INTO chosen USING target, wanted, unwanted, tenant, of_model, audiences;
    RETURN QUERY
        SELECT p.memory_id, (-(p.embedding OPERATOR(public.<#>) target))::real, p.ordinal, p.starts, p.ends
        FROM search.passage p
        WHERE p.organisation_id = tenant AND p.model = of_model AND p.access = ANY (audiences)
          AND p.memory_id = ANY (chosen)
        ORDER BY p.embedding OPERATOR(public.<#>) target LIMIT most;
END
$$;

REVOKE ALL ON FUNCTION search.nearest_superseded FROM PUBLIC;
GRANT EXECUTE ON FUNCTION search.nearest_superseded TO devlore_app;
ALTER FUNCTION search.nearest_superseded OWNER TO devlore_search;
