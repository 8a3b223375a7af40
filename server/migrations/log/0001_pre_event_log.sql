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
-- row-level security and has SELECT on nothing else it does not need.
GRANT SELECT ON log.event, log.parked TO devlore_search;

CREATE FUNCTION log.read_after(after_xid xid8, after_seq bigint, types text[], most integer)
RETURNS TABLE (xid xid8, seq bigint, organisation_id uuid, id uuid, type text, subject uuid, version integer,
               occurred_at timestamptz, data jsonb)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, log
AS $$
    SELECT e.xid, e.seq, e.organisation_id, e.id, e.type, e.subject, e.version, e.occurred_at, e.data
    FROM log.event e
    WHERE (e.xid, e.seq) > (after_xid, after_seq)
      AND e.xid < pg_snapshot_xmin(pg_current_snapshot())
      AND e.type = ANY (types)
    ORDER BY e.xid, e.seq
    LIMIT most
$$;
ALTER FUNCTION log.read_after OWNER TO devlore_search;
REVOKE ALL ON FUNCTION log.read_after FROM PUBLIC;
GRANT EXECUTE ON FUNCTION log.read_after TO devlore_app;

CREATE FUNCTION log.head() RETURNS TABLE (xid xid8, seq bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, log
AS $$ SELECT e.xid, e.seq FROM log.event e ORDER BY e.xid DESC, e.seq DESC LIMIT 1 $$;
ALTER FUNCTION log.head OWNER TO devlore_search;
REVOKE ALL ON FUNCTION log.head FROM PUBLIC;
GRANT EXECUTE ON FUNCTION log.head TO devlore_app;

CREATE FUNCTION log.lag(after_xid xid8, after_seq bigint, types text[], most integer) RETURNS bigint
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, log
AS $$
    SELECT count(*) FROM (
        SELECT 1 FROM log.event e
        WHERE (e.xid, e.seq) > (after_xid, after_seq) AND e.type = ANY (types) LIMIT most) AS waiting
$$;
ALTER FUNCTION log.lag OWNER TO devlore_search;
REVOKE ALL ON FUNCTION log.lag FROM PUBLIC;
GRANT EXECUTE ON FUNCTION log.lag TO devlore_app;

CREATE FUNCTION log.parked_count(of_consumer text) RETURNS bigint
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, log
AS $$ SELECT count(*) FROM log.parked p WHERE p.consumer = of_consumer $$;
ALTER FUNCTION log.parked_count OWNER TO devlore_search;
REVOKE ALL ON FUNCTION log.parked_count FROM PUBLIC;
GRANT EXECUTE ON FUNCTION log.parked_count TO devlore_app;
