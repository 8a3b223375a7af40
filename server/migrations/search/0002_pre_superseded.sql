-- What has been replaced can lead a search to what holds in its place.

DROP FUNCTION search.nearest;

-- The passages nearest to a vector that the holder of `audiences` may see: ids, places and scores only, never text.
-- `only_active` leaves out what no longer holds without a join, but with `superseded` for what something else has
-- replaced; `wanted` and `unwanted` bound the documents.
-- `width` (a dimension) uses the HNSW index of vectors that long, null scans exactly; `exact` says what was done.
CREATE FUNCTION search.nearest(tenant uuid, audiences uuid[], of_model smallint, target public.halfvec, most integer,
                               only_active boolean, wanted jsonb, unwanted jsonb, width integer,
                               superseded boolean DEFAULT false)
RETURNS TABLE (memory_id uuid, score real, ordinal smallint, starts integer, ends integer, exact boolean)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, search SET jit = off SET hnsw.iterative_scan = relaxed_order
SET hnsw.ef_search = 100 SET hnsw.max_scan_tuples = 20000
AS $$
DECLARE
    distance text := '(p.embedding OPERATOR(public.<#>) $1)';
    bounds text := '';
    chosen uuid[];
BEGIN
    IF tenant IS NULL OR tenant = '00000000-0000-0000-0000-000000000000' THEN
        RAISE EXCEPTION 'a search needs an organisation';
    END IF;
    IF width IS NOT NULL THEN
        -- One walk finds as many as ef_search says; two more than that took a second walk, as long as the first.
        PERFORM set_config('hnsw.ef_search', least(greatest(most, 100), 1000)::text, true);
        distance := format('(p.embedding::public.halfvec(%s) OPERATOR(public.<#>) $1::public.halfvec(%s))', width, width);
    END IF;
    IF wanted <> '{}' OR unwanted <> '{}' THEN
        bounds := 'SELECT d.memory_id FROM search.document d'
               || ' WHERE d.organisation_id = $4 AND d.model = $5 AND d.live AND d.access = ANY ($6)'
               || search.conditions(wanted, unwanted);
        -- A walk of the graph finds hardly any of a few memories among many; measuring just those is exact and quick.
        EXECUTE 'SELECT array_agg(few.memory_id) FROM (' || bounds || ' LIMIT 4001) AS few'
            INTO chosen USING target, wanted, unwanted, tenant, of_model, audiences, most;
        IF coalesce(cardinality(chosen), 0) <= 4000 THEN
            RETURN QUERY
                SELECT p.memory_id, (-(p.embedding OPERATOR(public.<#>) target))::real, p.ordinal, p.starts, p.ends,
                       true
                FROM search.passage p
                WHERE p.organisation_id = tenant AND p.model = of_model AND p.access = ANY (audiences)
                  AND p.memory_id = ANY (chosen)
                  AND (p.active OR NOT only_active OR superseded
                       AND (SELECT s.status = 'superseded' FROM search.document s
                            WHERE s.organisation_id = tenant AND s.model = of_model AND s.memory_id = p.memory_id))
                ORDER BY p.embedding OPERATOR(public.<#>) target LIMIT most;
            RETURN;
        END IF;
        bounds := ' AND p.memory_id IN (' || bounds || ')';
    END IF;
    IF only_active AND superseded THEN
        -- Hardly any passage is not active: the look-up is for those alone.
        bounds := ' AND (p.active OR (SELECT s.status = ''superseded'' FROM search.document s'
               || ' WHERE s.organisation_id = $4 AND s.model = $5 AND s.memory_id = p.memory_id))' || bounds;
    ELSIF only_active THEN
        bounds := ' AND p.active' || bounds;
    END IF;
    RETURN QUERY EXECUTE
        'SELECT p.memory_id, (-' || distance || ')::real, p.ordinal, p.starts, p.ends, $8 FROM search.passage p'
        ' WHERE p.organisation_id = $4 AND p.model = $5 AND p.access = ANY ($6)' || bounds
        || ' ORDER BY ' || distance || ' LIMIT $7'
    USING target, wanted, unwanted, tenant, of_model, audiences, most, width IS NULL;
END
$$;

REVOKE ALL ON FUNCTION search.nearest FROM PUBLIC;
GRANT EXECUTE ON FUNCTION search.nearest TO devlore_app;
ALTER FUNCTION search.nearest OWNER TO devlore_search;
