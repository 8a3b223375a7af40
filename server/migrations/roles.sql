-- The roles, one job each. Run by a superuser (or the owner of the database) at every migrate; changes nothing the
-- second time.
--   devlore_owner   owns every table, runs migrations; nobody signs in as it.
--   devlore_app     what the server signs in as; owns nothing, inherits nothing.
--   devlore_search  owns the functions that must see every organisation's rows; nobody signs in as it.
--   devlore_identity  owns the functions that find whose a credential or invitation is; nobody signs in as it.
--   devlore_audit   owns the functions that read the audit trail, one organisation at a time; nobody signs in as it.

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'devlore_owner') THEN
        CREATE ROLE devlore_owner NOLOGIN;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'devlore_search') THEN
        CREATE ROLE devlore_search NOLOGIN BYPASSRLS;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'devlore_identity') THEN
        CREATE ROLE devlore_identity NOLOGIN BYPASSRLS;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'devlore_audit') THEN
        CREATE ROLE devlore_audit NOLOGIN;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'devlore_app') THEN
        CREATE ROLE devlore_app LOGIN NOINHERIT;
        -- Fails closed: a transaction that forgets who is asking is nobody. As a role's setting it survives COMMIT,
        -- RESET ALL and DISCARD ALL, after which a plain SET LOCAL would leave an empty string behind.
        BEGIN
            ALTER ROLE devlore_app SET app.organisation = '00000000-0000-0000-0000-000000000000';
            ALTER ROLE devlore_app SET app.person = '00000000-0000-0000-0000-000000000000';
            ALTER ROLE devlore_app SET app.teams = '{}';
        EXCEPTION WHEN insufficient_privilege THEN
            -- Managed servers keep this to themselves. There a transaction that forgets gets an error instead of no
            -- rows: the setting is missing or empty, and neither is a uuid.
            RAISE NOTICE 'devlore_app has no default context';
        END;
    END IF;
    -- Owning roles hand functions to these by SET ROLE; neither inherits the other's rights.
    IF NOT pg_has_role('devlore_owner', 'devlore_search', 'SET') THEN
        GRANT devlore_search TO devlore_owner WITH INHERIT FALSE, SET TRUE;
    END IF;
    IF NOT pg_has_role('devlore_owner', 'devlore_identity', 'SET') THEN
        GRANT devlore_identity TO devlore_owner WITH INHERIT FALSE, SET TRUE;
    END IF;
    IF NOT pg_has_role('devlore_owner', 'devlore_audit', 'SET') THEN
        GRANT devlore_audit TO devlore_owner WITH INHERIT FALSE, SET TRUE;
    END IF;
    IF NOT pg_has_role(current_user, 'devlore_owner', 'SET') THEN
        EXECUTE format('GRANT devlore_owner TO %I WITH INHERIT FALSE, SET TRUE', current_user);
    END IF;
    EXECUTE format('GRANT CREATE ON DATABASE %I TO devlore_owner', current_database());
    EXECUTE format('REVOKE TEMPORARY ON DATABASE %I FROM PUBLIC', current_database());
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO devlore_app', current_database());
    EXECUTE format('REVOKE CONNECT ON DATABASE %I FROM PUBLIC', current_database());
END
$$;

CREATE EXTENSION IF NOT EXISTS vector;
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
