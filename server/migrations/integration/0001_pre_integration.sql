-- Connections, their syncs, and which items of the source each connection has brought in.

CREATE SCHEMA integration;
GRANT USAGE ON SCHEMA integration TO devlore_app, devlore_search;

CREATE TABLE integration.connection (
    organisation_id uuid        NOT NULL,
    id              uuid        NOT NULL,
    created_by      uuid        NOT NULL,
    connector       text        NOT NULL,
    location        text        NOT NULL,
    name            text        NOT NULL,
    project         text,
    config          jsonb       NOT NULL,
    watch           boolean     NOT NULL DEFAULT false,
    generation      integer     NOT NULL DEFAULT 0,
    created_at      timestamptz NOT NULL,
    last_synced_at  timestamptz,
    PRIMARY KEY (organisation_id, id),
    -- With the person: a wider key would tell a caller that somebody else has connected the same place.
    UNIQUE (organisation_id, created_by, connector, location)
);
ALTER TABLE integration.connection ENABLE ROW LEVEL SECURITY;
ALTER TABLE integration.connection FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON integration.connection AS RESTRICTIVE
    USING (organisation_id = (SELECT current_setting('app.organisation')::uuid))
    WITH CHECK (organisation_id = (SELECT current_setting('app.organisation')::uuid));
CREATE POLICY own ON integration.connection
    USING (created_by = (SELECT current_setting('app.person')::uuid))
    WITH CHECK (created_by = (SELECT current_setting('app.person')::uuid));
GRANT SELECT, INSERT, UPDATE, DELETE ON integration.connection TO devlore_app;

CREATE TABLE integration.sync (
    organisation_id uuid        NOT NULL,
    id              uuid        NOT NULL,
    connection_id   uuid        NOT NULL,
    created_by      uuid        NOT NULL,
    state           text        NOT NULL CHECK (state IN ('queued', 'running', 'done', 'failed', 'cancelled')),
    -- Asked to forget the checkpoint first; taken back once that is done.
    anew            boolean     NOT NULL DEFAULT false,
    cancelling      boolean     NOT NULL DEFAULT false,
    total           bigint,
    done            bigint      NOT NULL DEFAULT 0,
    created         bigint      NOT NULL DEFAULT 0,
    updated         bigint      NOT NULL DEFAULT 0,
    unchanged       bigint      NOT NULL DEFAULT 0,
    deleted         bigint      NOT NULL DEFAULT 0,
    failed          bigint      NOT NULL DEFAULT 0,
    failures        jsonb       NOT NULL DEFAULT '[]',
    error           text,
    queued_at       timestamptz NOT NULL,
    started_at      timestamptz,
    finished_at     timestamptz,
    -- Who runs it and when it was last known alive: one whose worker died is taken over.
    worker          uuid,
    alive_at        timestamptz,
    PRIMARY KEY (organisation_id, id),
    FOREIGN KEY (organisation_id, connection_id) REFERENCES integration.connection (organisation_id, id) ON DELETE CASCADE
);
-- One sync per connection at a time.
CREATE UNIQUE INDEX sync_under_way ON integration.sync (organisation_id, connection_id)
    WHERE state IN ('queued', 'running');
CREATE INDEX sync_of_connection ON integration.sync (organisation_id, connection_id, id DESC);
ALTER TABLE integration.sync ENABLE ROW LEVEL SECURITY;
ALTER TABLE integration.sync FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON integration.sync AS RESTRICTIVE
    USING (organisation_id = (SELECT current_setting('app.organisation')::uuid))
    WITH CHECK (organisation_id = (SELECT current_setting('app.organisation')::uuid));
CREATE POLICY own ON integration.sync
    USING (created_by = (SELECT current_setting('app.person')::uuid))
    WITH CHECK (created_by = (SELECT current_setting('app.person')::uuid));
GRANT SELECT, INSERT, UPDATE, DELETE ON integration.sync TO devlore_app;

-- What a connection has brought in, so that two clones of one repository do not delete each other's commits, and a
-- full read can tell what is gone. It may name items that were never stored (it is written first), never fewer.
CREATE TABLE integration.item (
    organisation_id uuid    NOT NULL,
    connection_id   uuid    NOT NULL,
    external_id     text    NOT NULL,
    created_by      uuid    NOT NULL,
    connector       text    NOT NULL,
    generation      integer NOT NULL,
    PRIMARY KEY (organisation_id, connection_id, external_id),
    FOREIGN KEY (organisation_id, connection_id) REFERENCES integration.connection (organisation_id, id) ON DELETE CASCADE
);
CREATE INDEX item_elsewhere ON integration.item (organisation_id, created_by, connector, external_id);
ALTER TABLE integration.item ENABLE ROW LEVEL SECURITY;
ALTER TABLE integration.item FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON integration.item AS RESTRICTIVE
    USING (organisation_id = (SELECT current_setting('app.organisation')::uuid))
    WITH CHECK (organisation_id = (SELECT current_setting('app.organisation')::uuid));
CREATE POLICY own ON integration.item
    USING (created_by = (SELECT current_setting('app.person')::uuid))
    WITH CHECK (created_by = (SELECT current_setting('app.person')::uuid));
GRANT SELECT, INSERT, UPDATE, DELETE ON integration.item TO devlore_app;

-- The worker serves every organisation; these functions tell it what there is to do, and nothing else.
GRANT SELECT ON integration.sync, integration.connection TO devlore_search;

CREATE FUNCTION integration.waiting_syncs(dead_before timestamptz)
RETURNS TABLE (organisation_id uuid, created_by uuid, id uuid)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, integration
AS $$
    SELECT s.organisation_id, s.created_by, s.id FROM integration.sync s
    WHERE s.state = 'queued' OR (s.state = 'running' AND (s.alive_at IS NULL OR s.alive_at < dead_before))
    ORDER BY s.queued_at
$$;
REVOKE ALL ON FUNCTION integration.waiting_syncs FROM PUBLIC;
GRANT EXECUTE ON FUNCTION integration.waiting_syncs TO devlore_app;
ALTER FUNCTION integration.waiting_syncs OWNER TO devlore_search;

CREATE FUNCTION integration.watched_connections()
RETURNS TABLE (organisation_id uuid, created_by uuid, id uuid)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, integration
AS $$ SELECT c.organisation_id, c.created_by, c.id FROM integration.connection c WHERE c.watch $$;
REVOKE ALL ON FUNCTION integration.watched_connections FROM PUBLIC;
GRANT EXECUTE ON FUNCTION integration.watched_connections TO devlore_app;
ALTER FUNCTION integration.watched_connections OWNER TO devlore_search;
