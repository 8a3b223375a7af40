-- The event log: outbox, timeline, change feed and resume buffer in one table.
-- Order is (xid, seq); a reader takes only xid < pg_snapshot_xmin(pg_current_snapshot()), so an event that commits
-- late can never appear behind a cursor that has passed it.

CREATE SCHEMA log;
GRANT USAGE ON SCHEMA log TO devlore_app, devlore_search;

CREATE TABLE log.event (
    organisation_id uuid        NOT NULL,
    id              uuid        NOT NULL,
    xid             xid8        NOT NULL DEFAULT pg_current_xact_id(),
    seq             bigint      GENERATED ALWAYS AS IDENTITY,
    type            text        NOT NULL,
    subject         uuid        NOT NULL,
    version         integer     NOT NULL,
    -- Who may know of it: the organisation's id, a team's, or a person's.
    audience        uuid        NOT NULL,
    occurred_at     timestamptz NOT NULL,
    data            jsonb       NOT NULL,
    PRIMARY KEY (organisation_id, id)
);
CREATE INDEX event_order ON log.event (xid, seq);
CREATE INDEX event_subject ON log.event (organisation_id, subject, version);

ALTER TABLE log.event ENABLE ROW LEVEL SECURITY;
ALTER TABLE log.event FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON log.event
    USING (organisation_id = (SELECT current_setting('app.organisation')::uuid))
    WITH CHECK (organisation_id = (SELECT current_setting('app.organisation')::uuid));
GRANT SELECT, INSERT, DELETE ON log.event TO devlore_app;

-- The one statement that appends: events in order, as whoever calls it, under row-level security.
CREATE FUNCTION log.append(events jsonb) RETURNS void
LANGUAGE plpgsql STRICT SECURITY INVOKER
AS $$
BEGIN
    INSERT INTO log.event (organisation_id, id, type, subject, version, audience, occurred_at, data)
    SELECT e.organisation_id, e.id, e.type, e.subject, e.version, e.audience, e.occurred_at, e.data
    FROM jsonb_to_recordset(events) AS e(organisation_id uuid, id uuid, type text, subject uuid, version integer,
                                         audience uuid, occurred_at timestamptz, data jsonb);
END
$$;
REVOKE ALL ON FUNCTION log.append FROM PUBLIC;
GRANT EXECUTE ON FUNCTION log.append TO devlore_app;

-- How far each consumer has read. No tenant data: positions only.
CREATE TABLE log.consumer (
    name       text        PRIMARY KEY,
    xid        xid8        NOT NULL DEFAULT '0',
    seq        bigint      NOT NULL DEFAULT 0,
    updated_at timestamptz NOT NULL DEFAULT now()
);
GRANT SELECT, INSERT, UPDATE, DELETE ON log.consumer TO devlore_app;

-- Events a consumer could not apply after bisecting the batch; parked, not lost.
CREATE TABLE log.parked (
    organisation_id uuid        NOT NULL,
    consumer        text        NOT NULL,
    event_id        uuid        NOT NULL,
    error           text        NOT NULL,
    attempts        integer     NOT NULL,
    parked_at       timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organisation_id, consumer, event_id),
    FOREIGN KEY (organisation_id, event_id) REFERENCES log.event (organisation_id, id) ON DELETE CASCADE
);
ALTER TABLE log.parked ENABLE ROW LEVEL SECURITY;
ALTER TABLE log.parked FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON log.parked
    USING (organisation_id = (SELECT current_setting('app.organisation')::uuid))
    WITH CHECK (organisation_id = (SELECT current_setting('app.organisation')::uuid));
GRANT SELECT, INSERT, UPDATE, DELETE ON log.parked TO devlore_app;

-- Consumers serve every organisation, so they read through definer functions owned by the one role that bypasses
-- row-level security and has SELECT on nothing else it does not need. The owner changes last: who has given a function
-- away can no longer say who may run it.
GRANT SELECT ON log.event, log.parked TO devlore_search;

CREATE FUNCTION log.read_after(after_xid xid8, after_seq bigint, types text[], most integer)
RETURNS TABLE (xid xid8, seq bigint, organisation_id uuid, id uuid, type text, subject uuid, version integer,
               audience uuid, occurred_at timestamptz, data jsonb)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, log
AS $$
    SELECT e.xid, e.seq, e.organisation_id, e.id, e.type, e.subject, e.version, e.audience, e.occurred_at, e.data
    FROM log.event e
    WHERE (e.xid, e.seq) > (after_xid, after_seq)
      AND e.xid < pg_snapshot_xmin(pg_current_snapshot())
      AND e.type = ANY (types)
    ORDER BY e.xid, e.seq
    LIMIT most
$$;
REVOKE ALL ON FUNCTION log.read_after FROM PUBLIC;
GRANT EXECUTE ON FUNCTION log.read_after TO devlore_app;
ALTER FUNCTION log.read_after OWNER TO devlore_search;

-- The last committed event, and the last that no transaction still open can overtake; no row while the log is empty.
CREATE FUNCTION log.ends()
RETURNS TABLE (settled_xid xid8, settled_seq bigint, head_xid xid8, head_seq bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, log
AS $$
    SELECT coalesce(settled.xid, '0'), coalesce(settled.seq, 0), head.xid, head.seq
    FROM (SELECT e.xid, e.seq FROM log.event e ORDER BY e.xid DESC, e.seq DESC LIMIT 1) AS head
    LEFT JOIN LATERAL (
        SELECT e.xid, e.seq FROM log.event e
        WHERE e.xid < pg_snapshot_xmin(pg_current_snapshot())
        ORDER BY e.xid DESC, e.seq DESC LIMIT 1) AS settled ON true
$$;
REVOKE ALL ON FUNCTION log.ends FROM PUBLIC;
GRANT EXECUTE ON FUNCTION log.ends TO devlore_app;
ALTER FUNCTION log.ends OWNER TO devlore_search;

-- How many events of these types come after a place: counted among the next `most` events of any type; what lies
-- beyond is estimated by its distance to the head and the share of these types before, since whoever asks each second
-- must not read a hundred thousand rows each second. Zero is never an estimate.
CREATE FUNCTION log.lag(after_xid xid8, after_seq bigint, types text[], most integer) RETURNS bigint
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, log
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
REVOKE ALL ON FUNCTION log.lag FROM PUBLIC;
GRANT EXECUTE ON FUNCTION log.lag TO devlore_app;
ALTER FUNCTION log.lag OWNER TO devlore_search;

CREATE FUNCTION log.parked_count(of_consumer text) RETURNS bigint
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, log
AS $$ SELECT count(*) FROM log.parked p WHERE p.consumer = of_consumer $$;
REVOKE ALL ON FUNCTION log.parked_count FROM PUBLIC;
GRANT EXECUTE ON FUNCTION log.parked_count TO devlore_app;
ALTER FUNCTION log.parked_count OWNER TO devlore_search;

CREATE FUNCTION log.read_parked(of_consumer text)
RETURNS TABLE (organisation_id uuid, id uuid, type text, subject uuid, version integer, audience uuid,
               occurred_at timestamptz, data jsonb)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, log
AS $$
    SELECT e.organisation_id, e.id, e.type, e.subject, e.version, e.audience, e.occurred_at, e.data
    FROM log.parked p JOIN log.event e ON e.organisation_id = p.organisation_id AND e.id = p.event_id
    WHERE p.consumer = of_consumer ORDER BY e.xid, e.seq
$$;
REVOKE ALL ON FUNCTION log.read_parked FROM PUBLIC;
GRANT EXECUTE ON FUNCTION log.read_parked TO devlore_app;
ALTER FUNCTION log.read_parked OWNER TO devlore_search;

-- After a restore from a dump into a new cluster, transactions are numbered from the start again, below those of the
-- restored events: new ones would never come after them. Such events go to the front, and every cursor with them.
-- Returns the number no position can have reached yet.
GRANT UPDATE (xid) ON log.event TO devlore_search;
GRANT SELECT, UPDATE ON log.consumer TO devlore_search;
CREATE FUNCTION log.adopt() RETURNS xid8
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, log
AS $$
BEGIN
    IF EXISTS (SELECT FROM log.event e WHERE e.xid >= pg_snapshot_xmax(pg_current_snapshot())) THEN
        UPDATE log.event SET xid = '1' WHERE event.xid >= pg_snapshot_xmax(pg_current_snapshot());
        UPDATE log.consumer SET xid = '0', seq = 0, updated_at = now();
    END IF;
    RETURN pg_snapshot_xmax(pg_current_snapshot());
END
$$;
REVOKE ALL ON FUNCTION log.adopt FROM PUBLIC;
GRANT EXECUTE ON FUNCTION log.adopt TO devlore_app;
ALTER FUNCTION log.adopt OWNER TO devlore_search;
