-- Memories, their past versions, links, and how far each connection has read.
-- Every key leads with organisation_id: a single-column key would tell one tenant that another's row exists.

CREATE SCHEMA memory;
GRANT USAGE ON SCHEMA memory TO devlore_app, devlore_search;

CREATE TABLE memory.memory (
    organisation_id    uuid        NOT NULL,
    id                 uuid        NOT NULL,
    team_id            uuid,
    project            text,
    kind               text        NOT NULL,
    title              text        NOT NULL,
    body               text        NOT NULL,
    tags               text[]      NOT NULL DEFAULT '{}',
    source_connector   text,
    source_external_id text,
    source_url         text,
    source_author      text,
    source_updated_at  timestamptz,
    privacy            text        NOT NULL CHECK (privacy IN ('private', 'team', 'public')),
    status             text        NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'superseded', 'invalidated')),
    status_reason      text,
    valid_from         timestamptz,
    valid_to           timestamptz,
    superseded_by      uuid,
    occurred_at        timestamptz NOT NULL,
    created_at         timestamptz NOT NULL,
    updated_at         timestamptz NOT NULL,
    deleted_at         timestamptz,
    created_by         uuid        NOT NULL,
    version            integer     NOT NULL DEFAULT 1 CHECK (version > 0),
    change             text        NOT NULL DEFAULT 'created',
    changed_by         uuid        NOT NULL,
    change_reason      text,
    importance         double precision NOT NULL DEFAULT 0.5 CHECK (importance BETWEEN 0 AND 1),
    pinned             boolean     NOT NULL DEFAULT false,
    encryption         jsonb,
    trust              text        NOT NULL DEFAULT 'person' CHECK (trust IN ('person', 'connector', 'agent', 'untrusted')),
    PRIMARY KEY (organisation_id, id),
    CHECK (privacy <> 'team' OR team_id IS NOT NULL)
);
-- One memory per external item and person: a wider key would tell a caller that someone else's private row exists.
CREATE UNIQUE INDEX memory_source ON memory.memory (organisation_id, created_by, source_connector, source_external_id)
    WHERE source_external_id IS NOT NULL;
-- Without the id that orders ties: before its first ANALYZE the planner would skip-scan this index to find ids.
CREATE INDEX memory_recent ON memory.memory (organisation_id, created_at DESC);

ALTER TABLE memory.memory ENABLE ROW LEVEL SECURITY;
ALTER TABLE memory.memory FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON memory.memory AS RESTRICTIVE
    USING (organisation_id = (SELECT current_setting('app.organisation')::uuid))
    WITH CHECK (organisation_id = (SELECT current_setting('app.organisation')::uuid));
CREATE POLICY may_read ON memory.memory FOR SELECT USING (
    privacy = 'public'
    OR created_by = (SELECT current_setting('app.person')::uuid)
    OR (privacy = 'team' AND team_id = ANY ((SELECT current_setting('app.teams')::uuid[])::uuid[])));
CREATE POLICY may_create ON memory.memory FOR INSERT WITH CHECK (
    created_by = (SELECT current_setting('app.person')::uuid));
CREATE POLICY may_change ON memory.memory FOR UPDATE USING (
    privacy = 'public'
    OR created_by = (SELECT current_setting('app.person')::uuid)
    OR (privacy = 'team' AND team_id = ANY ((SELECT current_setting('app.teams')::uuid[])::uuid[])));
-- Others may edit or delete what they see, which can be undone; only its author may erase it, which cannot.
CREATE POLICY may_purge ON memory.memory FOR DELETE USING (
    created_by = (SELECT current_setting('app.person')::uuid));
GRANT SELECT, INSERT, UPDATE, DELETE ON memory.memory TO devlore_app;

-- Past states only: the current one is the row itself, so a create writes its text once.
CREATE TABLE memory.version (
    organisation_id uuid        NOT NULL,
    memory_id       uuid        NOT NULL,
    version         integer     NOT NULL,
    change          text        NOT NULL,
    changed_at      timestamptz NOT NULL,
    changed_by      uuid        NOT NULL,
    reason          text,
    state           jsonb       NOT NULL,
    PRIMARY KEY (organisation_id, memory_id, version),
    FOREIGN KEY (organisation_id, memory_id) REFERENCES memory.memory (organisation_id, id) ON DELETE CASCADE
);
ALTER TABLE memory.version ENABLE ROW LEVEL SECURITY;
ALTER TABLE memory.version FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON memory.version AS RESTRICTIVE
    USING (organisation_id = (SELECT current_setting('app.organisation')::uuid))
    WITH CHECK (organisation_id = (SELECT current_setting('app.organisation')::uuid));
-- A past state is for those it was for: what its author kept private before publishing a memory stays private.
-- And what was public once is nobody else's any more when the memory is not.
CREATE POLICY may_read ON memory.version FOR SELECT USING (
    (state->>'privacy' = 'public'
     OR (state->>'created_by')::uuid = (SELECT current_setting('app.person')::uuid)
     OR (state->>'privacy' = 'team'
         AND (state->>'team_id')::uuid = ANY ((SELECT current_setting('app.teams')::uuid[])::uuid[])))
    AND EXISTS (SELECT FROM memory.memory m WHERE m.organisation_id = version.organisation_id AND m.id = version.memory_id));
CREATE POLICY may_archive ON memory.version FOR INSERT WITH CHECK (true);
-- No DELETE: past states go with their memory, by the foreign key.
GRANT SELECT, INSERT ON memory.version TO devlore_app;

-- target_id has no foreign key: an import may bring a link before the memory it points at. Such a link is not shown.
CREATE TABLE memory.link (
    organisation_id uuid        NOT NULL,
    id              uuid        NOT NULL,
    memory_id       uuid        NOT NULL,
    type            text        NOT NULL,
    target_kind     text        NOT NULL CHECK (target_kind IN ('memory', 'url', 'commit', 'file', 'ticket')),
    target          text        NOT NULL,
    target_id       uuid,
    note            text,
    score           real,
    -- Set on what a connector's draft brought: gone from its source, it goes here too. A person's own link stays.
    connector       text,
    created_at      timestamptz NOT NULL,
    created_by      uuid        NOT NULL,
    PRIMARY KEY (organisation_id, id),
    UNIQUE (organisation_id, memory_id, type, target_kind, target),
    FOREIGN KEY (organisation_id, memory_id) REFERENCES memory.memory (organisation_id, id) ON DELETE CASCADE,
    CHECK ((target_kind = 'memory') = (target_id IS NOT NULL))
);
CREATE INDEX link_target ON memory.link (organisation_id, target_id) WHERE target_id IS NOT NULL;
ALTER TABLE memory.link ENABLE ROW LEVEL SECURITY;
ALTER TABLE memory.link FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON memory.link
    USING (organisation_id = (SELECT current_setting('app.organisation')::uuid))
    WITH CHECK (organisation_id = (SELECT current_setting('app.organisation')::uuid));
GRANT SELECT, INSERT, UPDATE, DELETE ON memory.link TO devlore_app;

-- What a source last said of a memory's status: applied when it changes, so that a person's own verdict survives the
-- next sync, and kept with the external id of a successor that may arrive later. No row: never claimed but active.
CREATE TABLE memory.claim (
    organisation_id uuid NOT NULL,
    memory_id       uuid NOT NULL,
    person_id       uuid NOT NULL,
    connector       text NOT NULL,
    status          text NOT NULL CHECK (status IN ('active', 'superseded', 'invalidated')),
    reason          text,
    successor       text,
    PRIMARY KEY (organisation_id, memory_id),
    FOREIGN KEY (organisation_id, memory_id) REFERENCES memory.memory (organisation_id, id) ON DELETE CASCADE
);
CREATE INDEX claim_successor ON memory.claim (organisation_id, person_id, connector, successor)
    WHERE successor IS NOT NULL;
ALTER TABLE memory.claim ENABLE ROW LEVEL SECURITY;
ALTER TABLE memory.claim FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON memory.claim
    USING (organisation_id = (SELECT current_setting('app.organisation')::uuid))
    WITH CHECK (organisation_id = (SELECT current_setting('app.organisation')::uuid));
GRANT SELECT, INSERT, UPDATE, DELETE ON memory.claim TO devlore_app;

-- How far a connection has read, written in the transaction of the memories it covers.
CREATE TABLE memory.checkpoint (
    organisation_id uuid        NOT NULL,
    connection_id   uuid        NOT NULL,
    checkpoint      jsonb       NOT NULL,
    updated_at      timestamptz NOT NULL,
    PRIMARY KEY (organisation_id, connection_id)
);
ALTER TABLE memory.checkpoint ENABLE ROW LEVEL SECURITY;
ALTER TABLE memory.checkpoint FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON memory.checkpoint
    USING (organisation_id = (SELECT current_setting('app.organisation')::uuid))
    WITH CHECK (organisation_id = (SELECT current_setting('app.organisation')::uuid));
GRANT SELECT, INSERT, UPDATE, DELETE ON memory.checkpoint TO devlore_app;

-- Rebuilding an index reads every organisation's rows; only this function may.
GRANT SELECT ON memory.memory TO devlore_search;
CREATE FUNCTION memory.scan(after_organisation uuid, after_id uuid, most integer) RETURNS SETOF memory.memory
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, memory
AS $$
    SELECT m.* FROM memory.memory m
    WHERE (m.organisation_id, m.id) > (after_organisation, after_id) AND m.deleted_at IS NULL
    ORDER BY m.organisation_id, m.id LIMIT most
$$;
REVOKE ALL ON FUNCTION memory.scan FROM PUBLIC;
GRANT EXECUTE ON FUNCTION memory.scan TO devlore_app;
ALTER FUNCTION memory.scan OWNER TO devlore_search;

CREATE FUNCTION memory.count_all() RETURNS bigint
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, memory
AS $$ SELECT count(*) FROM memory.memory m WHERE m.deleted_at IS NULL $$;
REVOKE ALL ON FUNCTION memory.count_all FROM PUBLIC;
GRANT EXECUTE ON FUNCTION memory.count_all TO devlore_app;
ALTER FUNCTION memory.count_all OWNER TO devlore_search;

-- Which of these memories a caller may see, in one round trip: it says itself who asks, until the end of the
-- transaction, and reads as whoever calls it (SECURITY INVOKER), so that row-level security decides and nobody can do
-- with it what they could not do without. What is null is nobody: no row. One look-up in the primary key for each id,
-- whatever the planner believed of the table when the plan was made.
CREATE FUNCTION memory.visible(organisation uuid, person uuid, teams uuid[], ids uuid[]) RETURNS SETOF memory.memory
LANGUAGE plpgsql STRICT SECURITY INVOKER
SET search_path = pg_catalog, memory SET jit = off SET enable_seqscan = off SET enable_hashjoin = off
SET enable_mergejoin = off
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
REVOKE ALL ON FUNCTION memory.visible FROM PUBLIC;
GRANT EXECUTE ON FUNCTION memory.visible TO devlore_app;

-- New memories with their events and leaves, in one round trip: it says itself who asks, until the end of the transaction, and
-- writes as whoever calls it. What loses to a row with the same id, or the same source item of the same person, is left
-- out with its event and leaf; the ids that were stored are answered, null (and nothing stored) when the audit trail is
-- not ready for the leaves.
CREATE FUNCTION memory.store_new(of_organisation uuid, by_person uuid, teams uuid[], records json, events jsonb,
                                 leaves json, moment timestamptz, pseudonyms uuid[])
RETURNS uuid[]
LANGUAGE plpgsql STRICT SECURITY INVOKER
AS $$
DECLARE
    stored uuid[];
BEGIN
    PERFORM set_config('app.organisation', of_organisation::text, true),
            set_config('app.person', by_person::text, true), set_config('app.teams', teams::text, true);
    IF NOT audit.ready(moment, pseudonyms) THEN
        RETURN NULL;
    END IF;
    WITH inserted AS (
        INSERT INTO memory.memory (organisation_id, id, team_id, project, kind, title, body, tags, source_connector,
            source_external_id, source_url, source_author, source_updated_at, privacy, status, status_reason,
            valid_from, valid_to, superseded_by, occurred_at, created_at, updated_at, deleted_at, created_by, version, importance,
            pinned, encryption, trust, change, changed_by, change_reason)
        SELECT of_organisation, r.id, r.team_id, r.project, r.kind, r.title, r.body, r.tags, r.source_connector,
            r.source_external_id, r.source_url, r.source_author, r.source_updated_at, r.privacy, r.status,
            r.status_reason, r.valid_from, r.valid_to, r.superseded_by, r.occurred_at, r.created_at, r.updated_at,
            r.deleted_at, r.created_by, r.version, r.importance, r.pinned, r.encryption, r.trust, r.change, by_person,
            r.change_reason
        FROM json_to_recordset(records) AS
            r(id uuid, team_id uuid, project text, kind text, title text, body text, tags text[], source_connector text,
              source_external_id text, source_url text, source_author text, source_updated_at timestamptz, privacy text,
              status text, status_reason text, valid_from timestamptz, valid_to timestamptz, superseded_by uuid,
              occurred_at timestamptz, created_at timestamptz, updated_at timestamptz, deleted_at timestamptz,
              created_by uuid, version integer, importance double precision, pinned boolean, encryption jsonb,
              trust text, change text, change_reason text)
        ON CONFLICT DO NOTHING
        RETURNING id)
    SELECT coalesce(array_agg(id), '{}') INTO stored FROM inserted;
    IF cardinality(stored) < jsonb_array_length(events) THEN
        events := (SELECT coalesce(jsonb_agg(e ORDER BY place), '[]')
                   FROM jsonb_array_elements(events) WITH ORDINALITY AS given(e, place)
                   WHERE (e->>'subject')::uuid = ANY (stored));
        leaves := (SELECT coalesce(json_agg(l ORDER BY place), '[]')
                   FROM json_array_elements(leaves) WITH ORDINALITY AS given(l, place)
                   WHERE (l->'targets'->0->>'id')::uuid = ANY (stored));
    END IF;
    PERFORM log.append(events), audit.append(leaves);
    RETURN stored;
END
$$;
REVOKE ALL ON FUNCTION memory.store_new FROM PUBLIC;
GRANT EXECUTE ON FUNCTION memory.store_new TO devlore_app;
