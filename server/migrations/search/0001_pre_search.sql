-- The vector index: for every embedding model one partition of documents and of passages; no row holds text.
-- Everything here can be thrown away and built again from memory's rows.

CREATE SCHEMA search;
GRANT USAGE ON SCHEMA search TO devlore_app, devlore_search;

-- One generation of the index. `configured` is the embedder setting it was chosen under: while the setting stays the
-- same, a later switch made by a rebuild outlives a restart. No tenant data.
CREATE TABLE search.model (
    id         smallint    GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name       text        NOT NULL,
    spec       text        NOT NULL,
    configured text        NOT NULL,
    dimension  integer     NOT NULL CHECK (dimension BETWEEN 1 AND 3900),
    state      text        NOT NULL CHECK (state IN ('active', 'building', 'retired')),
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX model_one_of_each ON search.model (state) WHERE state <> 'retired';
GRANT SELECT, UPDATE ON search.model TO devlore_app;
GRANT SELECT ON search.model TO devlore_search;

-- The one rebuild there may be, and how far it has come, so that a restart goes on where it stopped. No tenant data:
-- the place in the scan is a key, readable by nobody but the server.
CREATE TABLE search.rebuild (
    only_one      boolean     PRIMARY KEY DEFAULT true CHECK (only_one),
    spec          text        NOT NULL,
    state         text        NOT NULL CHECK (state IN ('running', 'done', 'cancelled', 'failed')),
    scanned_to    jsonb,
    done          bigint      NOT NULL DEFAULT 0,
    total         bigint      NOT NULL DEFAULT 0,
    error         text,
    started_at    timestamptz NOT NULL DEFAULT now(),
    finished_at   timestamptz
);
GRANT SELECT, INSERT, UPDATE ON search.rebuild TO devlore_app;

-- Which line of rows the indexes were made from. A restore begins another: what was indexed before says nothing of it.
-- No tenant data.
CREATE TABLE search.lineage (
    only_one boolean PRIMARY KEY DEFAULT true CHECK (only_one),
    id       uuid    NOT NULL DEFAULT gen_random_uuid()
);
INSERT INTO search.lineage DEFAULT VALUES;
GRANT SELECT ON search.lineage TO devlore_app;

-- What filters look at, and the version that is indexed. A deleted memory stays as a tombstone (`live` false, no
-- attributes), so that an older event that comes late finds a newer version.
CREATE TABLE search.document (
    organisation_id uuid        NOT NULL,
    model           smallint    NOT NULL,
    memory_id       uuid        NOT NULL,
    version         integer     NOT NULL,
    live            boolean     NOT NULL,
    passages        smallint    NOT NULL DEFAULT 0,
    digest          bytea,
    access          uuid,
    kind            text,
    project         text,
    tag             text[]      NOT NULL DEFAULT '{}',
    author          text[]      NOT NULL DEFAULT '{}',
    team            text,
    source          text,
    privacy         text,
    status          text,
    occurred_at     timestamptz,
    valid_from      timestamptz,
    valid_to        timestamptz,
    PRIMARY KEY (organisation_id, model, memory_id)
) PARTITION BY LIST (model);
CREATE INDEX document_project ON search.document (organisation_id, model, project) WHERE live;

-- `access` is the one audience (a person's, team's or the organisation's id); with `active` it answers the common
-- search without a join.
CREATE TABLE search.passage (
    organisation_id uuid           NOT NULL,
    model           smallint       NOT NULL,
    memory_id       uuid           NOT NULL,
    ordinal         smallint       NOT NULL,
    starts          integer        NOT NULL,
    ends            integer        NOT NULL,
    access          uuid           NOT NULL,
    active          boolean        NOT NULL,
    embedding       public.halfvec NOT NULL,
    PRIMARY KEY (organisation_id, model, memory_id, ordinal)
) PARTITION BY LIST (model);
-- Beside the row, not in a TOAST table: an exact scan reads every vector.
ALTER TABLE search.passage ALTER COLUMN embedding SET STORAGE PLAIN;

ALTER TABLE search.document ENABLE ROW LEVEL SECURITY;
ALTER TABLE search.document FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON search.document
    USING (organisation_id = (SELECT current_setting('app.organisation')::uuid))
    WITH CHECK (organisation_id = (SELECT current_setting('app.organisation')::uuid));
ALTER TABLE search.passage ENABLE ROW LEVEL SECURITY;
ALTER TABLE search.passage FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON search.passage
    USING (organisation_id = (SELECT current_setting('app.organisation')::uuid))
    WITH CHECK (organisation_id = (SELECT current_setting('app.organisation')::uuid));
GRANT SELECT, INSERT, UPDATE, DELETE ON search.document, search.passage TO devlore_app;
GRANT SELECT ON search.document, search.passage TO devlore_search;

-- Begin a generation: its partitions, by hash of the organisation, each with an HNSW index (m 16, ef_construction 64,
-- pgvector's defaults). The cast gives the index the dimension that the shared column cannot have.
CREATE FUNCTION search.begin_model(model_name text, model_spec text, by_setting text, width integer, first_state text)
RETURNS smallint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, search
AS $$
DECLARE
    number smallint;
    part text;
    parent text;
BEGIN
    INSERT INTO search.model (name, spec, configured, dimension, state)
    VALUES (model_name, model_spec, by_setting, width, first_state) RETURNING id INTO number;
    EXECUTE format('CREATE TABLE search.document_%s PARTITION OF search.document FOR VALUES IN (%s)', number, number);
    EXECUTE format('ALTER TABLE search.document_%s ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', number);
    parent := format('passage_%s', number);
    EXECUTE format('CREATE TABLE search.%I PARTITION OF search.passage FOR VALUES IN (%s)'
                   ' PARTITION BY HASH (organisation_id)', parent, number);
    EXECUTE format('ALTER TABLE search.%I ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', parent);
    FOR remainder IN 0..7 LOOP
        part := format('passage_%s_%s', number, remainder);
        EXECUTE format('CREATE TABLE search.%I PARTITION OF search.%I FOR VALUES WITH (MODULUS 8, REMAINDER %s)',
                       part, parent, remainder);
        EXECUTE format('ALTER TABLE search.%I ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', part);
    END LOOP;
    EXECUTE format('CREATE INDEX %I ON search.%I USING hnsw ((embedding::public.halfvec(%s)) public.halfvec_ip_ops)',
                   parent || '_near', parent, width);
    RETURN number;
END
$$;

-- Drop the vectors of a generation that no longer answers. It does not wait for a backup that reads them: every search
-- would have to wait behind it.
CREATE FUNCTION search.drop_model(number smallint) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, search SET lock_timeout = '1s'
AS $$
BEGIN
    IF EXISTS (SELECT FROM search.model m WHERE m.id = number AND m.state = 'active') THEN
        RAISE EXCEPTION 'the active model is not dropped';
    END IF;
    EXECUTE format('DROP TABLE IF EXISTS search.document_%s', number);
    EXECUTE format('DROP TABLE IF EXISTS search.passage_%s', number);
    DELETE FROM search.model m WHERE m.id = number;
END
$$;
REVOKE ALL ON FUNCTION search.begin_model, search.drop_model FROM PUBLIC;
GRANT EXECUTE ON FUNCTION search.begin_model, search.drop_model TO devlore_app;

-- The conditions on documents that a search's bounds ask for. Values stay parameters ($2 wanted, $3 unwanted); only
-- names written here become part of the statement.
CREATE FUNCTION search.conditions(wanted jsonb, unwanted jsonb) RETURNS text
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog
AS $$
DECLARE
    texts constant text := 'ARRAY(SELECT jsonb_array_elements_text(%s -> %L))';
    condition text := '';
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['kind', 'project', 'team', 'source', 'privacy', 'status'] LOOP
        IF wanted ? name THEN
            condition := condition || format(' AND d.%I = ANY (' || texts || ')', name, '$2', name);
        END IF;
        IF unwanted ? name THEN
            condition := condition || format(' AND (d.%I = ANY (' || texts || ')) IS NOT TRUE', name, '$3', name);
        END IF;
    END LOOP;
    FOREACH name IN ARRAY ARRAY['tag', 'author'] LOOP
        IF wanted ? name THEN
            condition := condition || format(' AND d.%I && ' || texts, name, '$2', name);
        END IF;
        IF unwanted ? name THEN
            condition := condition || format(' AND NOT d.%I && ' || texts, name, '$3', name);
        END IF;
    END LOOP;
    IF wanted ? 'after' THEN
        condition := condition || ' AND d.occurred_at >= ($2 ->> ''after'')::timestamptz';
    END IF;
    IF wanted ? 'before' THEN
        condition := condition || ' AND d.occurred_at < ($2 ->> ''before'')::timestamptz';
    END IF;
    IF wanted ? 'as_of' THEN
        condition := condition || ' AND coalesce(d.valid_from <= ($2 ->> ''as_of'')::timestamptz, true)'
                               || ' AND coalesce(d.valid_to > ($2 ->> ''as_of'')::timestamptz, true)';
    END IF;
    RETURN condition;
END
$$;

-- The passages nearest to a vector that the holder of `audiences` may see: ids, places and scores only, never text.
-- `only_active` leaves out what no longer holds without a join; `wanted` and `unwanted` bound the documents.
-- `width` (a dimension) uses the HNSW index of vectors that long, null scans exactly; `exact` says what was done.
CREATE FUNCTION search.nearest(tenant uuid, audiences uuid[], of_model smallint, target public.halfvec, most integer,
                               only_active boolean, wanted jsonb, unwanted jsonb, width integer)
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
                  AND p.memory_id = ANY (chosen) AND (p.active OR NOT only_active)
                ORDER BY p.embedding OPERATOR(public.<#>) target LIMIT most;
            RETURN;
        END IF;
        bounds := ' AND p.memory_id IN (' || bounds || ')';
    END IF;
    IF only_active THEN
        bounds := ' AND p.active' || bounds;
    END IF;
    RETURN QUERY EXECUTE
        'SELECT p.memory_id, (-' || distance || ')::real, p.ordinal, p.starts, p.ends, $8 FROM search.passage p'
        ' WHERE p.organisation_id = $4 AND p.model = $5 AND p.access = ANY ($6)' || bounds
        || ' ORDER BY ' || distance || ' LIMIT $7'
    USING target, wanted, unwanted, tenant, of_model, audiences, most, width IS NULL;
END
$$;

-- How many passages an audience has, counted no further than `most`: decides between exact scan and index.
CREATE FUNCTION search.reach(tenant uuid, audiences uuid[], of_model smallint, most integer) RETURNS bigint
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, search
AS $$
    SELECT count(*) FROM (
        SELECT FROM search.passage p
        WHERE p.organisation_id = tenant AND p.model = of_model
          AND (audiences IS NULL OR p.access = ANY (audiences)) LIMIT most) AS reached
$$;

-- Memories whose opening passage says nearly what the opening passage of one of `ids` says. Only candidates that
-- everybody who sees the one may see as well, or the suggestion would tell that a hidden memory exists. Lengths must be
-- alike, so that a common heading or template is not taken for a duplicate.
CREATE FUNCTION search.near_duplicates(tenant uuid, of_model smallint, ids uuid[], threshold real, most integer, width integer)
RETURNS TABLE (memory_id uuid, other_id uuid, score real)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, search SET jit = off SET hnsw.iterative_scan = relaxed_order
AS $$
DECLARE
    cast_to text := CASE WHEN width IS NULL THEN '' ELSE format('::public.halfvec(%s)', width) END;
BEGIN
    IF tenant IS NULL OR tenant = '00000000-0000-0000-0000-000000000000' THEN
        RAISE EXCEPTION 'a search needs an organisation';
    END IF;
    RETURN QUERY EXECUTE
        'SELECT a.memory_id, n.memory_id, n.score FROM search.passage a'
        ' JOIN search.document f ON f.organisation_id = $1 AND f.model = $2 AND f.memory_id = a.memory_id'
        ' CROSS JOIN LATERAL (SELECT p.memory_id, (-(p.embedding' || cast_to || ' OPERATOR(public.<#>) a.embedding'
        || cast_to || '))::real AS score FROM search.passage p'
        '   WHERE p.organisation_id = $1 AND p.model = $2 AND p.ordinal = 0 AND p.memory_id <> a.memory_id'
        '     AND (p.access = a.access OR p.access = $1)'
        '   ORDER BY p.embedding' || cast_to || ' OPERATOR(public.<#>) a.embedding' || cast_to || ' LIMIT $5) AS n'
        ' JOIN search.document t ON t.organisation_id = $1 AND t.model = $2 AND t.memory_id = n.memory_id'
        ' WHERE a.organisation_id = $1 AND a.model = $2 AND a.memory_id = ANY ($3) AND a.ordinal = 0'
        '   AND n.score >= $4 AND t.passages BETWEEN f.passages / 2 AND f.passages * 2'
    USING tenant, of_model, ids, threshold, most;
END
$$;

-- Sizes and contents of a generation over all organisations, for status and doctor.
CREATE FUNCTION search.sizes(of_model smallint) RETURNS TABLE (documents bigint, passages bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, search
AS $$
    SELECT count(*), coalesce(sum(d.passages), 0)::bigint FROM search.document d WHERE d.model = of_model AND d.live
$$;

CREATE FUNCTION search.contents(of_model smallint, after_organisation uuid, after_id uuid, most integer)
RETURNS TABLE (organisation_id uuid, memory_id uuid, version integer, passages smallint, stored bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, search
AS $$
    SELECT d.organisation_id, d.memory_id, d.version, d.passages,
           (SELECT count(*) FROM search.passage p
            WHERE p.organisation_id = d.organisation_id AND p.model = d.model AND p.memory_id = d.memory_id)
    FROM search.document d
    WHERE d.model = of_model AND d.live AND (d.organisation_id, d.memory_id) > (after_organisation, after_id)
    ORDER BY d.organisation_id, d.memory_id LIMIT most
$$;

REVOKE ALL ON FUNCTION search.nearest, search.reach, search.near_duplicates, search.sizes, search.contents FROM PUBLIC;
GRANT EXECUTE ON FUNCTION search.nearest, search.reach, search.near_duplicates, search.sizes, search.contents
    TO devlore_app;
REVOKE ALL ON FUNCTION search.conditions FROM PUBLIC;
GRANT EXECUTE ON FUNCTION search.conditions TO devlore_search;
-- Last: who has given a function away can no longer say who may run it.
ALTER FUNCTION search.nearest OWNER TO devlore_search;
ALTER FUNCTION search.reach OWNER TO devlore_search;
ALTER FUNCTION search.near_duplicates OWNER TO devlore_search;
ALTER FUNCTION search.sizes OWNER TO devlore_search;
ALTER FUNCTION search.contents OWNER TO devlore_search;
