CREATE SCHEMA gateway;

ALTER SCHEMA gateway OWNER TO devlore_owner;

CREATE SCHEMA integration;

ALTER SCHEMA integration OWNER TO devlore_owner;

CREATE SCHEMA log;

ALTER SCHEMA log OWNER TO devlore_owner;

CREATE SCHEMA memory;

ALTER SCHEMA memory OWNER TO devlore_owner;

CREATE SCHEMA migration;

ALTER SCHEMA migration OWNER TO devlore_owner;

CREATE SCHEMA search;

ALTER SCHEMA search OWNER TO devlore_owner;

CREATE FUNCTION gateway.answer(of_organisation uuid, of_person uuid, of_key text, by_claim uuid, its_subject uuid, its_status smallint, its_headers jsonb, its_body bytea) RETURNS boolean
    LANGUAGE plpgsql
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

ALTER FUNCTION gateway.answer(of_organisation uuid, of_person uuid, of_key text, by_claim uuid, its_subject uuid, its_status smallint, its_headers jsonb, its_body bytea) OWNER TO devlore_owner;

CREATE FUNCTION gateway.claim(of_organisation uuid, of_person uuid, of_key text, of_fingerprint bytea, by_claim uuid, lease double precision, keep double precision) RETURNS TABLE(mine boolean, fingerprint bytea, status smallint, headers jsonb, body bytea)
    LANGUAGE plpgsql
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

ALTER FUNCTION gateway.claim(of_organisation uuid, of_person uuid, of_key text, of_fingerprint bytea, by_claim uuid, lease double precision, keep double precision) OWNER TO devlore_owner;

CREATE FUNCTION gateway.erase(of_organisation uuid, subjects uuid[]) RETURNS bigint
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'gateway'
    AS $$
    WITH emptied AS (
        UPDATE gateway.idempotency i SET headers = NULL, body = NULL
        WHERE i.organisation_id = of_organisation AND i.subject = ANY (subjects) AND i.headers IS NOT NULL
        RETURNING 1)
    SELECT count(*) FROM emptied
$$;

ALTER FUNCTION gateway.erase(of_organisation uuid, subjects uuid[]) OWNER TO devlore_owner;

CREATE FUNCTION gateway.forget_expired(most integer) RETURNS bigint
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'gateway'
    AS $$
    WITH gone AS (
        DELETE FROM gateway.idempotency
        WHERE (organisation_id, person_id, key) IN (
            SELECT i.organisation_id, i.person_id, i.key FROM gateway.idempotency i
            WHERE i.expires_at < now() ORDER BY i.expires_at LIMIT most FOR UPDATE SKIP LOCKED)
        RETURNING 1)
    SELECT count(*) FROM gone
$$;

ALTER FUNCTION gateway.forget_expired(most integer) OWNER TO devlore_owner;

CREATE FUNCTION integration.waiting_syncs(dead_before timestamp with time zone) RETURNS TABLE(organisation_id uuid, created_by uuid, id uuid)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'integration'
    AS $$
    SELECT s.organisation_id, s.created_by, s.id FROM integration.sync s
    WHERE s.state = 'queued' OR (s.state = 'running' AND (s.alive_at IS NULL OR s.alive_at < dead_before))
    ORDER BY s.queued_at
$$;

ALTER FUNCTION integration.waiting_syncs(dead_before timestamp with time zone) OWNER TO devlore_search;

CREATE FUNCTION integration.watched_connections() RETURNS TABLE(organisation_id uuid, created_by uuid, id uuid)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'integration'
    AS $$ SELECT c.organisation_id, c.created_by, c.id FROM integration.connection c WHERE c.watch $$;

ALTER FUNCTION integration.watched_connections() OWNER TO devlore_search;

CREATE FUNCTION log.adopt() RETURNS xid8
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'log'
    AS $$
BEGIN
    IF EXISTS (SELECT FROM log.event e WHERE e.xid >= pg_snapshot_xmax(pg_current_snapshot())) THEN
        UPDATE log.event SET xid = '1' WHERE event.xid >= pg_snapshot_xmax(pg_current_snapshot());
        UPDATE log.consumer SET xid = '0', seq = 0, updated_at = now();
    END IF;
    RETURN pg_snapshot_xmax(pg_current_snapshot());
END
$$;

ALTER FUNCTION log.adopt() OWNER TO devlore_search;

CREATE FUNCTION log.ends() RETURNS TABLE(settled_xid xid8, settled_seq bigint, head_xid xid8, head_seq bigint)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'log'
    AS $$
    SELECT coalesce(settled.xid, '0'), coalesce(settled.seq, 0), head.xid, head.seq
    FROM (SELECT e.xid, e.seq FROM log.event e ORDER BY e.xid DESC, e.seq DESC LIMIT 1) AS head
    LEFT JOIN LATERAL (
        SELECT e.xid, e.seq FROM log.event e
        WHERE e.xid < pg_snapshot_xmin(pg_current_snapshot())
        ORDER BY e.xid DESC, e.seq DESC LIMIT 1) AS settled ON true
$$;

ALTER FUNCTION log.ends() OWNER TO devlore_search;

CREATE FUNCTION log.lag(after_xid xid8, after_seq bigint, types text[], most integer) RETURNS bigint
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'log'
    AS $$
    WITH following AS MATERIALIZED (
        SELECT e.seq, e.type = ANY (types) AS wanted FROM log.event e
        WHERE (e.xid, e.seq) > (after_xid, after_seq) ORDER BY e.xid, e.seq LIMIT most),
    counted AS (SELECT count(*) AS seen, count(*) FILTER (WHERE wanted) AS wanted, max(seq) AS last FROM following)
    SELECT CASE WHEN counted.seen < most THEN counted.wanted ELSE greatest(1, counted.wanted + round(
        greatest(0, head.seq - counted.last) * greatest(counted.wanted, 1)::numeric / most))::bigint END
    FROM counted
    LEFT JOIN LATERAL (SELECT e.seq FROM log.event e ORDER BY e.xid DESC, e.seq DESC LIMIT 1) AS head ON true
$$;

ALTER FUNCTION log.lag(after_xid xid8, after_seq bigint, types text[], most integer) OWNER TO devlore_search;

CREATE FUNCTION log.parked_count(of_consumer text) RETURNS bigint
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'log'
    AS $$ SELECT count(*) FROM log.parked p WHERE p.consumer = of_consumer $$;

ALTER FUNCTION log.parked_count(of_consumer text) OWNER TO devlore_search;

CREATE FUNCTION log.read_after(after_xid xid8, after_seq bigint, types text[], most integer) RETURNS TABLE(xid xid8, seq bigint, organisation_id uuid, id uuid, type text, subject uuid, version integer, occurred_at timestamp with time zone, data jsonb)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'log'
    AS $$
    SELECT e.xid, e.seq, e.organisation_id, e.id, e.type, e.subject, e.version, e.occurred_at, e.data
    FROM log.event e
    WHERE (e.xid, e.seq) > (after_xid, after_seq)
      AND e.xid < pg_snapshot_xmin(pg_current_snapshot())
      AND e.type = ANY (types)
    ORDER BY e.xid, e.seq
    LIMIT most
$$;

ALTER FUNCTION log.read_after(after_xid xid8, after_seq bigint, types text[], most integer) OWNER TO devlore_search;

CREATE FUNCTION log.read_parked(of_consumer text) RETURNS TABLE(organisation_id uuid, id uuid, type text, subject uuid, version integer, occurred_at timestamp with time zone, data jsonb)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'log'
    AS $$
    SELECT e.organisation_id, e.id, e.type, e.subject, e.version, e.occurred_at, e.data
    FROM log.parked p JOIN log.event e ON e.organisation_id = p.organisation_id AND e.id = p.event_id
    WHERE p.consumer = of_consumer ORDER BY e.xid, e.seq
$$;

ALTER FUNCTION log.read_parked(of_consumer text) OWNER TO devlore_search;

CREATE FUNCTION memory.count_all() RETURNS bigint
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'memory'
    AS $$ SELECT count(*) FROM memory.memory m WHERE m.deleted_at IS NULL $$;

ALTER FUNCTION memory.count_all() OWNER TO devlore_search;

CREATE TABLE memory.memory (
    organisation_id uuid NOT NULL,
    id uuid NOT NULL,
    team_id uuid,
    project text,
    kind text NOT NULL,
    title text NOT NULL,
    body text NOT NULL,
    tags text[] DEFAULT '{}'::text[] NOT NULL,
    source_connector text,
    source_external_id text,
    source_url text,
    source_author text,
    source_updated_at timestamp with time zone,
    privacy text NOT NULL,
    status text DEFAULT 'active'::text NOT NULL,
    status_reason text,
    valid_from timestamp with time zone,
    valid_to timestamp with time zone,
    superseded_by uuid,
    occurred_at timestamp with time zone NOT NULL,
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    deleted_at timestamp with time zone,
    created_by uuid NOT NULL,
    version integer DEFAULT 1 NOT NULL,
    change text DEFAULT 'created'::text NOT NULL,
    changed_by uuid NOT NULL,
    change_reason text,
    importance double precision DEFAULT 0.5 NOT NULL,
    pinned boolean DEFAULT false NOT NULL,
    encryption jsonb,
    trust text DEFAULT 'person'::text NOT NULL,
    CONSTRAINT memory_check CHECK (((privacy <> 'team'::text) OR (team_id IS NOT NULL))),
    CONSTRAINT memory_importance_check CHECK (((importance >= (0)::double precision) AND (importance <= (1)::double precision))),
    CONSTRAINT memory_privacy_check CHECK ((privacy = ANY (ARRAY['private'::text, 'team'::text, 'public'::text]))),
    CONSTRAINT memory_status_check CHECK ((status = ANY (ARRAY['active'::text, 'superseded'::text, 'invalidated'::text]))),
    CONSTRAINT memory_trust_check CHECK ((trust = ANY (ARRAY['person'::text, 'connector'::text, 'agent'::text, 'untrusted'::text]))),
    CONSTRAINT memory_version_check CHECK ((version > 0))
);

ALTER TABLE ONLY memory.memory FORCE ROW LEVEL SECURITY;

ALTER TABLE memory.memory OWNER TO devlore_owner;

CREATE FUNCTION memory.scan(after_organisation uuid, after_id uuid, most integer) RETURNS SETOF memory.memory
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'memory'
    AS $$
    SELECT m.* FROM memory.memory m
    WHERE (m.organisation_id, m.id) > (after_organisation, after_id) AND m.deleted_at IS NULL
    ORDER BY m.organisation_id, m.id LIMIT most
$$;

ALTER FUNCTION memory.scan(after_organisation uuid, after_id uuid, most integer) OWNER TO devlore_search;

CREATE FUNCTION memory.visible(organisation uuid, person uuid, teams uuid[], ids uuid[]) RETURNS SETOF memory.memory
    LANGUAGE plpgsql STRICT
    SET search_path TO 'pg_catalog', 'memory'
    SET jit TO 'off'
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    AS $$
BEGIN
    PERFORM set_config('app.organisation', organisation::text, true), set_config('app.person', person::text, true),
            set_config('app.teams', teams::text, true);
    RETURN QUERY
        SELECT m.* FROM (SELECT DISTINCT unnest(ids) AS id) AS asked
        JOIN memory.memory m ON m.organisation_id = organisation AND m.id = asked.id
        WHERE m.deleted_at IS NULL;
END
$$;

ALTER FUNCTION memory.visible(organisation uuid, person uuid, teams uuid[], ids uuid[]) OWNER TO devlore_owner;

CREATE FUNCTION search.begin_model(model_name text, model_spec text, by_setting text, width integer, first_state text) RETURNS smallint
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'search'
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

ALTER FUNCTION search.begin_model(model_name text, model_spec text, by_setting text, width integer, first_state text) OWNER TO devlore_owner;

CREATE FUNCTION search.conditions(wanted jsonb, unwanted jsonb) RETURNS text
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'pg_catalog'
    AS $_$
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
$_$;

ALTER FUNCTION search.conditions(wanted jsonb, unwanted jsonb) OWNER TO devlore_owner;

CREATE FUNCTION search.contents(of_model smallint, after_organisation uuid, after_id uuid, most integer) RETURNS TABLE(organisation_id uuid, memory_id uuid, version integer, passages smallint, stored bigint)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'search'
    AS $$
    SELECT d.organisation_id, d.memory_id, d.version, d.passages,
           (SELECT count(*) FROM search.passage p
            WHERE p.organisation_id = d.organisation_id AND p.model = d.model AND p.memory_id = d.memory_id)
    FROM search.document d
    WHERE d.model = of_model AND d.live AND (d.organisation_id, d.memory_id) > (after_organisation, after_id)
    ORDER BY d.organisation_id, d.memory_id LIMIT most
$$;

ALTER FUNCTION search.contents(of_model smallint, after_organisation uuid, after_id uuid, most integer) OWNER TO devlore_search;

CREATE FUNCTION search.drop_model(number smallint) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'search'
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

ALTER FUNCTION search.drop_model(number smallint) OWNER TO devlore_owner;

CREATE FUNCTION search.near_duplicates(tenant uuid, of_model smallint, ids uuid[], threshold real, most integer, width integer) RETURNS TABLE(memory_id uuid, other_id uuid, score real)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'search'
    SET jit TO 'off'
    SET "hnsw.iterative_scan" TO 'relaxed_order'
    AS $_$
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
$_$;

ALTER FUNCTION search.near_duplicates(tenant uuid, of_model smallint, ids uuid[], threshold real, most integer, width integer) OWNER TO devlore_search;

CREATE FUNCTION search.nearest(tenant uuid, audiences uuid[], of_model smallint, target public.halfvec, most integer, only_active boolean, wanted jsonb, unwanted jsonb, width integer) RETURNS TABLE(memory_id uuid, score real, ordinal smallint, starts integer, ends integer)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'search'
    SET jit TO 'off'
    SET "hnsw.iterative_scan" TO 'relaxed_order'
    SET "hnsw.ef_search" TO '100'
    SET "hnsw.max_scan_tuples" TO '20000'
    AS $_$
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
                SELECT p.memory_id, (-(p.embedding OPERATOR(public.<#>) target))::real, p.ordinal, p.starts, p.ends
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
        'SELECT p.memory_id, (-' || distance || ')::real, p.ordinal, p.starts, p.ends FROM search.passage p'
        ' WHERE p.organisation_id = $4 AND p.model = $5 AND p.access = ANY ($6)' || bounds
        || ' ORDER BY ' || distance || ' LIMIT $7'
    USING target, wanted, unwanted, tenant, of_model, audiences, most;
END
$_$;

ALTER FUNCTION search.nearest(tenant uuid, audiences uuid[], of_model smallint, target public.halfvec, most integer, only_active boolean, wanted jsonb, unwanted jsonb, width integer) OWNER TO devlore_search;

CREATE FUNCTION search.reach(tenant uuid, audiences uuid[], of_model smallint, most integer) RETURNS bigint
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'search'
    AS $$
    SELECT count(*) FROM (
        SELECT FROM search.passage p
        WHERE p.organisation_id = tenant AND p.model = of_model
          AND (audiences IS NULL OR p.access = ANY (audiences)) LIMIT most) AS reached
$$;

ALTER FUNCTION search.reach(tenant uuid, audiences uuid[], of_model smallint, most integer) OWNER TO devlore_search;

CREATE FUNCTION search.sizes(of_model smallint) RETURNS TABLE(documents bigint, passages bigint)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'search'
    AS $$
    SELECT count(*), coalesce(sum(d.passages), 0)::bigint FROM search.document d WHERE d.model = of_model AND d.live
$$;

ALTER FUNCTION search.sizes(of_model smallint) OWNER TO devlore_search;

CREATE TABLE gateway.idempotency (
    organisation_id uuid NOT NULL,
    person_id uuid NOT NULL,
    key text NOT NULL,
    fingerprint bytea NOT NULL,
    claim uuid NOT NULL,
    leased_until timestamp with time zone NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    subject uuid,
    status smallint,
    headers jsonb,
    body bytea,
    CONSTRAINT idempotency_key_check CHECK (((length(key) >= 1) AND (length(key) <= 255)))
);

ALTER TABLE ONLY gateway.idempotency FORCE ROW LEVEL SECURITY;

ALTER TABLE gateway.idempotency OWNER TO devlore_owner;

CREATE TABLE integration.connection (
    organisation_id uuid NOT NULL,
    id uuid NOT NULL,
    created_by uuid NOT NULL,
    connector text NOT NULL,
    location text NOT NULL,
    name text NOT NULL,
    project text,
    config jsonb NOT NULL,
    watch boolean DEFAULT false NOT NULL,
    generation integer DEFAULT 0 NOT NULL,
    created_at timestamp with time zone NOT NULL,
    last_synced_at timestamp with time zone
);

ALTER TABLE ONLY integration.connection FORCE ROW LEVEL SECURITY;

ALTER TABLE integration.connection OWNER TO devlore_owner;

CREATE TABLE integration.item (
    organisation_id uuid NOT NULL,
    connection_id uuid NOT NULL,
    external_id text NOT NULL,
    created_by uuid NOT NULL,
    connector text NOT NULL,
    generation integer NOT NULL
);

ALTER TABLE ONLY integration.item FORCE ROW LEVEL SECURITY;

ALTER TABLE integration.item OWNER TO devlore_owner;

CREATE TABLE integration.sync (
    organisation_id uuid NOT NULL,
    id uuid NOT NULL,
    connection_id uuid NOT NULL,
    created_by uuid NOT NULL,
    state text NOT NULL,
    anew boolean DEFAULT false NOT NULL,
    cancelling boolean DEFAULT false NOT NULL,
    total bigint,
    done bigint DEFAULT 0 NOT NULL,
    created bigint DEFAULT 0 NOT NULL,
    updated bigint DEFAULT 0 NOT NULL,
    unchanged bigint DEFAULT 0 NOT NULL,
    deleted bigint DEFAULT 0 NOT NULL,
    failed bigint DEFAULT 0 NOT NULL,
    failures jsonb DEFAULT '[]'::jsonb NOT NULL,
    error text,
    queued_at timestamp with time zone NOT NULL,
    started_at timestamp with time zone,
    finished_at timestamp with time zone,
    worker uuid,
    alive_at timestamp with time zone,
    CONSTRAINT sync_state_check CHECK ((state = ANY (ARRAY['queued'::text, 'running'::text, 'done'::text, 'failed'::text, 'cancelled'::text])))
);

ALTER TABLE ONLY integration.sync FORCE ROW LEVEL SECURITY;

ALTER TABLE integration.sync OWNER TO devlore_owner;

CREATE TABLE log.consumer (
    name text NOT NULL,
    xid xid8 DEFAULT '0'::xid8 NOT NULL,
    seq bigint DEFAULT 0 NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL
);

ALTER TABLE log.consumer OWNER TO devlore_owner;

CREATE TABLE log.event (
    organisation_id uuid NOT NULL,
    id uuid NOT NULL,
    xid xid8 DEFAULT pg_current_xact_id() NOT NULL,
    seq bigint NOT NULL,
    type text NOT NULL,
    subject uuid NOT NULL,
    version integer NOT NULL,
    occurred_at timestamp with time zone NOT NULL,
    data jsonb NOT NULL
);

ALTER TABLE ONLY log.event FORCE ROW LEVEL SECURITY;

ALTER TABLE log.event OWNER TO devlore_owner;

ALTER TABLE log.event ALTER COLUMN seq ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME log.event_seq_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE log.parked (
    organisation_id uuid NOT NULL,
    consumer text NOT NULL,
    event_id uuid NOT NULL,
    error text NOT NULL,
    attempts integer NOT NULL,
    parked_at timestamp with time zone DEFAULT now() NOT NULL
);

ALTER TABLE ONLY log.parked FORCE ROW LEVEL SECURITY;

ALTER TABLE log.parked OWNER TO devlore_owner;

CREATE TABLE memory.checkpoint (
    organisation_id uuid NOT NULL,
    connection_id uuid NOT NULL,
    checkpoint jsonb NOT NULL,
    updated_at timestamp with time zone NOT NULL
);

ALTER TABLE ONLY memory.checkpoint FORCE ROW LEVEL SECURITY;

ALTER TABLE memory.checkpoint OWNER TO devlore_owner;

CREATE TABLE memory.claim (
    organisation_id uuid NOT NULL,
    memory_id uuid NOT NULL,
    person_id uuid NOT NULL,
    connector text NOT NULL,
    status text NOT NULL,
    reason text,
    successor text,
    CONSTRAINT claim_status_check CHECK ((status = ANY (ARRAY['active'::text, 'superseded'::text, 'invalidated'::text])))
);

ALTER TABLE ONLY memory.claim FORCE ROW LEVEL SECURITY;

ALTER TABLE memory.claim OWNER TO devlore_owner;

CREATE TABLE memory.link (
    organisation_id uuid NOT NULL,
    id uuid NOT NULL,
    memory_id uuid NOT NULL,
    type text NOT NULL,
    target_kind text NOT NULL,
    target text NOT NULL,
    target_id uuid,
    note text,
    score real,
    connector text,
    created_at timestamp with time zone NOT NULL,
    created_by uuid NOT NULL,
    CONSTRAINT link_check CHECK (((target_kind = 'memory'::text) = (target_id IS NOT NULL))),
    CONSTRAINT link_target_kind_check CHECK ((target_kind = ANY (ARRAY['memory'::text, 'url'::text, 'commit'::text, 'file'::text, 'ticket'::text])))
);

ALTER TABLE ONLY memory.link FORCE ROW LEVEL SECURITY;

ALTER TABLE memory.link OWNER TO devlore_owner;

CREATE TABLE memory.version (
    organisation_id uuid NOT NULL,
    memory_id uuid NOT NULL,
    version integer NOT NULL,
    change text NOT NULL,
    changed_at timestamp with time zone NOT NULL,
    changed_by uuid NOT NULL,
    reason text,
    state jsonb NOT NULL
);

ALTER TABLE ONLY memory.version FORCE ROW LEVEL SECURITY;

ALTER TABLE memory.version OWNER TO devlore_owner;

CREATE TABLE migration.applied (
    name text NOT NULL,
    checksum text NOT NULL,
    applied_at timestamp with time zone DEFAULT now() NOT NULL
);

ALTER TABLE migration.applied OWNER TO devlore_owner;

CREATE TABLE search.document (
    organisation_id uuid NOT NULL,
    model smallint NOT NULL,
    memory_id uuid NOT NULL,
    version integer NOT NULL,
    live boolean NOT NULL,
    passages smallint DEFAULT 0 NOT NULL,
    digest bytea,
    access uuid,
    kind text,
    project text,
    tag text[] DEFAULT '{}'::text[] NOT NULL,
    author text[] DEFAULT '{}'::text[] NOT NULL,
    team text,
    source text,
    privacy text,
    status text,
    occurred_at timestamp with time zone,
    valid_from timestamp with time zone,
    valid_to timestamp with time zone
)
PARTITION BY LIST (model);

ALTER TABLE ONLY search.document FORCE ROW LEVEL SECURITY;

ALTER TABLE search.document OWNER TO devlore_owner;

CREATE TABLE search.model (
    id smallint NOT NULL,
    name text NOT NULL,
    spec text NOT NULL,
    configured text NOT NULL,
    dimension integer NOT NULL,
    state text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT model_dimension_check CHECK (((dimension >= 1) AND (dimension <= 3900))),
    CONSTRAINT model_state_check CHECK ((state = ANY (ARRAY['active'::text, 'building'::text, 'retired'::text])))
);

ALTER TABLE search.model OWNER TO devlore_owner;

ALTER TABLE search.model ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME search.model_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE search.passage (
    organisation_id uuid NOT NULL,
    model smallint NOT NULL,
    memory_id uuid NOT NULL,
    ordinal smallint NOT NULL,
    starts integer NOT NULL,
    ends integer NOT NULL,
    access uuid NOT NULL,
    active boolean NOT NULL,
    embedding public.halfvec NOT NULL
)
PARTITION BY LIST (model);
ALTER TABLE ONLY search.passage ALTER COLUMN embedding SET STORAGE PLAIN;

ALTER TABLE ONLY search.passage FORCE ROW LEVEL SECURITY;

ALTER TABLE search.passage OWNER TO devlore_owner;

CREATE TABLE search.rebuild (
    only_one boolean DEFAULT true NOT NULL,
    spec text NOT NULL,
    state text NOT NULL,
    scanned_to jsonb,
    done bigint DEFAULT 0 NOT NULL,
    total bigint DEFAULT 0 NOT NULL,
    error text,
    started_at timestamp with time zone DEFAULT now() NOT NULL,
    finished_at timestamp with time zone,
    CONSTRAINT rebuild_only_one_check CHECK (only_one),
    CONSTRAINT rebuild_state_check CHECK ((state = ANY (ARRAY['running'::text, 'done'::text, 'cancelled'::text, 'failed'::text])))
);

ALTER TABLE search.rebuild OWNER TO devlore_owner;

ALTER TABLE ONLY gateway.idempotency
    ADD CONSTRAINT idempotency_pkey PRIMARY KEY (organisation_id, person_id, key);

ALTER TABLE ONLY integration.connection
    ADD CONSTRAINT connection_organisation_id_created_by_connector_location_key UNIQUE (organisation_id, created_by, connector, location);

ALTER TABLE ONLY integration.connection
    ADD CONSTRAINT connection_pkey PRIMARY KEY (organisation_id, id);

ALTER TABLE ONLY integration.item
    ADD CONSTRAINT item_pkey PRIMARY KEY (organisation_id, connection_id, external_id);

ALTER TABLE ONLY integration.sync
    ADD CONSTRAINT sync_pkey PRIMARY KEY (organisation_id, id);

ALTER TABLE ONLY log.consumer
    ADD CONSTRAINT consumer_pkey PRIMARY KEY (name);

ALTER TABLE ONLY log.event
    ADD CONSTRAINT event_pkey PRIMARY KEY (organisation_id, id);

ALTER TABLE ONLY log.parked
    ADD CONSTRAINT parked_pkey PRIMARY KEY (organisation_id, consumer, event_id);

ALTER TABLE ONLY memory.checkpoint
    ADD CONSTRAINT checkpoint_pkey PRIMARY KEY (organisation_id, connection_id);

ALTER TABLE ONLY memory.claim
    ADD CONSTRAINT claim_pkey PRIMARY KEY (organisation_id, memory_id);

ALTER TABLE ONLY memory.link
    ADD CONSTRAINT link_organisation_id_memory_id_type_target_kind_target_key UNIQUE (organisation_id, memory_id, type, target_kind, target);

ALTER TABLE ONLY memory.link
    ADD CONSTRAINT link_pkey PRIMARY KEY (organisation_id, id);

ALTER TABLE ONLY memory.memory
    ADD CONSTRAINT memory_pkey PRIMARY KEY (organisation_id, id);

ALTER TABLE ONLY memory.version
    ADD CONSTRAINT version_pkey PRIMARY KEY (organisation_id, memory_id, version);

ALTER TABLE ONLY migration.applied
    ADD CONSTRAINT applied_pkey PRIMARY KEY (name);

ALTER TABLE ONLY search.document
    ADD CONSTRAINT document_pkey PRIMARY KEY (organisation_id, model, memory_id);

ALTER TABLE ONLY search.model
    ADD CONSTRAINT model_pkey PRIMARY KEY (id);

ALTER TABLE ONLY search.passage
    ADD CONSTRAINT passage_pkey PRIMARY KEY (organisation_id, model, memory_id, ordinal);

ALTER TABLE ONLY search.rebuild
    ADD CONSTRAINT rebuild_pkey PRIMARY KEY (only_one);

CREATE INDEX idempotency_expires ON gateway.idempotency USING btree (expires_at);

CREATE INDEX idempotency_subject ON gateway.idempotency USING btree (organisation_id, subject) WHERE (subject IS NOT NULL);

CREATE INDEX item_elsewhere ON integration.item USING btree (organisation_id, created_by, connector, external_id);

CREATE INDEX sync_of_connection ON integration.sync USING btree (organisation_id, connection_id, id DESC);

CREATE UNIQUE INDEX sync_under_way ON integration.sync USING btree (organisation_id, connection_id) WHERE (state = ANY (ARRAY['queued'::text, 'running'::text]));

CREATE INDEX event_order ON log.event USING btree (xid, seq);

CREATE INDEX event_subject ON log.event USING btree (organisation_id, subject, version);

CREATE INDEX claim_successor ON memory.claim USING btree (organisation_id, person_id, connector, successor) WHERE (successor IS NOT NULL);

CREATE INDEX link_target ON memory.link USING btree (organisation_id, target_id) WHERE (target_id IS NOT NULL);

CREATE INDEX memory_recent ON memory.memory USING btree (organisation_id, created_at DESC);

CREATE UNIQUE INDEX memory_source ON memory.memory USING btree (organisation_id, created_by, source_connector, source_external_id) WHERE (source_external_id IS NOT NULL);

CREATE INDEX document_project ON ONLY search.document USING btree (organisation_id, model, project) WHERE live;

CREATE UNIQUE INDEX model_one_of_each ON search.model USING btree (state) WHERE (state <> 'retired'::text);

ALTER TABLE ONLY integration.item
    ADD CONSTRAINT item_organisation_id_connection_id_fkey FOREIGN KEY (organisation_id, connection_id) REFERENCES integration.connection(organisation_id, id) ON DELETE CASCADE;

ALTER TABLE ONLY integration.sync
    ADD CONSTRAINT sync_organisation_id_connection_id_fkey FOREIGN KEY (organisation_id, connection_id) REFERENCES integration.connection(organisation_id, id) ON DELETE CASCADE;

ALTER TABLE ONLY log.parked
    ADD CONSTRAINT parked_organisation_id_event_id_fkey FOREIGN KEY (organisation_id, event_id) REFERENCES log.event(organisation_id, id) ON DELETE CASCADE;

ALTER TABLE ONLY memory.claim
    ADD CONSTRAINT claim_organisation_id_memory_id_fkey FOREIGN KEY (organisation_id, memory_id) REFERENCES memory.memory(organisation_id, id) ON DELETE CASCADE;

ALTER TABLE ONLY memory.link
    ADD CONSTRAINT link_organisation_id_memory_id_fkey FOREIGN KEY (organisation_id, memory_id) REFERENCES memory.memory(organisation_id, id) ON DELETE CASCADE;

ALTER TABLE ONLY memory.version
    ADD CONSTRAINT version_organisation_id_memory_id_fkey FOREIGN KEY (organisation_id, memory_id) REFERENCES memory.memory(organisation_id, id) ON DELETE CASCADE;

CREATE POLICY erasing ON gateway.idempotency TO devlore_owner USING ((((organisation_id)::text = ( SELECT current_setting('app.organisation'::text, true) AS current_setting)) AND (subject IS NOT NULL))) WITH CHECK ((((organisation_id)::text = ( SELECT current_setting('app.organisation'::text, true) AS current_setting)) AND (headers IS NULL) AND (body IS NULL)));

CREATE POLICY expired ON gateway.idempotency TO devlore_owner USING ((expires_at < now())) WITH CHECK (false);

ALTER TABLE gateway.idempotency ENABLE ROW LEVEL SECURITY;

CREATE POLICY tenant ON gateway.idempotency TO devlore_app USING (((organisation_id = ( SELECT (current_setting('app.organisation'::text))::uuid AS current_setting)) AND (person_id = ( SELECT (current_setting('app.person'::text))::uuid AS current_setting)))) WITH CHECK (((organisation_id = ( SELECT (current_setting('app.organisation'::text))::uuid AS current_setting)) AND (person_id = ( SELECT (current_setting('app.person'::text))::uuid AS current_setting))));

ALTER TABLE integration.connection ENABLE ROW LEVEL SECURITY;

ALTER TABLE integration.item ENABLE ROW LEVEL SECURITY;

CREATE POLICY own ON integration.connection USING ((created_by = ( SELECT (current_setting('app.person'::text))::uuid AS current_setting))) WITH CHECK ((created_by = ( SELECT (current_setting('app.person'::text))::uuid AS current_setting)));

CREATE POLICY own ON integration.item USING ((created_by = ( SELECT (current_setting('app.person'::text))::uuid AS current_setting))) WITH CHECK ((created_by = ( SELECT (current_setting('app.person'::text))::uuid AS current_setting)));

CREATE POLICY own ON integration.sync USING ((created_by = ( SELECT (current_setting('app.person'::text))::uuid AS current_setting))) WITH CHECK ((created_by = ( SELECT (current_setting('app.person'::text))::uuid AS current_setting)));

ALTER TABLE integration.sync ENABLE ROW LEVEL SECURITY;

CREATE POLICY tenant ON integration.connection AS RESTRICTIVE USING ((organisation_id = ( SELECT (current_setting('app.organisation'::text))::uuid AS current_setting))) WITH CHECK ((organisation_id = ( SELECT (current_setting('app.organisation'::text))::uuid AS current_setting)));

CREATE POLICY tenant ON integration.item AS RESTRICTIVE USING ((organisation_id = ( SELECT (current_setting('app.organisation'::text))::uuid AS current_setting))) WITH CHECK ((organisation_id = ( SELECT (current_setting('app.organisation'::text))::uuid AS current_setting)));

CREATE POLICY tenant ON integration.sync AS RESTRICTIVE USING ((organisation_id = ( SELECT (current_setting('app.organisation'::text))::uuid AS current_setting))) WITH CHECK ((organisation_id = ( SELECT (current_setting('app.organisation'::text))::uuid AS current_setting)));

ALTER TABLE log.event ENABLE ROW LEVEL SECURITY;

ALTER TABLE log.parked ENABLE ROW LEVEL SECURITY;

CREATE POLICY tenant ON log.event USING ((organisation_id = ( SELECT (current_setting('app.organisation'::text))::uuid AS current_setting))) WITH CHECK ((organisation_id = ( SELECT (current_setting('app.organisation'::text))::uuid AS current_setting)));

CREATE POLICY tenant ON log.parked USING ((organisation_id = ( SELECT (current_setting('app.organisation'::text))::uuid AS current_setting))) WITH CHECK ((organisation_id = ( SELECT (current_setting('app.organisation'::text))::uuid AS current_setting)));

ALTER TABLE memory.checkpoint ENABLE ROW LEVEL SECURITY;

ALTER TABLE memory.claim ENABLE ROW LEVEL SECURITY;

ALTER TABLE memory.link ENABLE ROW LEVEL SECURITY;

CREATE POLICY may_archive ON memory.version FOR INSERT WITH CHECK (true);

CREATE POLICY may_change ON memory.memory FOR UPDATE USING (((privacy = 'public'::text) OR (created_by = ( SELECT (current_setting('app.person'::text))::uuid AS current_setting)) OR ((privacy = 'team'::text) AND (team_id = ANY (( SELECT (current_setting('app.teams'::text))::uuid[] AS current_setting)::uuid[])))));

CREATE POLICY may_create ON memory.memory FOR INSERT WITH CHECK ((created_by = ( SELECT (current_setting('app.person'::text))::uuid AS current_setting)));

CREATE POLICY may_purge ON memory.memory FOR DELETE USING ((created_by = ( SELECT (current_setting('app.person'::text))::uuid AS current_setting)));

CREATE POLICY may_read ON memory.memory FOR SELECT USING (((privacy = 'public'::text) OR (created_by = ( SELECT (current_setting('app.person'::text))::uuid AS current_setting)) OR ((privacy = 'team'::text) AND (team_id = ANY (( SELECT (current_setting('app.teams'::text))::uuid[] AS current_setting)::uuid[])))));

CREATE POLICY may_read ON memory.version FOR SELECT USING ((((state ->> 'privacy'::text) = 'public'::text) OR (((state ->> 'created_by'::text))::uuid = ( SELECT (current_setting('app.person'::text))::uuid AS current_setting)) OR (((state ->> 'privacy'::text) = 'team'::text) AND (((state ->> 'team_id'::text))::uuid = ANY (( SELECT (current_setting('app.teams'::text))::uuid[] AS current_setting)::uuid[])))));

ALTER TABLE memory.memory ENABLE ROW LEVEL SECURITY;

CREATE POLICY tenant ON memory.checkpoint USING ((organisation_id = ( SELECT (current_setting('app.organisation'::text))::uuid AS current_setting))) WITH CHECK ((organisation_id = ( SELECT (current_setting('app.organisation'::text))::uuid AS current_setting)));

CREATE POLICY tenant ON memory.claim USING ((organisation_id = ( SELECT (current_setting('app.organisation'::text))::uuid AS current_setting))) WITH CHECK ((organisation_id = ( SELECT (current_setting('app.organisation'::text))::uuid AS current_setting)));

CREATE POLICY tenant ON memory.link USING ((organisation_id = ( SELECT (current_setting('app.organisation'::text))::uuid AS current_setting))) WITH CHECK ((organisation_id = ( SELECT (current_setting('app.organisation'::text))::uuid AS current_setting)));

CREATE POLICY tenant ON memory.memory AS RESTRICTIVE USING ((organisation_id = ( SELECT (current_setting('app.organisation'::text))::uuid AS current_setting))) WITH CHECK ((organisation_id = ( SELECT (current_setting('app.organisation'::text))::uuid AS current_setting)));

CREATE POLICY tenant ON memory.version AS RESTRICTIVE USING ((organisation_id = ( SELECT (current_setting('app.organisation'::text))::uuid AS current_setting))) WITH CHECK ((organisation_id = ( SELECT (current_setting('app.organisation'::text))::uuid AS current_setting)));

ALTER TABLE memory.version ENABLE ROW LEVEL SECURITY;

ALTER TABLE search.document ENABLE ROW LEVEL SECURITY;

ALTER TABLE search.passage ENABLE ROW LEVEL SECURITY;

CREATE POLICY tenant ON search.document USING ((organisation_id = ( SELECT (current_setting('app.organisation'::text))::uuid AS current_setting))) WITH CHECK ((organisation_id = ( SELECT (current_setting('app.organisation'::text))::uuid AS current_setting)));

CREATE POLICY tenant ON search.passage USING ((organisation_id = ( SELECT (current_setting('app.organisation'::text))::uuid AS current_setting))) WITH CHECK ((organisation_id = ( SELECT (current_setting('app.organisation'::text))::uuid AS current_setting)));

GRANT ALL ON SCHEMA gateway TO devlore_search;
GRANT USAGE ON SCHEMA gateway TO devlore_app;

GRANT ALL ON SCHEMA integration TO devlore_search;
GRANT USAGE ON SCHEMA integration TO devlore_app;

GRANT ALL ON SCHEMA log TO devlore_search;
GRANT USAGE ON SCHEMA log TO devlore_app;

GRANT ALL ON SCHEMA memory TO devlore_search;
GRANT USAGE ON SCHEMA memory TO devlore_app;

GRANT ALL ON SCHEMA migration TO devlore_search;
GRANT USAGE ON SCHEMA migration TO devlore_app;

GRANT ALL ON SCHEMA search TO devlore_search;
GRANT USAGE ON SCHEMA search TO devlore_app;

REVOKE ALL ON FUNCTION gateway.answer(of_organisation uuid, of_person uuid, of_key text, by_claim uuid, its_subject uuid, its_status smallint, its_headers jsonb, its_body bytea) FROM PUBLIC;
GRANT ALL ON FUNCTION gateway.answer(of_organisation uuid, of_person uuid, of_key text, by_claim uuid, its_subject uuid, its_status smallint, its_headers jsonb, its_body bytea) TO devlore_app;

REVOKE ALL ON FUNCTION gateway.claim(of_organisation uuid, of_person uuid, of_key text, of_fingerprint bytea, by_claim uuid, lease double precision, keep double precision) FROM PUBLIC;
GRANT ALL ON FUNCTION gateway.claim(of_organisation uuid, of_person uuid, of_key text, of_fingerprint bytea, by_claim uuid, lease double precision, keep double precision) TO devlore_app;

REVOKE ALL ON FUNCTION gateway.erase(of_organisation uuid, subjects uuid[]) FROM PUBLIC;
GRANT ALL ON FUNCTION gateway.erase(of_organisation uuid, subjects uuid[]) TO devlore_app;

REVOKE ALL ON FUNCTION gateway.forget_expired(most integer) FROM PUBLIC;
GRANT ALL ON FUNCTION gateway.forget_expired(most integer) TO devlore_app;

REVOKE ALL ON FUNCTION integration.waiting_syncs(dead_before timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION integration.waiting_syncs(dead_before timestamp with time zone) TO devlore_app;

REVOKE ALL ON FUNCTION integration.watched_connections() FROM PUBLIC;
GRANT ALL ON FUNCTION integration.watched_connections() TO devlore_app;

REVOKE ALL ON FUNCTION log.adopt() FROM PUBLIC;
GRANT ALL ON FUNCTION log.adopt() TO devlore_app;

REVOKE ALL ON FUNCTION log.ends() FROM PUBLIC;
GRANT ALL ON FUNCTION log.ends() TO devlore_app;

REVOKE ALL ON FUNCTION log.lag(after_xid xid8, after_seq bigint, types text[], most integer) FROM PUBLIC;
GRANT ALL ON FUNCTION log.lag(after_xid xid8, after_seq bigint, types text[], most integer) TO devlore_app;

REVOKE ALL ON FUNCTION log.parked_count(of_consumer text) FROM PUBLIC;
GRANT ALL ON FUNCTION log.parked_count(of_consumer text) TO devlore_app;

REVOKE ALL ON FUNCTION log.read_after(after_xid xid8, after_seq bigint, types text[], most integer) FROM PUBLIC;
GRANT ALL ON FUNCTION log.read_after(after_xid xid8, after_seq bigint, types text[], most integer) TO devlore_app;

REVOKE ALL ON FUNCTION log.read_parked(of_consumer text) FROM PUBLIC;
GRANT ALL ON FUNCTION log.read_parked(of_consumer text) TO devlore_app;

REVOKE ALL ON FUNCTION memory.count_all() FROM PUBLIC;
GRANT ALL ON FUNCTION memory.count_all() TO devlore_app;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE memory.memory TO devlore_app;
GRANT SELECT ON TABLE memory.memory TO devlore_search;

REVOKE ALL ON FUNCTION memory.scan(after_organisation uuid, after_id uuid, most integer) FROM PUBLIC;
GRANT ALL ON FUNCTION memory.scan(after_organisation uuid, after_id uuid, most integer) TO devlore_app;

REVOKE ALL ON FUNCTION memory.visible(organisation uuid, person uuid, teams uuid[], ids uuid[]) FROM PUBLIC;
GRANT ALL ON FUNCTION memory.visible(organisation uuid, person uuid, teams uuid[], ids uuid[]) TO devlore_app;

REVOKE ALL ON FUNCTION search.begin_model(model_name text, model_spec text, by_setting text, width integer, first_state text) FROM PUBLIC;
GRANT ALL ON FUNCTION search.begin_model(model_name text, model_spec text, by_setting text, width integer, first_state text) TO devlore_app;

REVOKE ALL ON FUNCTION search.conditions(wanted jsonb, unwanted jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION search.conditions(wanted jsonb, unwanted jsonb) TO devlore_search;

REVOKE ALL ON FUNCTION search.contents(of_model smallint, after_organisation uuid, after_id uuid, most integer) FROM PUBLIC;
GRANT ALL ON FUNCTION search.contents(of_model smallint, after_organisation uuid, after_id uuid, most integer) TO devlore_app;

REVOKE ALL ON FUNCTION search.drop_model(number smallint) FROM PUBLIC;
GRANT ALL ON FUNCTION search.drop_model(number smallint) TO devlore_app;

REVOKE ALL ON FUNCTION search.near_duplicates(tenant uuid, of_model smallint, ids uuid[], threshold real, most integer, width integer) FROM PUBLIC;
GRANT ALL ON FUNCTION search.near_duplicates(tenant uuid, of_model smallint, ids uuid[], threshold real, most integer, width integer) TO devlore_app;

REVOKE ALL ON FUNCTION search.nearest(tenant uuid, audiences uuid[], of_model smallint, target public.halfvec, most integer, only_active boolean, wanted jsonb, unwanted jsonb, width integer) FROM PUBLIC;
GRANT ALL ON FUNCTION search.nearest(tenant uuid, audiences uuid[], of_model smallint, target public.halfvec, most integer, only_active boolean, wanted jsonb, unwanted jsonb, width integer) TO devlore_app;

REVOKE ALL ON FUNCTION search.reach(tenant uuid, audiences uuid[], of_model smallint, most integer) FROM PUBLIC;
GRANT ALL ON FUNCTION search.reach(tenant uuid, audiences uuid[], of_model smallint, most integer) TO devlore_app;

REVOKE ALL ON FUNCTION search.sizes(of_model smallint) FROM PUBLIC;
GRANT ALL ON FUNCTION search.sizes(of_model smallint) TO devlore_app;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE gateway.idempotency TO devlore_app;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE integration.connection TO devlore_app;
GRANT SELECT ON TABLE integration.connection TO devlore_search;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE integration.item TO devlore_app;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE integration.sync TO devlore_app;
GRANT SELECT ON TABLE integration.sync TO devlore_search;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE log.consumer TO devlore_app;
GRANT SELECT,UPDATE ON TABLE log.consumer TO devlore_search;

GRANT SELECT,INSERT,DELETE ON TABLE log.event TO devlore_app;
GRANT SELECT ON TABLE log.event TO devlore_search;

GRANT UPDATE(xid) ON TABLE log.event TO devlore_search;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE log.parked TO devlore_app;
GRANT SELECT ON TABLE log.parked TO devlore_search;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE memory.checkpoint TO devlore_app;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE memory.claim TO devlore_app;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE memory.link TO devlore_app;

GRANT SELECT,INSERT ON TABLE memory.version TO devlore_app;

GRANT SELECT ON TABLE migration.applied TO devlore_app;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE search.document TO devlore_app;
GRANT SELECT ON TABLE search.document TO devlore_search;

GRANT SELECT,UPDATE ON TABLE search.model TO devlore_app;
GRANT SELECT ON TABLE search.model TO devlore_search;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE search.passage TO devlore_app;
GRANT SELECT ON TABLE search.passage TO devlore_search;

GRANT SELECT,INSERT,UPDATE ON TABLE search.rebuild TO devlore_app;

ALTER DEFAULT PRIVILEGES FOR ROLE devlore_owner REVOKE ALL ON FUNCTIONS FROM PUBLIC;

ALTER DEFAULT PRIVILEGES FOR ROLE devlore_owner GRANT ALL ON SCHEMAS TO devlore_search;
