-- What the trail is asked for: by whom, what, about what, and what went wrong, newest first. No index over `targets`
-- itself would be used behind row-level security (its operators are not leakproof), so the ids of a leaf's targets, of
-- which it has two at most, are columns. Neither they nor `xid` are part of the leaf or its hash.

ALTER TABLE audit.leaf
    ADD COLUMN target_id text GENERATED ALWAYS AS (targets -> 0 ->> 'id') STORED,
    ADD COLUMN second_id text GENERATED ALWAYS AS (targets -> 1 ->> 'id') STORED;

CREATE INDEX leaf_action ON audit.leaf (organisation_id, action, occurred_at, id);
CREATE INDEX leaf_actor ON audit.leaf (organisation_id, actor_id, occurred_at, id) WHERE actor_id IS NOT NULL;
CREATE INDEX leaf_target ON audit.leaf (organisation_id, target_id, occurred_at, id) WHERE target_id IS NOT NULL;
CREATE INDEX leaf_second ON audit.leaf (organisation_id, second_id, occurred_at, id) WHERE second_id IS NOT NULL;
CREATE INDEX leaf_trouble ON audit.leaf (organisation_id, result, occurred_at, id) WHERE result <> 'ok';

-- As before, and the new columns.
CREATE OR REPLACE FUNCTION audit.ensure_month(moment timestamptz) RETURNS boolean
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
    EXECUTE format('CREATE TABLE audit.%I (LIKE audit.leaf INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING GENERATED)',
                   name);
    EXECUTE format('ALTER TABLE audit.%I ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', name);
    EXECUTE format('ALTER TABLE audit.leaf ATTACH PARTITION audit.%I FOR VALUES FROM (%L) TO (%L)',
                   name, first, (first AT TIME ZONE 'UTC' + interval '1 month') AT TIME ZONE 'UTC');
    RETURN true;
END
$$;

-- As before, by the new columns, and planned for the filters of each call: what is fast for a rare one is slow for a
-- common one. As the role that owns them: nobody else may replace them.
SET ROLE devlore_audit;
CREATE OR REPLACE FUNCTION audit.newest(before_at timestamptz, before_id uuid, since timestamptz, actions text[],
                             actor_types text[], actors uuid[], about text[], results text[], most integer)
RETURNS SETOF audit.leaf
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, audit SET plan_cache_mode = force_custom_plan
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
          AND (about IS NULL OR l.target_id = ANY (about) OR l.second_id = ANY (about))
          AND (results IS NULL OR l.result = ANY (results))
        ORDER BY l.occurred_at DESC, l.id DESC LIMIT most;
END
$$;

CREATE OR REPLACE FUNCTION audit.follow(after_xid xid8, after_id uuid, since timestamptz, until timestamptz, actions text[],
                             actor_types text[], actors uuid[], about text[], results text[], most integer)
RETURNS SETOF audit.leaf
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, audit SET plan_cache_mode = force_custom_plan
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
          AND (about IS NULL OR l.target_id = ANY (about) OR l.second_id = ANY (about))
          AND (results IS NULL OR l.result = ANY (results))
        ORDER BY l.xid, l.id LIMIT most;
END
$$;
SET ROLE devlore_owner;
