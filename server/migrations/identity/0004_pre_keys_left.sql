-- A service account and its keys are the organisation's, and outlive whoever made them there. Whoever made a key knew
-- it: those of somebody who left are named, so that an owner replaces them.

GRANT SELECT (created_by) ON identity.api_key TO devlore_identity;

CREATE FUNCTION identity.keys_left_by(of_person uuid) RETURNS TABLE (id uuid, person_id uuid)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, identity
AS $$
    SELECT k.id, k.person_id FROM identity.api_key k
    WHERE k.organisation_id = (SELECT current_setting('app.organisation')::uuid)
      AND k.created_by = of_person AND k.person_id <> of_person
      AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > now())
    ORDER BY k.id
$$;
REVOKE ALL ON FUNCTION identity.keys_left_by FROM PUBLIC;
GRANT EXECUTE ON FUNCTION identity.keys_left_by TO devlore_app;
ALTER FUNCTION identity.keys_left_by OWNER TO devlore_identity;
