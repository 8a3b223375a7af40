CREATE SCHEMA audit;

ALTER SCHEMA audit OWNER TO devlore_owner;

CREATE SCHEMA gateway;

ALTER SCHEMA gateway OWNER TO devlore_owner;

CREATE SCHEMA identity;

ALTER SCHEMA identity OWNER TO devlore_owner;

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

CREATE FUNCTION audit.append(leaves json) RETURNS boolean
    LANGUAGE plpgsql STRICT
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

ALTER FUNCTION audit.append(leaves json) OWNER TO devlore_owner;

CREATE FUNCTION audit.ensure_month(moment timestamp with time zone) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'audit'
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

ALTER FUNCTION audit.ensure_month(moment timestamp with time zone) OWNER TO devlore_owner;

CREATE TABLE audit.leaf (
    organisation_id uuid NOT NULL,
    id uuid NOT NULL,
    xid xid8 DEFAULT pg_current_xact_id() NOT NULL,
    occurred_at timestamp with time zone NOT NULL,
    actor_type text NOT NULL,
    actor_id uuid,
    action text NOT NULL,
    targets jsonb NOT NULL,
    result text NOT NULL,
    context jsonb NOT NULL,
    hash bytea NOT NULL,
    target_id text GENERATED ALWAYS AS (((targets -> 0) ->> 'id'::text)) STORED,
    second_id text GENERATED ALWAYS AS (((targets -> 1) ->> 'id'::text)) STORED,
    CONSTRAINT leaf_actor_type_check CHECK ((actor_type = ANY (ARRAY['person'::text, 'system'::text, 'nobody'::text]))),
    CONSTRAINT leaf_check CHECK (((actor_type = 'person'::text) = (actor_id IS NOT NULL))),
    CONSTRAINT leaf_hash_check CHECK ((length(hash) = 32)),
    CONSTRAINT leaf_result_check CHECK ((result = ANY (ARRAY['ok'::text, 'refused'::text, 'failed'::text])))
)
PARTITION BY RANGE (occurred_at);

ALTER TABLE ONLY audit.leaf FORCE ROW LEVEL SECURITY;

ALTER TABLE audit.leaf OWNER TO devlore_owner;

CREATE FUNCTION audit.follow(after_xid xid8, after_id uuid, since timestamp with time zone, until timestamp with time zone, actions text[], actor_types text[], actors uuid[], about text[], results text[], most integer) RETURNS SETOF audit.leaf
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'audit'
    SET plan_cache_mode TO 'force_custom_plan'
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

ALTER FUNCTION audit.follow(after_xid xid8, after_id uuid, since timestamp with time zone, until timestamp with time zone, actions text[], actor_types text[], actors uuid[], about text[], results text[], most integer) OWNER TO devlore_audit;

CREATE FUNCTION audit.newest(before_at timestamp with time zone, before_id uuid, since timestamp with time zone, actions text[], actor_types text[], actors uuid[], about text[], results text[], most integer) RETURNS SETOF audit.leaf
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'audit'
    SET plan_cache_mode TO 'force_custom_plan'
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

ALTER FUNCTION audit.newest(before_at timestamp with time zone, before_id uuid, since timestamp with time zone, actions text[], actor_types text[], actors uuid[], about text[], results text[], most integer) OWNER TO devlore_audit;

CREATE FUNCTION audit.of_context() RETURNS uuid
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog'
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

ALTER FUNCTION audit.of_context() OWNER TO devlore_owner;

CREATE FUNCTION audit.prepare(moment timestamp with time zone, kinds text[], names text[], OUT created boolean, OUT ids uuid[]) RETURNS record
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'audit'
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

ALTER FUNCTION audit.prepare(moment timestamp with time zone, kinds text[], names text[], OUT created boolean, OUT ids uuid[]) OWNER TO devlore_owner;

CREATE FUNCTION audit.ready(moment timestamp with time zone, pseudonyms uuid[]) RETURNS boolean
    LANGUAGE plpgsql STABLE STRICT
    AS $$
BEGIN
    RETURN to_regclass(to_char(moment AT TIME ZONE 'UTC', '"audit.leaf_"YYYY_MM')) IS NOT NULL
       AND (SELECT count(*) FROM audit.pseudonym p
            WHERE p.organisation_id = (SELECT current_setting('app.organisation')::uuid)
              AND p.id = ANY (pseudonyms)) = cardinality(pseudonyms);
END
$$;

ALTER FUNCTION audit.ready(moment timestamp with time zone, pseudonyms uuid[]) OWNER TO devlore_owner;

CREATE FUNCTION audit.settled(OUT xid xid8, OUT id uuid, OUT unreached xid8) RETURNS record
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'audit'
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

ALTER FUNCTION audit.settled(OUT xid xid8, OUT id uuid, OUT unreached xid8) OWNER TO devlore_audit;

CREATE FUNCTION gateway.answer(of_organisation uuid, of_person uuid, of_key text, by_claim uuid, its_subject uuid, its_scopes text[], its_status smallint, its_headers jsonb, its_body bytea) RETURNS boolean
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
    SET subject = its_subject, scopes = its_scopes, status = its_status,
        headers = CASE WHEN NOT erased THEN its_headers END, body = CASE WHEN NOT erased THEN its_body END
    WHERE i.organisation_id = of_organisation AND i.person_id = of_person AND i.key = of_key AND i.claim = by_claim;
    RETURN FOUND;
END
$$;

ALTER FUNCTION gateway.answer(of_organisation uuid, of_person uuid, of_key text, by_claim uuid, its_subject uuid, its_scopes text[], its_status smallint, its_headers jsonb, its_body bytea) OWNER TO devlore_owner;

CREATE FUNCTION gateway.claim(of_organisation uuid, of_person uuid, of_key text, of_fingerprint bytea, by_claim uuid, lease double precision, keep double precision) RETURNS TABLE(mine boolean, fingerprint bytea, subject uuid, scopes text[], status smallint, headers jsonb, body bytea)
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
        expires_at = excluded.expires_at, subject = NULL, scopes = NULL, status = NULL, headers = NULL, body = NULL
    WHERE known.expires_at < clock_timestamp()
       OR (known.status IS NULL AND known.fingerprint = excluded.fingerprint
           AND (known.leased_until < clock_timestamp() OR known.claim = excluded.claim));
    IF FOUND THEN
        RETURN QUERY SELECT true, NULL::bytea, NULL::uuid, NULL::text[], NULL::smallint, NULL::jsonb, NULL::bytea;
    ELSE
        RETURN QUERY SELECT false, i.fingerprint, i.subject, i.scopes, i.status, i.headers, i.body
            FROM gateway.idempotency i
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

CREATE FUNCTION gateway.erase_all(of_organisation uuid) RETURNS bigint
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'gateway'
    AS $$
    WITH deleted AS (
        DELETE FROM gateway.idempotency i WHERE i.organisation_id = of_organisation RETURNING 1)
    SELECT count(*) FROM deleted
$$;

ALTER FUNCTION gateway.erase_all(of_organisation uuid) OWNER TO devlore_owner;

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

CREATE FUNCTION identity.due_organisations(moment timestamp with time zone, most integer) RETURNS SETOF uuid
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'identity'
    AS $$
    SELECT o.organisation_id FROM identity.organisation o
    WHERE o.delete_after <= moment ORDER BY o.delete_after LIMIT most
$$;

ALTER FUNCTION identity.due_organisations(moment timestamp with time zone, most integer) OWNER TO devlore_identity;

CREATE FUNCTION identity.find_by_device(of_digest bytea) RETURNS TABLE(organisation_id uuid, person_id uuid)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'identity'
    AS $$
    SELECT d.in_organisation, d.person_id FROM identity.device d
    WHERE d.digest = of_digest AND d.person_id IS NOT NULL
$$;

ALTER FUNCTION identity.find_by_device(of_digest bytea) OWNER TO devlore_identity;

CREATE FUNCTION identity.find_by_email(of_email text) RETURNS uuid
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'identity'
    AS $$ SELECT p.id FROM identity.person p WHERE p.email = of_email AND p.kind = 'human' AND p.disabled_at IS NULL $$;

ALTER FUNCTION identity.find_by_email(of_email text) OWNER TO devlore_identity;

CREATE FUNCTION identity.find_by_passkey(of_credential bytea) RETURNS uuid
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'identity'
    AS $$
    SELECT k.person_id FROM identity.passkey k JOIN identity.person p ON p.id = k.person_id
    WHERE k.credential_id = of_credential AND p.disabled_at IS NULL
$$;

ALTER FUNCTION identity.find_by_passkey(of_credential bytea) OWNER TO devlore_identity;

CREATE FUNCTION identity.find_cookie(of_cookie bytea, moment timestamp with time zone) RETURNS TABLE(organisation_id uuid, id uuid, person_id uuid, role text, teams uuid[], authenticated_at timestamp with time zone, last_seen_at timestamp with time zone, expires_at timestamp with time zone)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'identity'
    AS $$
    SELECT s.organisation_id, s.id, s.person_id, now.role, now.teams, s.authenticated_at, s.last_seen_at, s.expires_at
    FROM identity.session s CROSS JOIN LATERAL identity.standing(s.person_id, s.organisation_id) AS now
    WHERE s.cookie = of_cookie AND s.revoked_at IS NULL AND s.expires_at > moment AND s.epoch = now.epoch
$$;

ALTER FUNCTION identity.find_cookie(of_cookie bytea, moment timestamp with time zone) OWNER TO devlore_identity;

CREATE FUNCTION identity.find_invitation(of_digest bytea) RETURNS TABLE(organisation_id uuid, id uuid)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'identity'
    AS $$ SELECT i.organisation_id, i.id FROM identity.invitation i WHERE i.digest = of_digest $$;

ALTER FUNCTION identity.find_invitation(of_digest bytea) OWNER TO devlore_identity;

CREATE FUNCTION identity.find_key(of_key_id text, of_digest bytea, moment timestamp with time zone) RETURNS TABLE(organisation_id uuid, id uuid, person_id uuid, role text, teams uuid[], scopes text[], networks text[], created_at timestamp with time zone, expires_at timestamp with time zone, last_used_at timestamp with time zone)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'identity'
    AS $$
    SELECT k.organisation_id, k.id, k.person_id, now.role, now.teams, k.scopes, k.networks, k.created_at, k.expires_at,
           k.last_used_at
    FROM identity.api_key k CROSS JOIN LATERAL identity.standing(k.person_id, k.organisation_id) AS now
    WHERE k.key_id = of_key_id AND k.digest = of_digest AND k.revoked_at IS NULL
      AND (k.expires_at IS NULL OR k.expires_at > moment)
$$;

ALTER FUNCTION identity.find_key(of_key_id text, of_digest bytea, moment timestamp with time zone) OWNER TO devlore_identity;

CREATE FUNCTION identity.find_refresh(of_digest bytea) RETURNS TABLE(organisation_id uuid, session_id uuid, person_id uuid)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'identity'
    AS $$ SELECT r.organisation_id, r.session_id, r.person_id FROM identity.refresh r WHERE r.digest = of_digest $$;

ALTER FUNCTION identity.find_refresh(of_digest bytea) OWNER TO devlore_identity;

CREATE FUNCTION identity.find_session(of_id uuid, moment timestamp with time zone) RETURNS TABLE(organisation_id uuid, id uuid, person_id uuid, role text, teams uuid[], authenticated_at timestamp with time zone, last_seen_at timestamp with time zone, expires_at timestamp with time zone)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'identity'
    AS $$
    SELECT s.organisation_id, s.id, s.person_id, now.role, now.teams, s.authenticated_at, s.last_seen_at, s.expires_at
    FROM identity.session s CROSS JOIN LATERAL identity.standing(s.person_id, s.organisation_id) AS now
    WHERE s.id = of_id AND s.revoked_at IS NULL AND s.expires_at > moment AND s.epoch = now.epoch
$$;

ALTER FUNCTION identity.find_session(of_id uuid, moment timestamp with time zone) OWNER TO devlore_identity;

CREATE FUNCTION identity.forget_credentials(moment timestamp with time zone, most integer) RETURNS bigint
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'identity'
    AS $$
    WITH sessions AS (
        DELETE FROM identity.session WHERE (organisation_id, id) IN (
            SELECT s.organisation_id, s.id FROM identity.session s
            WHERE s.expires_at < moment - interval '30 days' LIMIT most) RETURNING 1),
    challenges AS (
        DELETE FROM identity.challenge WHERE digest IN (
            SELECT c.digest FROM identity.challenge c WHERE c.expires_at < moment LIMIT most) RETURNING 1),
    devices AS (
        DELETE FROM identity.device WHERE digest IN (
            SELECT d.digest FROM identity.device d WHERE d.expires_at < moment - interval '1 hour' LIMIT most)
        RETURNING 1),
    keys AS (
        DELETE FROM identity.signing_key WHERE retires_at < moment - interval '1 day' RETURNING 1)
    SELECT (SELECT count(*) FROM sessions) + (SELECT count(*) FROM challenges) + (SELECT count(*) FROM devices)
         + (SELECT count(*) FROM keys)
$$;

ALTER FUNCTION identity.forget_credentials(moment timestamp with time zone, most integer) OWNER TO devlore_identity;

CREATE FUNCTION identity.forget_networks(before timestamp with time zone, most integer) RETURNS bigint
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'identity'
    AS $$
    WITH gone AS (
        DELETE FROM identity.familiar_network WHERE (person_id, network) IN (
            SELECT f.person_id, f.network FROM identity.familiar_network f WHERE f.seen_at < before LIMIT most)
        RETURNING 1)
    SELECT count(*) FROM gone
$$;

ALTER FUNCTION identity.forget_networks(before timestamp with time zone, most integer) OWNER TO devlore_identity;

CREATE FUNCTION identity.is_familiar(of_email text, of_person uuid, from_network text, since timestamp with time zone) RETURNS boolean
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'identity'
    AS $$
    SELECT EXISTS (
        SELECT FROM identity.familiar_network f JOIN identity.person p ON p.id = f.person_id
        WHERE (p.email = of_email OR p.id = of_person) AND f.network = from_network AND f.seen_at > since)
$$;

ALTER FUNCTION identity.is_familiar(of_email text, of_person uuid, from_network text, since timestamp with time zone) OWNER TO devlore_identity;

CREATE FUNCTION identity.keys_left_by(of_person uuid) RETURNS TABLE(id uuid, person_id uuid)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'identity'
    AS $$
    SELECT k.id, k.person_id FROM identity.api_key k
    WHERE k.organisation_id = (SELECT current_setting('app.organisation')::uuid)
      AND k.created_by = of_person AND k.person_id <> of_person
      AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > now())
    ORDER BY k.id
$$;

ALTER FUNCTION identity.keys_left_by(of_person uuid) OWNER TO devlore_identity;

CREATE FUNCTION identity.owner_of_key(of_id uuid) RETURNS uuid
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'identity'
    AS $$
    SELECT k.person_id FROM identity.api_key k
    WHERE k.organisation_id = (SELECT current_setting('app.organisation')::uuid) AND k.id = of_id
$$;

ALTER FUNCTION identity.owner_of_key(of_id uuid) OWNER TO devlore_identity;

CREATE FUNCTION identity.standing(of_person uuid, of_organisation uuid) RETURNS TABLE(role text, teams uuid[], epoch integer)
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'identity'
    AS $$
    SELECT m.role, array(SELECT t.team_id FROM identity.team_member t
                         WHERE t.organisation_id = m.organisation_id AND t.person_id = m.person_id ORDER BY t.team_id),
           p.epoch
    FROM identity.membership m
    JOIN identity.organisation o ON o.organisation_id = m.organisation_id
    JOIN identity.person p ON p.id = m.person_id
    WHERE m.organisation_id = of_organisation AND m.person_id = of_person AND p.disabled_at IS NULL
      AND (o.delete_after IS NULL OR m.role = 'owner')
$$;

ALTER FUNCTION identity.standing(of_person uuid, of_organisation uuid) OWNER TO devlore_identity;

CREATE FUNCTION integration.disconnect(of_person uuid, until timestamp with time zone) RETURNS SETOF uuid
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'integration'
    AS $$
    DELETE FROM integration.connection c
    WHERE c.organisation_id = current_setting('app.organisation')::uuid
      AND (of_person IS NULL OR c.created_by = of_person) AND c.created_at <= until
    RETURNING c.id
$$;

ALTER FUNCTION integration.disconnect(of_person uuid, until timestamp with time zone) OWNER TO devlore_owner;

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

CREATE FUNCTION log.append(events jsonb) RETURNS void
    LANGUAGE plpgsql STRICT
    AS $$
BEGIN
    INSERT INTO log.event (organisation_id, id, type, subject, version, audience, occurred_at, data)
    SELECT e.organisation_id, e.id, e.type, e.subject, e.version, e.audience, e.occurred_at, e.data
    FROM jsonb_to_recordset(events) AS e(organisation_id uuid, id uuid, type text, subject uuid, version integer,
                                         audience uuid, occurred_at timestamptz, data jsonb);
END
$$;

ALTER FUNCTION log.append(events jsonb) OWNER TO devlore_owner;

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

CREATE FUNCTION log.read_after(after_xid xid8, after_seq bigint, types text[], most integer) RETURNS TABLE(xid xid8, seq bigint, organisation_id uuid, id uuid, type text, subject uuid, version integer, audience uuid, occurred_at timestamp with time zone, data jsonb)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'log'
    AS $$
    SELECT e.xid, e.seq, e.organisation_id, e.id, e.type, e.subject, e.version, e.audience, e.occurred_at, e.data
    FROM log.event e
    WHERE (e.xid, e.seq) > (after_xid, after_seq)
      AND e.xid < pg_snapshot_xmin(pg_current_snapshot())
      AND e.type = ANY (types)
    ORDER BY e.xid, e.seq
    LIMIT most
$$;

ALTER FUNCTION log.read_after(after_xid xid8, after_seq bigint, types text[], most integer) OWNER TO devlore_search;

CREATE FUNCTION log.read_parked(of_consumer text) RETURNS TABLE(organisation_id uuid, id uuid, type text, subject uuid, version integer, audience uuid, occurred_at timestamp with time zone, data jsonb)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'log'
    AS $$
    SELECT e.organisation_id, e.id, e.type, e.subject, e.version, e.audience, e.occurred_at, e.data
    FROM log.parked p JOIN log.event e ON e.organisation_id = p.organisation_id AND e.id = p.event_id
    WHERE p.consumer = of_consumer ORDER BY e.xid, e.seq
$$;

ALTER FUNCTION log.read_parked(of_consumer text) OWNER TO devlore_search;

CREATE FUNCTION memory.count_all() RETURNS bigint
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'memory'
    AS $$ SELECT count(*) FROM memory.memory m WHERE m.deleted_at IS NULL $$;

ALTER FUNCTION memory.count_all() OWNER TO devlore_search;

CREATE FUNCTION memory.erase_some(most integer) RETURNS TABLE(id uuid, version integer)
    LANGUAGE sql STRICT SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'memory'
    AS $$
    DELETE FROM memory.memory m
    WHERE m.organisation_id = current_setting('app.organisation')::uuid
      AND m.id IN (SELECT o.id FROM memory.memory o
                   WHERE o.organisation_id = current_setting('app.organisation')::uuid
                   ORDER BY o.id LIMIT most FOR UPDATE)
    RETURNING m.id, m.version
$$;

ALTER FUNCTION memory.erase_some(most integer) OWNER TO devlore_owner;

CREATE FUNCTION memory.hand_over(heir uuid, ids uuid[]) RETURNS void
    LANGUAGE plpgsql STRICT SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'memory'
    AS $$
DECLARE
    tenant uuid := current_setting('app.organisation')::uuid;
    giver  uuid := current_setting('app.person')::uuid;
BEGIN
    ids := array(SELECT m.id FROM memory.memory m
                 WHERE m.organisation_id = tenant AND m.id = ANY (ids) AND m.created_by = giver
                   AND m.privacy = 'private' FOR UPDATE);
    UPDATE memory.version v SET state = jsonb_set(v.state, '{created_by}', to_jsonb(heir))
    WHERE v.organisation_id = tenant AND v.memory_id = ANY (ids)
      AND v.state->>'privacy' = 'private' AND v.state->>'created_by' = giver::text;
    UPDATE memory.claim c SET person_id = heir WHERE c.organisation_id = tenant AND c.memory_id = ANY (ids);
    UPDATE memory.memory m SET created_by = heir, source_external_id = CASE WHEN NOT EXISTS (
            SELECT FROM memory.memory o
            WHERE o.organisation_id = tenant AND o.created_by = heir AND o.source_connector = m.source_connector
              AND o.source_external_id = m.source_external_id) THEN m.source_external_id END
    WHERE m.organisation_id = tenant AND m.id = ANY (ids);
END
$$;

ALTER FUNCTION memory.hand_over(heir uuid, ids uuid[]) OWNER TO devlore_owner;

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

CREATE FUNCTION memory.store_new(of_organisation uuid, by_person uuid, teams uuid[], records json, events jsonb, leaves json, moment timestamp with time zone, pseudonyms uuid[]) RETURNS uuid[]
    LANGUAGE plpgsql STRICT
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

ALTER FUNCTION memory.store_new(of_organisation uuid, by_person uuid, teams uuid[], records json, events jsonb, leaves json, moment timestamp with time zone, pseudonyms uuid[]) OWNER TO devlore_owner;

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
    SET lock_timeout TO '1s'
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

CREATE FUNCTION search.nearest(tenant uuid, audiences uuid[], of_model smallint, target public.halfvec, most integer, only_active boolean, wanted jsonb, unwanted jsonb, width integer) RETURNS TABLE(memory_id uuid, score real, ordinal smallint, starts integer, ends integer, exact boolean)
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
$_$;

ALTER FUNCTION search.nearest(tenant uuid, audiences uuid[], of_model smallint, target public.halfvec, most integer, only_active boolean, wanted jsonb, unwanted jsonb, width integer) OWNER TO devlore_search;

CREATE FUNCTION search.nearest_superseded(tenant uuid, audiences uuid[], of_model smallint, target public.halfvec, most integer, wanted jsonb, unwanted jsonb) RETURNS TABLE(memory_id uuid, score real, ordinal smallint, starts integer, ends integer)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'search'
    SET jit TO 'off'
    AS $_$
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
$_$;

ALTER FUNCTION search.nearest_superseded(tenant uuid, audiences uuid[], of_model smallint, target public.halfvec, most integer, wanted jsonb, unwanted jsonb) OWNER TO devlore_search;

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

CREATE TABLE audit.pseudonym (
    organisation_id uuid NOT NULL,
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    kind text NOT NULL,
    value text NOT NULL,
    CONSTRAINT pseudonym_kind_check CHECK ((kind = ANY (ARRAY['person'::text, 'email'::text, 'network'::text]))),
    CONSTRAINT pseudonym_value_check CHECK ((length(value) <= 500))
);

ALTER TABLE ONLY audit.pseudonym FORCE ROW LEVEL SECURITY;

ALTER TABLE audit.pseudonym OWNER TO devlore_owner;

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
    scopes text[],
    CONSTRAINT idempotency_key_check CHECK (((length(key) >= 1) AND (length(key) <= 255)))
);

ALTER TABLE ONLY gateway.idempotency FORCE ROW LEVEL SECURITY;

ALTER TABLE gateway.idempotency OWNER TO devlore_owner;

CREATE TABLE identity.api_key (
    organisation_id uuid NOT NULL,
    id uuid NOT NULL,
    person_id uuid NOT NULL,
    key_id text NOT NULL,
    digest bytea NOT NULL,
    name text NOT NULL,
    scopes text[],
    networks text[] DEFAULT '{}'::text[] NOT NULL,
    created_by uuid NOT NULL,
    created_at timestamp with time zone NOT NULL,
    expires_at timestamp with time zone,
    last_used_at timestamp with time zone,
    revoked_at timestamp with time zone,
    CONSTRAINT api_key_digest_check CHECK ((length(digest) = 32))
);

ALTER TABLE ONLY identity.api_key FORCE ROW LEVEL SECURITY;

ALTER TABLE identity.api_key OWNER TO devlore_owner;

CREATE TABLE identity.challenge (
    digest bytea NOT NULL,
    person_id uuid NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    CONSTRAINT challenge_digest_check CHECK ((length(digest) = 32))
);

ALTER TABLE ONLY identity.challenge FORCE ROW LEVEL SECURITY;

ALTER TABLE identity.challenge OWNER TO devlore_owner;

CREATE TABLE identity.departure (
    organisation_id uuid NOT NULL,
    id uuid NOT NULL,
    person_id uuid NOT NULL,
    name text NOT NULL,
    created_at timestamp with time zone NOT NULL,
    requested_by uuid NOT NULL,
    action text,
    to_person uuid,
    settled_by uuid,
    settled_at timestamp with time zone,
    CONSTRAINT departure_action_check CHECK ((action = ANY (ARRAY['transfer'::text, 'purge'::text]))),
    CONSTRAINT departure_check CHECK (((action IS NULL) = (settled_at IS NULL))),
    CONSTRAINT departure_check1 CHECK (((NOT (action IS DISTINCT FROM 'transfer'::text)) = (to_person IS NOT NULL)))
);

ALTER TABLE ONLY identity.departure FORCE ROW LEVEL SECURITY;

ALTER TABLE identity.departure OWNER TO devlore_owner;

CREATE TABLE identity.device (
    digest bytea NOT NULL,
    user_code bytea NOT NULL,
    user_agent text,
    network text,
    created_at timestamp with time zone NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    polled_at timestamp with time zone,
    interval_seconds integer NOT NULL,
    person_id uuid,
    in_organisation uuid,
    authenticated_at timestamp with time zone,
    approved boolean,
    CONSTRAINT device_check CHECK ((((person_id IS NULL) = (approved IS NULL)) AND ((person_id IS NULL) = (in_organisation IS NULL)))),
    CONSTRAINT device_digest_check CHECK ((length(digest) = 32)),
    CONSTRAINT device_user_code_check CHECK ((length(user_code) = 32))
);

ALTER TABLE ONLY identity.device FORCE ROW LEVEL SECURITY;

ALTER TABLE identity.device OWNER TO devlore_owner;

CREATE TABLE identity.familiar_network (
    person_id uuid NOT NULL,
    network text NOT NULL,
    seen_at timestamp with time zone NOT NULL
);

ALTER TABLE ONLY identity.familiar_network FORCE ROW LEVEL SECURITY;

ALTER TABLE identity.familiar_network OWNER TO devlore_owner;

CREATE TABLE identity.instance (
    only_one boolean DEFAULT true NOT NULL,
    tier text NOT NULL,
    CONSTRAINT instance_only_one_check CHECK (only_one),
    CONSTRAINT instance_tier_check CHECK ((tier = ANY (ARRAY['individual'::text, 'team'::text])))
);

ALTER TABLE identity.instance OWNER TO devlore_owner;

CREATE TABLE identity.invitation (
    organisation_id uuid NOT NULL,
    id uuid NOT NULL,
    digest bytea NOT NULL,
    role text NOT NULL,
    email text,
    teams uuid[] DEFAULT '{}'::uuid[] NOT NULL,
    person_id uuid,
    created_by uuid,
    created_at timestamp with time zone NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    accepted_at timestamp with time zone,
    accepted_by uuid,
    revoked_at timestamp with time zone,
    CONSTRAINT invitation_check CHECK (((accepted_at IS NULL) = (accepted_by IS NULL))),
    CONSTRAINT invitation_check1 CHECK (((accepted_at IS NULL) OR (revoked_at IS NULL))),
    CONSTRAINT invitation_digest_check CHECK ((length(digest) = 32)),
    CONSTRAINT invitation_email_check CHECK ((email = lower(email))),
    CONSTRAINT invitation_role_check CHECK ((role = ANY (ARRAY['viewer'::text, 'member'::text, 'admin'::text, 'owner'::text])))
);

ALTER TABLE ONLY identity.invitation FORCE ROW LEVEL SECURITY;

ALTER TABLE identity.invitation OWNER TO devlore_owner;

CREATE TABLE identity.membership (
    organisation_id uuid NOT NULL,
    person_id uuid NOT NULL,
    role text NOT NULL,
    created_at timestamp with time zone NOT NULL,
    invited_by uuid,
    CONSTRAINT membership_role_check CHECK ((role = ANY (ARRAY['viewer'::text, 'member'::text, 'admin'::text, 'owner'::text])))
);

ALTER TABLE ONLY identity.membership FORCE ROW LEVEL SECURITY;

ALTER TABLE identity.membership OWNER TO devlore_owner;

CREATE TABLE identity.organisation (
    organisation_id uuid NOT NULL,
    name text NOT NULL,
    created_at timestamp with time zone NOT NULL,
    created_by uuid,
    version integer DEFAULT 1 NOT NULL,
    delete_after timestamp with time zone
);

ALTER TABLE ONLY identity.organisation FORCE ROW LEVEL SECURITY;

ALTER TABLE identity.organisation OWNER TO devlore_owner;

CREATE TABLE identity.passkey (
    person_id uuid NOT NULL,
    id uuid NOT NULL,
    credential_id bytea NOT NULL,
    public_key bytea NOT NULL,
    sign_count bigint NOT NULL,
    backed_up boolean NOT NULL,
    name text NOT NULL,
    created_at timestamp with time zone NOT NULL,
    last_used_at timestamp with time zone,
    CONSTRAINT passkey_credential_id_check CHECK (((length(credential_id) >= 1) AND (length(credential_id) <= 1023)))
);

ALTER TABLE ONLY identity.passkey FORCE ROW LEVEL SECURITY;

ALTER TABLE identity.passkey OWNER TO devlore_owner;

CREATE TABLE identity.password (
    person_id uuid NOT NULL,
    hash text NOT NULL,
    long boolean NOT NULL,
    changed_at timestamp with time zone NOT NULL
);

ALTER TABLE ONLY identity.password FORCE ROW LEVEL SECURITY;

ALTER TABLE identity.password OWNER TO devlore_owner;

CREATE TABLE identity.person (
    id uuid NOT NULL,
    kind text NOT NULL,
    name text NOT NULL,
    email text,
    epoch integer DEFAULT 1 NOT NULL,
    created_at timestamp with time zone NOT NULL,
    disabled_at timestamp with time zone,
    CONSTRAINT person_check CHECK (((kind = 'human'::text) OR (email IS NULL))),
    CONSTRAINT person_email_check CHECK ((email = lower(email))),
    CONSTRAINT person_kind_check CHECK ((kind = ANY (ARRAY['human'::text, 'service'::text])))
);

ALTER TABLE ONLY identity.person FORCE ROW LEVEL SECURITY;

ALTER TABLE identity.person OWNER TO devlore_owner;

CREATE TABLE identity.refresh (
    organisation_id uuid NOT NULL,
    digest bytea NOT NULL,
    session_id uuid NOT NULL,
    person_id uuid NOT NULL,
    issued_at timestamp with time zone NOT NULL,
    used_at timestamp with time zone,
    CONSTRAINT refresh_digest_check CHECK ((length(digest) = 32))
);

ALTER TABLE ONLY identity.refresh FORCE ROW LEVEL SECURITY;

ALTER TABLE identity.refresh OWNER TO devlore_owner;

CREATE TABLE identity.session (
    organisation_id uuid NOT NULL,
    id uuid NOT NULL,
    person_id uuid NOT NULL,
    cookie bytea,
    epoch integer NOT NULL,
    user_agent text,
    network text,
    created_at timestamp with time zone NOT NULL,
    authenticated_at timestamp with time zone NOT NULL,
    last_seen_at timestamp with time zone NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    revoked_at timestamp with time zone,
    CONSTRAINT session_cookie_check CHECK ((length(cookie) = 32))
);

ALTER TABLE ONLY identity.session FORCE ROW LEVEL SECURITY;

ALTER TABLE identity.session OWNER TO devlore_owner;

CREATE TABLE identity.signing_key (
    kid text NOT NULL,
    public bytea NOT NULL,
    private bytea NOT NULL,
    sealed_by text NOT NULL,
    created_at timestamp with time zone NOT NULL,
    retires_at timestamp with time zone,
    CONSTRAINT signing_key_private_check CHECK ((length(private) = 60)),
    CONSTRAINT signing_key_public_check CHECK ((length(public) = 32))
);

ALTER TABLE identity.signing_key OWNER TO devlore_owner;

CREATE TABLE identity.team (
    organisation_id uuid NOT NULL,
    id uuid NOT NULL,
    name text NOT NULL,
    created_at timestamp with time zone NOT NULL,
    version integer DEFAULT 1 NOT NULL
);

ALTER TABLE ONLY identity.team FORCE ROW LEVEL SECURITY;

ALTER TABLE identity.team OWNER TO devlore_owner;

CREATE TABLE identity.team_member (
    organisation_id uuid NOT NULL,
    team_id uuid NOT NULL,
    person_id uuid NOT NULL,
    role text NOT NULL,
    CONSTRAINT team_member_role_check CHECK ((role = ANY (ARRAY['member'::text, 'maintainer'::text])))
);

ALTER TABLE ONLY identity.team_member FORCE ROW LEVEL SECURITY;

ALTER TABLE identity.team_member OWNER TO devlore_owner;

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
    audience uuid NOT NULL,
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

CREATE TABLE memory.secrets_policy (
    organisation_id uuid NOT NULL,
    action text NOT NULL,
    changed_at timestamp with time zone NOT NULL,
    changed_by uuid NOT NULL,
    CONSTRAINT secrets_policy_action_check CHECK ((action = ANY (ARRAY['redact'::text, 'block'::text, 'flag'::text])))
);

ALTER TABLE ONLY memory.secrets_policy FORCE ROW LEVEL SECURITY;

ALTER TABLE memory.secrets_policy OWNER TO devlore_owner;

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

CREATE TABLE search.lineage (
    only_one boolean DEFAULT true NOT NULL,
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    CONSTRAINT lineage_only_one_check CHECK (only_one)
);

ALTER TABLE search.lineage OWNER TO devlore_owner;

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

ALTER TABLE ONLY audit.leaf
    ADD CONSTRAINT leaf_pkey PRIMARY KEY (organisation_id, occurred_at, id);

ALTER TABLE ONLY audit.pseudonym
    ADD CONSTRAINT pseudonym_organisation_id_kind_value_key UNIQUE (organisation_id, kind, value);

ALTER TABLE ONLY audit.pseudonym
    ADD CONSTRAINT pseudonym_pkey PRIMARY KEY (organisation_id, id);

ALTER TABLE ONLY gateway.idempotency
    ADD CONSTRAINT idempotency_pkey PRIMARY KEY (organisation_id, person_id, key);

ALTER TABLE ONLY identity.api_key
    ADD CONSTRAINT api_key_pkey PRIMARY KEY (organisation_id, id);

ALTER TABLE ONLY identity.challenge
    ADD CONSTRAINT challenge_pkey PRIMARY KEY (digest);

ALTER TABLE ONLY identity.departure
    ADD CONSTRAINT departure_pkey PRIMARY KEY (organisation_id, id);

ALTER TABLE ONLY identity.device
    ADD CONSTRAINT device_pkey PRIMARY KEY (digest);

ALTER TABLE ONLY identity.familiar_network
    ADD CONSTRAINT familiar_network_pkey PRIMARY KEY (person_id, network);

ALTER TABLE ONLY identity.instance
    ADD CONSTRAINT instance_pkey PRIMARY KEY (only_one);

ALTER TABLE ONLY identity.invitation
    ADD CONSTRAINT invitation_pkey PRIMARY KEY (organisation_id, id);

ALTER TABLE ONLY identity.membership
    ADD CONSTRAINT membership_pkey PRIMARY KEY (organisation_id, person_id);

ALTER TABLE ONLY identity.organisation
    ADD CONSTRAINT organisation_pkey PRIMARY KEY (organisation_id);

ALTER TABLE ONLY identity.passkey
    ADD CONSTRAINT passkey_pkey PRIMARY KEY (person_id, id);

ALTER TABLE ONLY identity.password
    ADD CONSTRAINT password_pkey PRIMARY KEY (person_id);

ALTER TABLE ONLY identity.person
    ADD CONSTRAINT person_pkey PRIMARY KEY (id);

ALTER TABLE ONLY identity.refresh
    ADD CONSTRAINT refresh_pkey PRIMARY KEY (organisation_id, digest);

ALTER TABLE ONLY identity.session
    ADD CONSTRAINT session_pkey PRIMARY KEY (organisation_id, id);

ALTER TABLE ONLY identity.signing_key
    ADD CONSTRAINT signing_key_pkey PRIMARY KEY (kid);

ALTER TABLE ONLY identity.team_member
    ADD CONSTRAINT team_member_pkey PRIMARY KEY (organisation_id, team_id, person_id);

ALTER TABLE ONLY identity.team
    ADD CONSTRAINT team_pkey PRIMARY KEY (organisation_id, id);

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

ALTER TABLE ONLY memory.secrets_policy
    ADD CONSTRAINT secrets_policy_pkey PRIMARY KEY (organisation_id);

ALTER TABLE ONLY memory.version
    ADD CONSTRAINT version_pkey PRIMARY KEY (organisation_id, memory_id, version);

ALTER TABLE ONLY migration.applied
    ADD CONSTRAINT applied_pkey PRIMARY KEY (name);

ALTER TABLE ONLY search.document
    ADD CONSTRAINT document_pkey PRIMARY KEY (organisation_id, model, memory_id);

ALTER TABLE ONLY search.lineage
    ADD CONSTRAINT lineage_pkey PRIMARY KEY (only_one);

ALTER TABLE ONLY search.model
    ADD CONSTRAINT model_pkey PRIMARY KEY (id);

ALTER TABLE ONLY search.passage
    ADD CONSTRAINT passage_pkey PRIMARY KEY (organisation_id, model, memory_id, ordinal);

ALTER TABLE ONLY search.rebuild
    ADD CONSTRAINT rebuild_pkey PRIMARY KEY (only_one);

CREATE INDEX leaf_action ON ONLY audit.leaf USING btree (organisation_id, action, occurred_at, id);

CREATE INDEX leaf_actor ON ONLY audit.leaf USING btree (organisation_id, actor_id, occurred_at, id) WHERE (actor_id IS NOT NULL);

CREATE INDEX leaf_order ON ONLY audit.leaf USING btree (organisation_id, xid, id);

CREATE INDEX leaf_second ON ONLY audit.leaf USING btree (organisation_id, second_id, occurred_at, id) WHERE (second_id IS NOT NULL);

CREATE INDEX leaf_target ON ONLY audit.leaf USING btree (organisation_id, target_id, occurred_at, id) WHERE (target_id IS NOT NULL);

CREATE INDEX leaf_trouble ON ONLY audit.leaf USING btree (organisation_id, result, occurred_at, id) WHERE (result <> 'ok'::text);

CREATE INDEX idempotency_expires ON gateway.idempotency USING btree (expires_at);

CREATE INDEX idempotency_subject ON gateway.idempotency USING btree (organisation_id, subject) WHERE (subject IS NOT NULL);

CREATE INDEX api_key_key_id ON identity.api_key USING btree (key_id);

CREATE INDEX api_key_person ON identity.api_key USING btree (organisation_id, person_id);

CREATE INDEX challenge_expiry ON identity.challenge USING btree (expires_at);

CREATE UNIQUE INDEX departure_pending ON identity.departure USING btree (organisation_id, person_id) WHERE (settled_at IS NULL);

CREATE INDEX device_expiry ON identity.device USING btree (expires_at);

CREATE UNIQUE INDEX device_user_code ON identity.device USING btree (user_code);

CREATE INDEX familiar_network_seen ON identity.familiar_network USING btree (seen_at);

CREATE INDEX invitation_digest ON identity.invitation USING btree (digest);

CREATE INDEX membership_person ON identity.membership USING btree (person_id);

CREATE INDEX organisation_due ON identity.organisation USING btree (delete_after) WHERE (delete_after IS NOT NULL);

CREATE UNIQUE INDEX passkey_credential ON identity.passkey USING btree (credential_id);

CREATE UNIQUE INDEX person_email ON identity.person USING btree (email);

CREATE INDEX refresh_digest ON identity.refresh USING btree (digest);

CREATE INDEX refresh_session ON identity.refresh USING btree (organisation_id, session_id);

CREATE INDEX session_cookie ON identity.session USING btree (cookie) WHERE (cookie IS NOT NULL);

CREATE INDEX session_expiry ON identity.session USING btree (expires_at);

CREATE INDEX session_id ON identity.session USING btree (id);

CREATE INDEX session_of_person ON identity.session USING btree (person_id, created_at);

CREATE INDEX session_person ON identity.session USING btree (organisation_id, person_id);

CREATE INDEX team_member_person ON identity.team_member USING btree (organisation_id, person_id);

CREATE UNIQUE INDEX team_name ON identity.team USING btree (organisation_id, lower(name));

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

CREATE INDEX document_superseded ON ONLY search.document USING btree (organisation_id, model, memory_id) WHERE ((status = 'superseded'::text) AND live);

CREATE UNIQUE INDEX model_one_of_each ON search.model USING btree (state) WHERE (state <> 'retired'::text);

ALTER TABLE ONLY identity.api_key
    ADD CONSTRAINT api_key_organisation_id_person_id_fkey FOREIGN KEY (organisation_id, person_id) REFERENCES identity.membership(organisation_id, person_id) ON DELETE CASCADE;

ALTER TABLE ONLY identity.departure
    ADD CONSTRAINT departure_organisation_id_fkey FOREIGN KEY (organisation_id) REFERENCES identity.organisation(organisation_id) ON DELETE CASCADE;

ALTER TABLE ONLY identity.familiar_network
    ADD CONSTRAINT familiar_network_person_id_fkey FOREIGN KEY (person_id) REFERENCES identity.person(id) ON DELETE CASCADE;

ALTER TABLE ONLY identity.invitation
    ADD CONSTRAINT invitation_organisation_id_fkey FOREIGN KEY (organisation_id) REFERENCES identity.organisation(organisation_id) ON DELETE CASCADE;

ALTER TABLE ONLY identity.membership
    ADD CONSTRAINT membership_organisation_id_fkey FOREIGN KEY (organisation_id) REFERENCES identity.organisation(organisation_id) ON DELETE CASCADE;

ALTER TABLE ONLY identity.passkey
    ADD CONSTRAINT passkey_person_id_fkey FOREIGN KEY (person_id) REFERENCES identity.person(id) ON DELETE CASCADE;

ALTER TABLE ONLY identity.password
    ADD CONSTRAINT password_person_id_fkey FOREIGN KEY (person_id) REFERENCES identity.person(id) ON DELETE CASCADE;

ALTER TABLE ONLY identity.refresh
    ADD CONSTRAINT refresh_organisation_id_session_id_fkey FOREIGN KEY (organisation_id, session_id) REFERENCES identity.session(organisation_id, id) ON DELETE CASCADE;

ALTER TABLE ONLY identity.session
    ADD CONSTRAINT session_organisation_id_person_id_fkey FOREIGN KEY (organisation_id, person_id) REFERENCES identity.membership(organisation_id, person_id) ON DELETE CASCADE;

ALTER TABLE ONLY identity.team_member
    ADD CONSTRAINT team_member_organisation_id_person_id_fkey FOREIGN KEY (organisation_id, person_id) REFERENCES identity.membership(organisation_id, person_id) ON DELETE CASCADE;

ALTER TABLE ONLY identity.team_member
    ADD CONSTRAINT team_member_organisation_id_team_id_fkey FOREIGN KEY (organisation_id, team_id) REFERENCES identity.team(organisation_id, id) ON DELETE CASCADE;

ALTER TABLE ONLY identity.team
    ADD CONSTRAINT team_organisation_id_fkey FOREIGN KEY (organisation_id) REFERENCES identity.organisation(organisation_id) ON DELETE CASCADE;

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

ALTER TABLE audit.leaf ENABLE ROW LEVEL SECURITY;

CREATE POLICY may_add ON audit.leaf FOR INSERT TO devlore_app WITH CHECK ((organisation_id = ( SELECT (current_setting('app.organisation'::text))::uuid AS current_setting)));

CREATE POLICY may_adopt ON audit.leaf FOR UPDATE TO devlore_audit USING ((organisation_id = ( SELECT (current_setting('app.organisation'::text))::uuid AS current_setting)));

CREATE POLICY may_read ON audit.leaf FOR SELECT TO devlore_audit USING ((organisation_id = ( SELECT (current_setting('app.organisation'::text))::uuid AS current_setting)));

ALTER TABLE audit.pseudonym ENABLE ROW LEVEL SECURITY;

CREATE POLICY tenant ON audit.pseudonym USING ((organisation_id = ( SELECT (current_setting('app.organisation'::text))::uuid AS current_setting))) WITH CHECK ((organisation_id = ( SELECT (current_setting('app.organisation'::text))::uuid AS current_setting)));

CREATE POLICY erasing ON gateway.idempotency TO devlore_owner USING ((((organisation_id)::text = ( SELECT current_setting('app.organisation'::text, true) AS current_setting)) AND (subject IS NOT NULL))) WITH CHECK ((((organisation_id)::text = ( SELECT current_setting('app.organisation'::text, true) AS current_setting)) AND (headers IS NULL) AND (body IS NULL)));

CREATE POLICY expired ON gateway.idempotency TO devlore_owner USING ((expires_at < now())) WITH CHECK (false);

CREATE POLICY gone ON gateway.idempotency TO devlore_owner USING (((organisation_id)::text = ( SELECT current_setting('app.organisation'::text, true) AS current_setting))) WITH CHECK (false);

ALTER TABLE gateway.idempotency ENABLE ROW LEVEL SECURITY;

CREATE POLICY tenant ON gateway.idempotency TO devlore_app USING (((organisation_id = ( SELECT (current_setting('app.organisation'::text))::uuid AS current_setting)) AND (person_id = ( SELECT (current_setting('app.person'::text))::uuid AS current_setting)))) WITH CHECK (((organisation_id = ( SELECT (current_setting('app.organisation'::text))::uuid AS current_setting)) AND (person_id = ( SELECT (current_setting('app.person'::text))::uuid AS current_setting))));

CREATE POLICY account_made ON identity.person FOR INSERT WITH CHECK ((kind = 'service'::text));

CREATE POLICY account_removed ON identity.person FOR DELETE USING (((kind = 'service'::text) AND (EXISTS ( SELECT
   FROM identity.membership m
  WHERE ((m.organisation_id = ( SELECT (current_setting('app.organisation'::text))::uuid AS current_setting)) AND (m.person_id = person.id))))));

ALTER TABLE identity.api_key ENABLE ROW LEVEL SECURITY;

ALTER TABLE identity.challenge ENABLE ROW LEVEL SECURITY;

CREATE POLICY colleague ON identity.person FOR SELECT USING ((EXISTS ( SELECT
   FROM identity.membership m
  WHERE ((m.organisation_id = ( SELECT (current_setting('app.organisation'::text))::uuid AS current_setting)) AND (m.person_id = person.id)))));

ALTER TABLE identity.departure ENABLE ROW LEVEL SECURITY;

ALTER TABLE identity.device ENABLE ROW LEVEL SECURITY;

ALTER TABLE identity.familiar_network ENABLE ROW LEVEL SECURITY;

ALTER TABLE identity.invitation ENABLE ROW LEVEL SECURITY;

ALTER TABLE identity.membership ENABLE ROW LEVEL SECURITY;

CREATE POLICY oneself ON identity.person USING ((id = ( SELECT (current_setting('app.person'::text))::uuid AS current_setting))) WITH CHECK ((id = ( SELECT (current_setting('app.person'::text))::uuid AS current_setting)));

ALTER TABLE identity.organisation ENABLE ROW LEVEL SECURITY;

CREATE POLICY own ON identity.api_key USING (((organisation_id = ( SELECT (current_setting('app.organisation'::text))::uuid AS current_setting)) AND (person_id = ( SELECT (current_setting('app.person'::text))::uuid AS current_setting)))) WITH CHECK (((organisation_id = ( SELECT (current_setting('app.organisation'::text))::uuid AS current_setting)) AND (person_id = ( SELECT (current_setting('app.person'::text))::uuid AS current_setting))));

CREATE POLICY own ON identity.challenge USING ((person_id = ( SELECT (current_setting('app.person'::text))::uuid AS current_setting))) WITH CHECK ((person_id = ( SELECT (current_setting('app.person'::text))::uuid AS current_setting)));

CREATE POLICY own ON identity.familiar_network USING ((person_id = ( SELECT (current_setting('app.person'::text))::uuid AS current_setting))) WITH CHECK ((person_id = ( SELECT (current_setting('app.person'::text))::uuid AS current_setting)));

CREATE POLICY own ON identity.membership FOR SELECT USING ((person_id = ( SELECT (current_setting('app.person'::text))::uuid AS current_setting)));

CREATE POLICY own ON identity.passkey USING ((person_id = ( SELECT (current_setting('app.person'::text))::uuid AS current_setting))) WITH CHECK ((person_id = ( SELECT (current_setting('app.person'::text))::uuid AS current_setting)));

CREATE POLICY own ON identity.password USING ((person_id = ( SELECT (current_setting('app.person'::text))::uuid AS current_setting))) WITH CHECK ((person_id = ( SELECT (current_setting('app.person'::text))::uuid AS current_setting)));

CREATE POLICY own ON identity.refresh USING (((organisation_id = ( SELECT (current_setting('app.organisation'::text))::uuid AS current_setting)) AND (person_id = ( SELECT (current_setting('app.person'::text))::uuid AS current_setting)))) WITH CHECK (((organisation_id = ( SELECT (current_setting('app.organisation'::text))::uuid AS current_setting)) AND (person_id = ( SELECT (current_setting('app.person'::text))::uuid AS current_setting))));

CREATE POLICY own ON identity.session FOR SELECT USING ((person_id = ( SELECT (current_setting('app.person'::text))::uuid AS current_setting)));

CREATE POLICY own_begin ON identity.session FOR INSERT WITH CHECK (((organisation_id = ( SELECT (current_setting('app.organisation'::text))::uuid AS current_setting)) AND (person_id = ( SELECT (current_setting('app.person'::text))::uuid AS current_setting))));

CREATE POLICY own_end ON identity.session FOR UPDATE USING ((person_id = ( SELECT (current_setting('app.person'::text))::uuid AS current_setting))) WITH CHECK ((person_id = ( SELECT (current_setting('app.person'::text))::uuid AS current_setting)));

CREATE POLICY own_or_nobodys ON identity.device USING (((person_id IS NULL) OR (person_id = ( SELECT (current_setting('app.person'::text))::uuid AS current_setting)))) WITH CHECK (((person_id IS NULL) OR (person_id = ( SELECT (current_setting('app.person'::text))::uuid AS current_setting))));

CREATE POLICY own_place ON identity.organisation FOR SELECT USING ((EXISTS ( SELECT
   FROM identity.membership m
  WHERE ((m.organisation_id = organisation.organisation_id) AND (m.person_id = ( SELECT (current_setting('app.person'::text))::uuid AS current_setting))))));

ALTER TABLE identity.passkey ENABLE ROW LEVEL SECURITY;

ALTER TABLE identity.password ENABLE ROW LEVEL SECURITY;

ALTER TABLE identity.person ENABLE ROW LEVEL SECURITY;

ALTER TABLE identity.refresh ENABLE ROW LEVEL SECURITY;

ALTER TABLE identity.session ENABLE ROW LEVEL SECURITY;

ALTER TABLE identity.team ENABLE ROW LEVEL SECURITY;

ALTER TABLE identity.team_member ENABLE ROW LEVEL SECURITY;

CREATE POLICY tenant ON identity.departure USING ((organisation_id = ( SELECT (current_setting('app.organisation'::text))::uuid AS current_setting))) WITH CHECK ((organisation_id = ( SELECT (current_setting('app.organisation'::text))::uuid AS current_setting)));

CREATE POLICY tenant ON identity.invitation USING ((organisation_id = ( SELECT (current_setting('app.organisation'::text))::uuid AS current_setting))) WITH CHECK ((organisation_id = ( SELECT (current_setting('app.organisation'::text))::uuid AS current_setting)));

CREATE POLICY tenant ON identity.membership USING ((organisation_id = ( SELECT (current_setting('app.organisation'::text))::uuid AS current_setting))) WITH CHECK ((organisation_id = ( SELECT (current_setting('app.organisation'::text))::uuid AS current_setting)));

CREATE POLICY tenant ON identity.organisation USING ((organisation_id = ( SELECT (current_setting('app.organisation'::text))::uuid AS current_setting))) WITH CHECK ((organisation_id = ( SELECT (current_setting('app.organisation'::text))::uuid AS current_setting)));

CREATE POLICY tenant ON identity.team USING ((organisation_id = ( SELECT (current_setting('app.organisation'::text))::uuid AS current_setting))) WITH CHECK ((organisation_id = ( SELECT (current_setting('app.organisation'::text))::uuid AS current_setting)));

CREATE POLICY tenant ON identity.team_member USING ((organisation_id = ( SELECT (current_setting('app.organisation'::text))::uuid AS current_setting))) WITH CHECK ((organisation_id = ( SELECT (current_setting('app.organisation'::text))::uuid AS current_setting)));

ALTER TABLE integration.connection ENABLE ROW LEVEL SECURITY;

ALTER TABLE integration.item ENABLE ROW LEVEL SECURITY;

CREATE POLICY leaving ON integration.connection TO devlore_owner USING (true) WITH CHECK (false);

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

CREATE POLICY may_read ON memory.version FOR SELECT USING (((((state ->> 'privacy'::text) = 'public'::text) OR (((state ->> 'created_by'::text))::uuid = ( SELECT (current_setting('app.person'::text))::uuid AS current_setting)) OR (((state ->> 'privacy'::text) = 'team'::text) AND (((state ->> 'team_id'::text))::uuid = ANY (( SELECT (current_setting('app.teams'::text))::uuid[] AS current_setting)::uuid[])))) AND (EXISTS ( SELECT
   FROM memory.memory m
  WHERE ((m.organisation_id = version.organisation_id) AND (m.id = version.memory_id))))));

ALTER TABLE memory.memory ENABLE ROW LEVEL SECURITY;

ALTER TABLE memory.secrets_policy ENABLE ROW LEVEL SECURITY;

CREATE POLICY settling ON memory.memory TO devlore_owner USING (true) WITH CHECK (true);

CREATE POLICY settling ON memory.version TO devlore_owner USING (true) WITH CHECK (true);

CREATE POLICY tenant ON memory.checkpoint USING ((organisation_id = ( SELECT (current_setting('app.organisation'::text))::uuid AS current_setting))) WITH CHECK ((organisation_id = ( SELECT (current_setting('app.organisation'::text))::uuid AS current_setting)));

CREATE POLICY tenant ON memory.claim USING ((organisation_id = ( SELECT (current_setting('app.organisation'::text))::uuid AS current_setting))) WITH CHECK ((organisation_id = ( SELECT (current_setting('app.organisation'::text))::uuid AS current_setting)));

CREATE POLICY tenant ON memory.link USING ((organisation_id = ( SELECT (current_setting('app.organisation'::text))::uuid AS current_setting))) WITH CHECK ((organisation_id = ( SELECT (current_setting('app.organisation'::text))::uuid AS current_setting)));

CREATE POLICY tenant ON memory.memory AS RESTRICTIVE USING ((organisation_id = ( SELECT (current_setting('app.organisation'::text))::uuid AS current_setting))) WITH CHECK ((organisation_id = ( SELECT (current_setting('app.organisation'::text))::uuid AS current_setting)));

CREATE POLICY tenant ON memory.secrets_policy USING ((organisation_id = ( SELECT (current_setting('app.organisation'::text))::uuid AS current_setting))) WITH CHECK ((organisation_id = ( SELECT (current_setting('app.organisation'::text))::uuid AS current_setting)));

CREATE POLICY tenant ON memory.version AS RESTRICTIVE USING ((organisation_id = ( SELECT (current_setting('app.organisation'::text))::uuid AS current_setting))) WITH CHECK ((organisation_id = ( SELECT (current_setting('app.organisation'::text))::uuid AS current_setting)));

ALTER TABLE memory.version ENABLE ROW LEVEL SECURITY;

ALTER TABLE search.document ENABLE ROW LEVEL SECURITY;

ALTER TABLE search.passage ENABLE ROW LEVEL SECURITY;

CREATE POLICY tenant ON search.document USING ((organisation_id = ( SELECT (current_setting('app.organisation'::text))::uuid AS current_setting))) WITH CHECK ((organisation_id = ( SELECT (current_setting('app.organisation'::text))::uuid AS current_setting)));

CREATE POLICY tenant ON search.passage USING ((organisation_id = ( SELECT (current_setting('app.organisation'::text))::uuid AS current_setting))) WITH CHECK ((organisation_id = ( SELECT (current_setting('app.organisation'::text))::uuid AS current_setting)));

GRANT ALL ON SCHEMA audit TO devlore_search;
GRANT USAGE ON SCHEMA audit TO devlore_app;
GRANT ALL ON SCHEMA audit TO devlore_audit;

GRANT ALL ON SCHEMA gateway TO devlore_search;
GRANT USAGE ON SCHEMA gateway TO devlore_app;

GRANT ALL ON SCHEMA identity TO devlore_search;
GRANT USAGE ON SCHEMA identity TO devlore_app;
GRANT ALL ON SCHEMA identity TO devlore_identity;

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

REVOKE ALL ON FUNCTION audit.append(leaves json) FROM PUBLIC;
GRANT ALL ON FUNCTION audit.append(leaves json) TO devlore_app;

REVOKE ALL ON FUNCTION audit.ensure_month(moment timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION audit.ensure_month(moment timestamp with time zone) TO devlore_app;

GRANT INSERT ON TABLE audit.leaf TO devlore_app;
GRANT SELECT ON TABLE audit.leaf TO devlore_audit;

GRANT UPDATE(xid) ON TABLE audit.leaf TO devlore_audit;

REVOKE ALL ON FUNCTION audit.follow(after_xid xid8, after_id uuid, since timestamp with time zone, until timestamp with time zone, actions text[], actor_types text[], actors uuid[], about text[], results text[], most integer) FROM PUBLIC;
GRANT ALL ON FUNCTION audit.follow(after_xid xid8, after_id uuid, since timestamp with time zone, until timestamp with time zone, actions text[], actor_types text[], actors uuid[], about text[], results text[], most integer) TO devlore_app;

REVOKE ALL ON FUNCTION audit.newest(before_at timestamp with time zone, before_id uuid, since timestamp with time zone, actions text[], actor_types text[], actors uuid[], about text[], results text[], most integer) FROM PUBLIC;
GRANT ALL ON FUNCTION audit.newest(before_at timestamp with time zone, before_id uuid, since timestamp with time zone, actions text[], actor_types text[], actors uuid[], about text[], results text[], most integer) TO devlore_app;

REVOKE ALL ON FUNCTION audit.of_context() FROM PUBLIC;
GRANT ALL ON FUNCTION audit.of_context() TO devlore_audit;

REVOKE ALL ON FUNCTION audit.prepare(moment timestamp with time zone, kinds text[], names text[], OUT created boolean, OUT ids uuid[]) FROM PUBLIC;
GRANT ALL ON FUNCTION audit.prepare(moment timestamp with time zone, kinds text[], names text[], OUT created boolean, OUT ids uuid[]) TO devlore_app;

REVOKE ALL ON FUNCTION audit.ready(moment timestamp with time zone, pseudonyms uuid[]) FROM PUBLIC;
GRANT ALL ON FUNCTION audit.ready(moment timestamp with time zone, pseudonyms uuid[]) TO devlore_app;

REVOKE ALL ON FUNCTION audit.settled(OUT xid xid8, OUT id uuid, OUT unreached xid8) FROM PUBLIC;
GRANT ALL ON FUNCTION audit.settled(OUT xid xid8, OUT id uuid, OUT unreached xid8) TO devlore_app;

REVOKE ALL ON FUNCTION gateway.answer(of_organisation uuid, of_person uuid, of_key text, by_claim uuid, its_subject uuid, its_scopes text[], its_status smallint, its_headers jsonb, its_body bytea) FROM PUBLIC;
GRANT ALL ON FUNCTION gateway.answer(of_organisation uuid, of_person uuid, of_key text, by_claim uuid, its_subject uuid, its_scopes text[], its_status smallint, its_headers jsonb, its_body bytea) TO devlore_app;

REVOKE ALL ON FUNCTION gateway.claim(of_organisation uuid, of_person uuid, of_key text, of_fingerprint bytea, by_claim uuid, lease double precision, keep double precision) FROM PUBLIC;
GRANT ALL ON FUNCTION gateway.claim(of_organisation uuid, of_person uuid, of_key text, of_fingerprint bytea, by_claim uuid, lease double precision, keep double precision) TO devlore_app;

REVOKE ALL ON FUNCTION gateway.erase(of_organisation uuid, subjects uuid[]) FROM PUBLIC;
GRANT ALL ON FUNCTION gateway.erase(of_organisation uuid, subjects uuid[]) TO devlore_app;

REVOKE ALL ON FUNCTION gateway.erase_all(of_organisation uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION gateway.erase_all(of_organisation uuid) TO devlore_app;

REVOKE ALL ON FUNCTION gateway.forget_expired(most integer) FROM PUBLIC;
GRANT ALL ON FUNCTION gateway.forget_expired(most integer) TO devlore_app;

REVOKE ALL ON FUNCTION identity.due_organisations(moment timestamp with time zone, most integer) FROM PUBLIC;
GRANT ALL ON FUNCTION identity.due_organisations(moment timestamp with time zone, most integer) TO devlore_app;

REVOKE ALL ON FUNCTION identity.find_by_device(of_digest bytea) FROM PUBLIC;
GRANT ALL ON FUNCTION identity.find_by_device(of_digest bytea) TO devlore_app;

REVOKE ALL ON FUNCTION identity.find_by_email(of_email text) FROM PUBLIC;
GRANT ALL ON FUNCTION identity.find_by_email(of_email text) TO devlore_app;

REVOKE ALL ON FUNCTION identity.find_by_passkey(of_credential bytea) FROM PUBLIC;
GRANT ALL ON FUNCTION identity.find_by_passkey(of_credential bytea) TO devlore_app;

REVOKE ALL ON FUNCTION identity.find_cookie(of_cookie bytea, moment timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION identity.find_cookie(of_cookie bytea, moment timestamp with time zone) TO devlore_app;

REVOKE ALL ON FUNCTION identity.find_invitation(of_digest bytea) FROM PUBLIC;
GRANT ALL ON FUNCTION identity.find_invitation(of_digest bytea) TO devlore_app;

REVOKE ALL ON FUNCTION identity.find_key(of_key_id text, of_digest bytea, moment timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION identity.find_key(of_key_id text, of_digest bytea, moment timestamp with time zone) TO devlore_app;

REVOKE ALL ON FUNCTION identity.find_refresh(of_digest bytea) FROM PUBLIC;
GRANT ALL ON FUNCTION identity.find_refresh(of_digest bytea) TO devlore_app;

REVOKE ALL ON FUNCTION identity.find_session(of_id uuid, moment timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION identity.find_session(of_id uuid, moment timestamp with time zone) TO devlore_app;

REVOKE ALL ON FUNCTION identity.forget_credentials(moment timestamp with time zone, most integer) FROM PUBLIC;
GRANT ALL ON FUNCTION identity.forget_credentials(moment timestamp with time zone, most integer) TO devlore_app;

REVOKE ALL ON FUNCTION identity.forget_networks(before timestamp with time zone, most integer) FROM PUBLIC;
GRANT ALL ON FUNCTION identity.forget_networks(before timestamp with time zone, most integer) TO devlore_app;

REVOKE ALL ON FUNCTION identity.is_familiar(of_email text, of_person uuid, from_network text, since timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION identity.is_familiar(of_email text, of_person uuid, from_network text, since timestamp with time zone) TO devlore_app;

REVOKE ALL ON FUNCTION identity.keys_left_by(of_person uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION identity.keys_left_by(of_person uuid) TO devlore_app;

REVOKE ALL ON FUNCTION identity.owner_of_key(of_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION identity.owner_of_key(of_id uuid) TO devlore_app;

REVOKE ALL ON FUNCTION identity.standing(of_person uuid, of_organisation uuid) FROM PUBLIC;

REVOKE ALL ON FUNCTION integration.disconnect(of_person uuid, until timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION integration.disconnect(of_person uuid, until timestamp with time zone) TO devlore_app;

REVOKE ALL ON FUNCTION integration.waiting_syncs(dead_before timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION integration.waiting_syncs(dead_before timestamp with time zone) TO devlore_app;

REVOKE ALL ON FUNCTION integration.watched_connections() FROM PUBLIC;
GRANT ALL ON FUNCTION integration.watched_connections() TO devlore_app;

REVOKE ALL ON FUNCTION log.adopt() FROM PUBLIC;
GRANT ALL ON FUNCTION log.adopt() TO devlore_app;

REVOKE ALL ON FUNCTION log.append(events jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION log.append(events jsonb) TO devlore_app;

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

REVOKE ALL ON FUNCTION memory.erase_some(most integer) FROM PUBLIC;
GRANT ALL ON FUNCTION memory.erase_some(most integer) TO devlore_app;

REVOKE ALL ON FUNCTION memory.hand_over(heir uuid, ids uuid[]) FROM PUBLIC;
GRANT ALL ON FUNCTION memory.hand_over(heir uuid, ids uuid[]) TO devlore_app;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE memory.memory TO devlore_app;
GRANT SELECT ON TABLE memory.memory TO devlore_search;

REVOKE ALL ON FUNCTION memory.scan(after_organisation uuid, after_id uuid, most integer) FROM PUBLIC;
GRANT ALL ON FUNCTION memory.scan(after_organisation uuid, after_id uuid, most integer) TO devlore_app;

REVOKE ALL ON FUNCTION memory.store_new(of_organisation uuid, by_person uuid, teams uuid[], records json, events jsonb, leaves json, moment timestamp with time zone, pseudonyms uuid[]) FROM PUBLIC;
GRANT ALL ON FUNCTION memory.store_new(of_organisation uuid, by_person uuid, teams uuid[], records json, events jsonb, leaves json, moment timestamp with time zone, pseudonyms uuid[]) TO devlore_app;

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

REVOKE ALL ON FUNCTION search.nearest_superseded(tenant uuid, audiences uuid[], of_model smallint, target public.halfvec, most integer, wanted jsonb, unwanted jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION search.nearest_superseded(tenant uuid, audiences uuid[], of_model smallint, target public.halfvec, most integer, wanted jsonb, unwanted jsonb) TO devlore_app;

REVOKE ALL ON FUNCTION search.reach(tenant uuid, audiences uuid[], of_model smallint, most integer) FROM PUBLIC;
GRANT ALL ON FUNCTION search.reach(tenant uuid, audiences uuid[], of_model smallint, most integer) TO devlore_app;

REVOKE ALL ON FUNCTION search.sizes(of_model smallint) FROM PUBLIC;
GRANT ALL ON FUNCTION search.sizes(of_model smallint) TO devlore_app;

GRANT SELECT,INSERT,DELETE ON TABLE audit.pseudonym TO devlore_app;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE gateway.idempotency TO devlore_app;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE identity.api_key TO devlore_app;

GRANT SELECT(organisation_id) ON TABLE identity.api_key TO devlore_identity;

GRANT SELECT(id) ON TABLE identity.api_key TO devlore_identity;

GRANT SELECT(person_id) ON TABLE identity.api_key TO devlore_identity;

GRANT SELECT(key_id) ON TABLE identity.api_key TO devlore_identity;

GRANT SELECT(digest) ON TABLE identity.api_key TO devlore_identity;

GRANT SELECT(scopes) ON TABLE identity.api_key TO devlore_identity;

GRANT SELECT(networks) ON TABLE identity.api_key TO devlore_identity;

GRANT SELECT(created_by) ON TABLE identity.api_key TO devlore_identity;

GRANT SELECT(created_at) ON TABLE identity.api_key TO devlore_identity;

GRANT SELECT(expires_at) ON TABLE identity.api_key TO devlore_identity;

GRANT SELECT(last_used_at) ON TABLE identity.api_key TO devlore_identity;

GRANT SELECT(revoked_at) ON TABLE identity.api_key TO devlore_identity;

GRANT SELECT,INSERT ON TABLE identity.challenge TO devlore_app;
GRANT DELETE ON TABLE identity.challenge TO devlore_identity;

GRANT SELECT(digest) ON TABLE identity.challenge TO devlore_identity;

GRANT SELECT(expires_at) ON TABLE identity.challenge TO devlore_identity;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE identity.departure TO devlore_app;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE identity.device TO devlore_app;
GRANT DELETE ON TABLE identity.device TO devlore_identity;

GRANT SELECT(digest) ON TABLE identity.device TO devlore_identity;

GRANT SELECT(expires_at) ON TABLE identity.device TO devlore_identity;

GRANT SELECT(person_id) ON TABLE identity.device TO devlore_identity;

GRANT SELECT(in_organisation) ON TABLE identity.device TO devlore_identity;

GRANT SELECT,INSERT,UPDATE ON TABLE identity.familiar_network TO devlore_app;
GRANT DELETE ON TABLE identity.familiar_network TO devlore_identity;

GRANT SELECT(person_id) ON TABLE identity.familiar_network TO devlore_identity;

GRANT SELECT(network) ON TABLE identity.familiar_network TO devlore_identity;

GRANT SELECT(seen_at) ON TABLE identity.familiar_network TO devlore_identity;

GRANT SELECT,INSERT,UPDATE ON TABLE identity.instance TO devlore_app;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE identity.invitation TO devlore_app;

GRANT SELECT(organisation_id) ON TABLE identity.invitation TO devlore_identity;

GRANT SELECT(id) ON TABLE identity.invitation TO devlore_identity;

GRANT SELECT(digest) ON TABLE identity.invitation TO devlore_identity;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE identity.membership TO devlore_app;

GRANT SELECT(organisation_id) ON TABLE identity.membership TO devlore_identity;

GRANT SELECT(person_id) ON TABLE identity.membership TO devlore_identity;

GRANT SELECT(role) ON TABLE identity.membership TO devlore_identity;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE identity.organisation TO devlore_app;

GRANT SELECT(organisation_id) ON TABLE identity.organisation TO devlore_identity;

GRANT SELECT(delete_after) ON TABLE identity.organisation TO devlore_identity;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE identity.passkey TO devlore_app;

GRANT SELECT(person_id) ON TABLE identity.passkey TO devlore_identity;

GRANT SELECT(credential_id) ON TABLE identity.passkey TO devlore_identity;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE identity.password TO devlore_app;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE identity.person TO devlore_app;

GRANT SELECT(id) ON TABLE identity.person TO devlore_identity;

GRANT SELECT(kind) ON TABLE identity.person TO devlore_identity;

GRANT SELECT(email) ON TABLE identity.person TO devlore_identity;

GRANT SELECT(epoch) ON TABLE identity.person TO devlore_identity;

GRANT SELECT(disabled_at) ON TABLE identity.person TO devlore_identity;

GRANT SELECT,INSERT,UPDATE ON TABLE identity.refresh TO devlore_app;

GRANT SELECT(organisation_id) ON TABLE identity.refresh TO devlore_identity;

GRANT SELECT(digest) ON TABLE identity.refresh TO devlore_identity;

GRANT SELECT(session_id) ON TABLE identity.refresh TO devlore_identity;

GRANT SELECT(person_id) ON TABLE identity.refresh TO devlore_identity;

GRANT SELECT,INSERT,UPDATE ON TABLE identity.session TO devlore_app;
GRANT DELETE ON TABLE identity.session TO devlore_identity;

GRANT SELECT(organisation_id) ON TABLE identity.session TO devlore_identity;

GRANT SELECT(id) ON TABLE identity.session TO devlore_identity;

GRANT SELECT(person_id) ON TABLE identity.session TO devlore_identity;

GRANT SELECT(cookie) ON TABLE identity.session TO devlore_identity;

GRANT SELECT(epoch) ON TABLE identity.session TO devlore_identity;

GRANT SELECT(authenticated_at) ON TABLE identity.session TO devlore_identity;

GRANT SELECT(last_seen_at) ON TABLE identity.session TO devlore_identity;

GRANT SELECT(expires_at) ON TABLE identity.session TO devlore_identity;

GRANT SELECT(revoked_at) ON TABLE identity.session TO devlore_identity;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE identity.signing_key TO devlore_app;
GRANT DELETE ON TABLE identity.signing_key TO devlore_identity;

GRANT SELECT(kid) ON TABLE identity.signing_key TO devlore_identity;

GRANT SELECT(retires_at) ON TABLE identity.signing_key TO devlore_identity;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE identity.team TO devlore_app;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE identity.team_member TO devlore_app;

GRANT SELECT(organisation_id) ON TABLE identity.team_member TO devlore_identity;

GRANT SELECT(team_id) ON TABLE identity.team_member TO devlore_identity;

GRANT SELECT(person_id) ON TABLE identity.team_member TO devlore_identity;

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

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE memory.secrets_policy TO devlore_app;

GRANT SELECT,INSERT ON TABLE memory.version TO devlore_app;

GRANT SELECT ON TABLE migration.applied TO devlore_app;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE search.document TO devlore_app;
GRANT SELECT ON TABLE search.document TO devlore_search;

GRANT SELECT ON TABLE search.lineage TO devlore_app;

GRANT SELECT,UPDATE ON TABLE search.model TO devlore_app;
GRANT SELECT ON TABLE search.model TO devlore_search;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE search.passage TO devlore_app;
GRANT SELECT ON TABLE search.passage TO devlore_search;

GRANT SELECT,INSERT,UPDATE ON TABLE search.rebuild TO devlore_app;

ALTER DEFAULT PRIVILEGES FOR ROLE devlore_owner REVOKE ALL ON FUNCTIONS FROM PUBLIC;

ALTER DEFAULT PRIVILEGES FOR ROLE devlore_owner GRANT ALL ON SCHEMAS TO devlore_search;
