-- The audit trail: one leaf for each change, refusal and sensitive read, in the transaction of what it is about.
-- The app may only add leaves. They are read through functions of devlore_audit, which sees one organisation at a time.

CREATE SCHEMA audit;
GRANT USAGE ON SCHEMA audit TO devlore_app;
GRANT USAGE, CREATE ON SCHEMA audit TO devlore_audit;

-- Who the pseudonyms in leaves stand for. Deleting a row is how a person is forgotten: leaves and their hashes stay.
CREATE TABLE audit.pseudonym (
    organisation_id uuid NOT NULL,
    id              uuid NOT NULL DEFAULT gen_random_uuid(),
    kind            text NOT NULL CHECK (kind IN ('person', 'email', 'network')),
    value           text NOT NULL CHECK (length(value) <= 500),
    PRIMARY KEY (organisation_id, id),
    UNIQUE (organisation_id, kind, value)
);
ALTER TABLE audit.pseudonym ENABLE ROW LEVEL SECURITY;
ALTER TABLE audit.pseudonym FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON audit.pseudonym
    USING (organisation_id = (SELECT current_setting('app.organisation')::uuid))
    WITH CHECK (organisation_id = (SELECT current_setting('app.organisation')::uuid));
GRANT SELECT, INSERT, DELETE ON audit.pseudonym TO devlore_app;

-- The row is the leaf: hash is over the RFC 8785 form of its columns (xid is not part of it). In the order of
-- (xid, id) nothing ever appears behind a reader that takes only xid < pg_snapshot_xmin(pg_current_snapshot()): ids are
-- made in order within a transaction.
CREATE TABLE audit.leaf (
    organisation_id uuid        NOT NULL,
    id              uuid        NOT NULL,
    xid             xid8        NOT NULL DEFAULT pg_current_xact_id(),
    occurred_at     timestamptz NOT NULL,
    actor_type      text        NOT NULL CHECK (actor_type IN ('person', 'system', 'nobody')),
    actor_id        uuid,
    action          text        NOT NULL,
    targets         jsonb       NOT NULL,
    result          text        NOT NULL CHECK (result IN ('ok', 'refused', 'failed')),
    context         jsonb       NOT NULL,
    hash            bytea       NOT NULL CHECK (length(hash) = 32),
    PRIMARY KEY (organisation_id, occurred_at, id),
    CHECK ((actor_type = 'person') = (actor_id IS NOT NULL))
) PARTITION BY RANGE (occurred_at);
CREATE INDEX leaf_order ON audit.leaf (organisation_id, xid, id);

ALTER TABLE audit.leaf ENABLE ROW LEVEL SECURITY;
ALTER TABLE audit.leaf FORCE ROW LEVEL SECURITY;
CREATE POLICY may_add ON audit.leaf FOR INSERT TO devlore_app
    WITH CHECK (organisation_id = (SELECT current_setting('app.organisation')::uuid));
CREATE POLICY may_read ON audit.leaf FOR SELECT TO devlore_audit
    USING (organisation_id = (SELECT current_setting('app.organisation')::uuid));
CREATE POLICY may_adopt ON audit.leaf FOR UPDATE TO devlore_audit
    USING (organisation_id = (SELECT current_setting('app.organisation')::uuid));
GRANT INSERT ON audit.leaf TO devlore_app;
GRANT SELECT, UPDATE (xid) ON audit.leaf TO devlore_audit;

-- Makes the partition of a month unless there is one; whether it did. Whoever comes second waits for the first to
-- commit. Attaching lets writers go on meanwhile, which CREATE TABLE … PARTITION OF would not. Nobody has a right on
-- the partition itself, and row-level security without a policy refuses whoever would get one.
CREATE FUNCTION audit.ensure_month(moment timestamptz) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, audit
AS $$
DECLARE
    first timestamptz := date_trunc('month', moment, 'UTC');
    name  text := to_char(first AT TIME ZONE 'UTC', '"leaf_"YYYY_MM');
BEGIN
    IF moment IS NULL OR moment < '1970-01-01T00:00:00Z' OR moment >= '2200-01-01T00:00:00Z' THEN
        RAISE EXCEPTION 'no month of the audit trail' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF to_regclass('audit.' || name) IS NOT NULL THEN
        RETURN false;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended('devlore audit ' || name, 0));
    -- A look at the table, with a snapshot of after the wait: what to_regclass remembers may be of before.
    IF EXISTS (SELECT FROM pg_class c WHERE c.relnamespace = 'audit'::regnamespace AND c.relname = name) THEN
        RETURN false;
    END IF;
    EXECUTE format('CREATE TABLE audit.%I (LIKE audit.leaf INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', name);
    EXECUTE format('ALTER TABLE audit.%I ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', name);
    EXECUTE format('ALTER TABLE audit.leaf ATTACH PARTITION audit.%I FOR VALUES FROM (%L) TO (%L)',
                   name, first, (first AT TIME ZONE 'UTC' + interval '1 month') AT TIME ZONE 'UTC');
    RETURN true;
END
$$;
REVOKE ALL ON FUNCTION audit.ensure_month FROM PUBLIC;
GRANT EXECUTE ON FUNCTION audit.ensure_month TO devlore_app;

-- Whether leaves of this moment that name these pseudonyms can be stored: the month has its partition, and none of them
-- was erased. As whoever calls it, so that it tells nobody more than they may see.
CREATE FUNCTION audit.ready(moment timestamptz, pseudonyms uuid[]) RETURNS boolean
LANGUAGE plpgsql STABLE STRICT SECURITY INVOKER
AS $$
BEGIN
    RETURN to_regclass(to_char(moment AT TIME ZONE 'UTC', '"audit.leaf_"YYYY_MM')) IS NOT NULL
       AND (SELECT count(*) FROM audit.pseudonym p
            WHERE p.organisation_id = (SELECT current_setting('app.organisation')::uuid)
              AND p.id = ANY (pseudonyms)) = cardinality(pseudonyms);
END
$$;
REVOKE ALL ON FUNCTION audit.ready FROM PUBLIC;
GRANT EXECUTE ON FUNCTION audit.ready TO devlore_app;

-- The one statement that appends: leaves as their hash was made over them, and the hash; true.
CREATE FUNCTION audit.append(leaves json) RETURNS boolean
LANGUAGE plpgsql STRICT SECURITY INVOKER
AS $$
BEGIN
    INSERT INTO audit.leaf (organisation_id, id, occurred_at, actor_type, actor_id, action, targets, result, context,
                            hash)
    SELECT l.organisation, l.id, l.occurred_at, l.actor->>'type', (l.actor->>'id')::uuid, l.action, l.targets,
           l.result, l.context, l.hash
    FROM json_to_recordset(leaves) AS l(organisation uuid, id uuid, occurred_at timestamptz, actor json, action text,
                                        targets jsonb, result text, context jsonb, hash bytea);
    RETURN true;
END
$$;
REVOKE ALL ON FUNCTION audit.append FROM PUBLIC;
GRANT EXECUTE ON FUNCTION audit.append TO devlore_app;

-- What leaves of this moment that name these people, addresses and networks need: the month's partition (created: by
-- this call) and their pseudonyms, in the order given.
CREATE FUNCTION audit.prepare(moment timestamptz, kinds text[], names text[], OUT created boolean, OUT ids uuid[])
LANGUAGE plpgsql SECURITY INVOKER SET search_path = pg_catalog, audit
AS $$
DECLARE
    organisation uuid := current_setting('app.organisation')::uuid;
BEGIN
    created := audit.ensure_month(moment);
    INSERT INTO audit.pseudonym (organisation_id, kind, value)
    SELECT organisation, asked.kind, asked.value FROM unnest(kinds, names) AS asked(kind, value)
    ON CONFLICT DO NOTHING;
    SELECT coalesce(array_agg(p.id ORDER BY asked.place), '{}') INTO ids
    FROM unnest(kinds, names) WITH ORDINALITY AS asked(kind, value, place)
    JOIN audit.pseudonym p ON p.organisation_id = organisation AND p.kind = asked.kind AND p.value = asked.value;
END
$$;
REVOKE ALL ON FUNCTION audit.prepare FROM PUBLIC;
GRANT EXECUTE ON FUNCTION audit.prepare TO devlore_app;

-- Reading: for the organisation of the context, never for nobody's, as a role that may see leaves and whose rows
-- row-level security still limits to that organisation. A filter that is null lets everything pass; `about` are ids of
-- targets. The owner changes last: who has given a function away can no longer say who may run it.
CREATE FUNCTION audit.of_context() RETURNS uuid
LANGUAGE plpgsql STABLE SECURITY INVOKER SET search_path = pg_catalog
AS $$
DECLARE
    organisation uuid := current_setting('app.organisation')::uuid;
BEGIN
    IF organisation = '00000000-0000-0000-0000-000000000000' THEN
        RAISE EXCEPTION 'nobody reads the audit trail' USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN organisation;
END
$$;
REVOKE ALL ON FUNCTION audit.of_context FROM PUBLIC;
GRANT EXECUTE ON FUNCTION audit.of_context TO devlore_audit;

-- Newest first, before a place.
CREATE FUNCTION audit.newest(before_at timestamptz, before_id uuid, since timestamptz, actions text[],
                             actor_types text[], actors uuid[], about text[], results text[], most integer)
RETURNS SETOF audit.leaf
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, audit
AS $$
DECLARE
    organisation uuid := audit.of_context();
BEGIN
    RETURN QUERY
        SELECT l.* FROM audit.leaf l
        WHERE l.organisation_id = organisation
          AND (l.occurred_at, l.id) < (before_at, before_id)
          AND l.occurred_at >= since
          AND (actions IS NULL OR l.action = ANY (actions))
          AND (actor_types IS NULL OR l.actor_type = ANY (actor_types))
          AND (actors IS NULL OR l.actor_id = ANY (actors))
          AND (about IS NULL OR EXISTS (SELECT FROM jsonb_array_elements(l.targets) AS t WHERE t->>'id' = ANY (about)))
          AND (results IS NULL OR l.result = ANY (results))
        ORDER BY l.occurred_at DESC, l.id DESC LIMIT most;
END
$$;
REVOKE ALL ON FUNCTION audit.newest FROM PUBLIC;
GRANT EXECUTE ON FUNCTION audit.newest TO devlore_app;
ALTER FUNCTION audit.newest OWNER TO devlore_audit;

-- In the order of commits, after a place, what no transaction still open can precede.
CREATE FUNCTION audit.follow(after_xid xid8, after_id uuid, since timestamptz, until timestamptz, actions text[],
                             actor_types text[], actors uuid[], about text[], results text[], most integer)
RETURNS SETOF audit.leaf
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, audit
AS $$
DECLARE
    organisation uuid := audit.of_context();
BEGIN
    RETURN QUERY
        SELECT l.* FROM audit.leaf l
        WHERE l.organisation_id = organisation
          AND (l.xid, l.id) > (after_xid, after_id)
          AND l.xid < pg_snapshot_xmin(pg_current_snapshot())
          AND l.occurred_at >= since AND l.occurred_at < until
          AND (actions IS NULL OR l.action = ANY (actions))
          AND (actor_types IS NULL OR l.actor_type = ANY (actor_types))
          AND (actors IS NULL OR l.actor_id = ANY (actors))
          AND (about IS NULL OR EXISTS (SELECT FROM jsonb_array_elements(l.targets) AS t WHERE t->>'id' = ANY (about)))
          AND (results IS NULL OR l.result = ANY (results))
        ORDER BY l.xid, l.id LIMIT most;
END
$$;
REVOKE ALL ON FUNCTION audit.follow FROM PUBLIC;
GRANT EXECUTE ON FUNCTION audit.follow TO devlore_app;
ALTER FUNCTION audit.follow OWNER TO devlore_audit;

-- The last leaf that no transaction still open can precede, or zeros; and the transaction no leaf has reached. In a new
-- cluster after a restore from a dump, transactions are numbered from the start again: restored leaves from beyond go to
-- the front, or they would hide new ones. Their hash does not cover xid.
CREATE FUNCTION audit.settled(OUT xid xid8, OUT id uuid, OUT unreached xid8)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, audit
AS $$
DECLARE
    organisation uuid := audit.of_context();
BEGIN
    unreached := pg_snapshot_xmax(pg_current_snapshot());
    -- Each statement by its own snapshot: what was committed since the one before lies beyond that one's end, too.
    IF EXISTS (SELECT FROM audit.leaf l
               WHERE l.organisation_id = organisation AND l.xid >= pg_snapshot_xmax(pg_current_snapshot())) THEN
        UPDATE audit.leaf l SET xid = '1'
        WHERE l.organisation_id = organisation AND l.xid >= pg_snapshot_xmax(pg_current_snapshot());
    END IF;
    SELECT l.xid, l.id INTO xid, id FROM audit.leaf l
    WHERE l.organisation_id = organisation AND l.xid < pg_snapshot_xmin(pg_current_snapshot())
    ORDER BY l.xid DESC, l.id DESC LIMIT 1;
    xid := coalesce(xid, '0');
    id := coalesce(id, '00000000-0000-0000-0000-000000000000');
END
$$;
REVOKE ALL ON FUNCTION audit.settled FROM PUBLIC;
GRANT EXECUTE ON FUNCTION audit.settled TO devlore_app;
ALTER FUNCTION audit.settled OWNER TO devlore_audit;
