-- Row-level security: whatever a statement forgets to ask, it sees and writes rows of the tenants alone that it acts for. They stand in
-- the setting user_event_store.tenants, which a statement makes for itself: `{id,…}`, or `*` for all. Where it is not set, there are
-- no rows at all. It binds the owner of the tables too, but neither superusers nor roles with BYPASSRLS: the service takes another role.

-- acting_tenants: those that the statement acts for; none where it does not say so, and null for all.
CREATE FUNCTION acting_tenants()
RETURNS uuid[]
LANGUAGE sql STABLE
AS $$
  SELECT CASE WHEN current_setting('user_event_store.tenants', true) = '*' THEN NULL
    ELSE array_remove(coalesce(nullif(current_setting('user_event_store.tenants', true), ''), '{}')::uuid[], NULL) END
$$;
--> statement-breakpoint

-- seen_tenants: those whose rows the statement may see; null for all, also where its role is not bound.
CREATE FUNCTION seen_tenants()
RETURNS uuid[]
LANGUAGE sql STABLE
AS $$ SELECT CASE WHEN row_security_active('user_events') THEN acting_tenants() END $$;
--> statement-breakpoint

-- secure_rows: puts a table with "tenantId" behind row-level security; can be repeated. A subquery is computed once for a statement, not
-- for each row; two of them would cost short statements twice as much.
CREATE FUNCTION secure_rows(p_table text)
RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
  EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', p_table);
  EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', p_table);
  EXECUTE format('DROP POLICY IF EXISTS acting_tenants ON %I', p_table);
  EXECUTE format('CREATE POLICY acting_tenants ON %I
    USING (("tenantId" = ANY ((SELECT acting_tenants())::uuid[])) IS NOT FALSE)', p_table);
END
$$;
--> statement-breakpoint

-- Partitions of the archive are read by tenants through user_events_archive alone.
SELECT secure_rows(name) FROM unnest('{user_events,user_events_archive,user_events_offline,user_snapshots,event_statistics,
  user_activity_events,user_activity_days,user_activity_events_next,user_activity_days_next}'::text[]) AS name
WHERE to_regclass(name) IS NOT NULL;
--> statement-breakpoint

ALTER VIEW whole_log SET (security_invoker = true);
--> statement-breakpoint

-- users_of_tenants: user_read_model as the acting tenants may see it. The table itself is not behind row-level security, under which
-- no condition could use an index that might tell of other rows, and LIKE and @> might. This function becomes part of the
-- statement that reads it, and its condition one among others. Its rows are of a type of their own, since that of the table goes when
-- a rebuild replaces it, and have the columns to the last digit, or their order would not be that of the indexes.
CREATE TYPE user_of_tenants AS (
  bucket smallint, "userId" uuid, "tenantId" uuid, username text, email text, "fullName" text, phone text, status text, "roleIds" text[],
  "totalLogins" bigint, "failedLoginAttempts" bigint, "lockedUntil" timestamptz(3), "lastLoginAt" timestamptz(3), attributes jsonb,
  "createdAt" timestamptz(3), "updatedAt" timestamptz(3), "deletedAt" timestamptz(3), "lastUpdatedVersion" integer, "lastPosition" bigint,
  state jsonb, search text);
--> statement-breakpoint

CREATE FUNCTION users_of_tenants()
RETURNS SETOF user_of_tenants
LANGUAGE sql STABLE
AS $$
  SELECT u.bucket, u."userId", u."tenantId", u.username, u.email, u."fullName", u.phone, u.status, u."roleIds", u."totalLogins",
    u."failedLoginAttempts", u."lockedUntil", u."lastLoginAt", u.attributes, u."createdAt", u."updatedAt", u."deletedAt",
    u."lastUpdatedVersion", u."lastPosition", u.state, u.search
  FROM user_read_model u
  WHERE (u."tenantId" = ANY ((SELECT seen_tenants())::uuid[])) IS NOT FALSE
$$;
--> statement-breakpoint

-- The same of tables that few statements read for a tenant, while many write them for nobody in particular.
CREATE FUNCTION subscriptions_of_tenants()
RETURNS SETOF subscriptions
LANGUAGE sql STABLE
AS $$
  SELECT * FROM subscriptions s WHERE (s."tenantId" = ANY ((SELECT seen_tenants())::uuid[])) IS NOT FALSE
$$;
--> statement-breakpoint

CREATE FUNCTION api_keys_of_tenants()
RETURNS SETOF api_keys
LANGUAGE sql STABLE
AS $$
  SELECT * FROM api_keys k WHERE (k."tenantId" = ANY ((SELECT seen_tenants())::uuid[])) IS NOT FALSE
$$;
--> statement-breakpoint

CREATE FUNCTION audit_of_tenants()
RETURNS SETOF admin_audit
LANGUAGE sql STABLE
AS $$
  SELECT * FROM admin_audit a WHERE (a."tenantId" = ANY ((SELECT seen_tenants())::uuid[])) IS NOT FALSE
$$;
--> statement-breakpoint

-- Only a SELECT can set whom it acts for before it begins (as-tenants.ts), so what changes rows is a function that it calls.

-- keep_snapshot: stores a snapshot unless the same one is there. One of its version and fingerprint with another state is replaced:
-- rules and events being the same, that state cannot be right. Returns whether it stored it.
CREATE FUNCTION keep_snapshot(
  p_bucket smallint, p_user uuid, p_tenant uuid, p_id uuid, p_version integer, p_fingerprint text, p_state jsonb, p_metadata jsonb)
RETURNS boolean
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
  INSERT INTO user_snapshots AS s (bucket, "aggregateId", "tenantId", id, version, fingerprint, state, metadata)
  VALUES (p_bucket, p_user, p_tenant, p_id, p_version, p_fingerprint, p_state, p_metadata)
  ON CONFLICT ON CONSTRAINT user_snapshots_version_key
  DO UPDATE SET id = excluded.id, state = excluded.state, metadata = excluded.metadata, "createdAt" = excluded."createdAt"
  WHERE s.state <> excluded.state;
  RETURN FOUND;
END
$$;
--> statement-breakpoint

-- drop_snapshots: deletes all but the p_retain best snapshots of a user: usable ones before others, newer before older. Returns how many.
CREATE FUNCTION drop_snapshots(p_bucket smallint, p_user uuid, p_tenant uuid, p_retain integer, p_fingerprint text)
RETURNS integer
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
  v_deleted integer;
BEGIN
  DELETE FROM user_snapshots d
  WHERE d.bucket = p_bucket AND d."aggregateId" = p_user AND d."tenantId" = p_tenant AND d.id IN (
    SELECT s.id FROM user_snapshots s
    WHERE s.bucket = p_bucket AND s."aggregateId" = p_user AND s."tenantId" = p_tenant
    ORDER BY s.fingerprint = p_fingerprint DESC, s.version DESC OFFSET p_retain);
  GET DIAGNOSTICS v_deleted = ROW_COUNT;
  RETURN v_deleted;
END
$$;
--> statement-breakpoint

-- expire_snapshots: deletes those made before p_before among the next p_limit after a place in the order of age, but never a user's
-- newest usable one. p_fingerprint is usable, or for the tenants in p_by_tenant theirs. Returns how many, and the last place; no row after the last.
CREATE FUNCTION expire_snapshots(
  p_before timestamptz, p_after timestamptz, p_after_id uuid, p_limit integer, p_fingerprint text, p_by_tenant jsonb)
RETURNS TABLE (deleted integer, "createdAt" timestamptz, id uuid)
LANGUAGE sql VOLATILE
AS $$
  WITH batch AS (
    SELECT s.bucket, s."aggregateId", s."tenantId", s.id, s.version, s.fingerprint, s."createdAt" FROM user_snapshots s
    WHERE s."createdAt" < p_before AND (s."createdAt", s.id) > (p_after, p_after_id)
    ORDER BY s."createdAt", s.id LIMIT p_limit
  ), gone AS (
    DELETE FROM user_snapshots s USING batch
    WHERE s.bucket = batch.bucket AND s."aggregateId" = batch."aggregateId" AND s.id = batch.id
      AND (batch.fingerprint <> coalesce(p_by_tenant ->> batch."tenantId"::text, p_fingerprint) OR EXISTS (
        SELECT FROM user_snapshots newer
        WHERE newer.bucket = batch.bucket AND newer."aggregateId" = batch."aggregateId"
          AND newer.fingerprint = coalesce(p_by_tenant ->> batch."tenantId"::text, p_fingerprint) AND newer.version > batch.version))
    RETURNING s.id
  )
  SELECT (SELECT count(*) FROM gone)::integer, last."createdAt", last.id
  FROM (SELECT b."createdAt", b.id FROM batch b ORDER BY b."createdAt" DESC, b.id DESC LIMIT 1) last
$$;
--> statement-breakpoint

-- retry_parked: has users whom a worker parked tried at its next look, one of them or (null) all. Returns how many there are.
CREATE FUNCTION retry_parked(p_worker varchar, p_user uuid)
RETURNS bigint
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
  v_users bigint;
BEGIN
  UPDATE projection_parked p SET "triedAt" = '-infinity' WHERE p.worker = p_worker AND (p_user IS NULL OR p."aggregateId" = p_user);
  GET DIAGNOSTICS v_users = ROW_COUNT;
  RETURN v_users;
END
$$;
--> statement-breakpoint

-- start_rebuild: as in 0007; what a rebuild fills is behind row-level security if what it replaces is, and belongs to the same role.
CREATE OR REPLACE FUNCTION start_rebuild(p_name varchar, p_version integer, p_revision bigint, p_tables text[])
RETURNS text
LANGUAGE plpgsql VOLATILE
AS $$
#variable_conflict use_column
DECLARE
  v_next text := 'projection/' || p_name || '/rebuild';
  v_found projections;
  v_table text;
  v_key text;
BEGIN
  INSERT INTO projections (name, version, "typesRevision") VALUES (p_name, 0, 0) ON CONFLICT DO NOTHING;
  -- Workers before projections: the order in which project_events takes them.
  PERFORM FROM workers w WHERE w.name = v_next ORDER BY w.bucket FOR UPDATE;
  SELECT * INTO v_found FROM projections p WHERE p.bucket = 0 AND p.name = p_name FOR UPDATE;
  IF greatest(v_found.version, v_found."rebuildVersion") > p_version THEN RETURN 'newer'; END IF;
  IF v_found."rebuildVersion" = p_version AND v_found."rebuildRevision" >= p_revision THEN RETURN 'running'; END IF;

  UPDATE projections p
  SET "rebuildVersion" = p_version, "rebuildRevision" = p_revision, "rebuildStage" = 'filling', "rebuildStartedAt" = clock_timestamp()
  WHERE p.bucket = 0 AND p.name = p_name;
  -- The epoch goes up: whoever filled the tables before can do so no more.
  UPDATE workers w SET position = 0, epoch = w.epoch + 1 WHERE w.name = v_next;
  DELETE FROM projection_parked p WHERE p.worker = v_next;
  FOREACH v_table IN ARRAY p_tables LOOP
    SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY array_position(k.indkey::smallint[], a.attnum)) INTO v_key
    FROM pg_index k JOIN pg_attribute a ON a.attrelid = k.indrelid AND a.attnum = ANY (k.indkey)
    WHERE k.indrelid = to_regclass(quote_ident(v_table)) AND k.indisprimary;
    EXECUTE format('DROP TABLE IF EXISTS %I', v_table || '_next');
    EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING GENERATED)', v_table || '_next', v_table);
    EXECUTE format('ALTER TABLE %I ADD CONSTRAINT %I PRIMARY KEY (%s)', v_table || '_next', v_table || '_pkey_next', v_key);
    IF (SELECT c.relrowsecurity FROM pg_class c WHERE c.oid = to_regclass(quote_ident(v_table))) THEN
      PERFORM secure_rows(v_table || '_next');
    END IF;
    EXECUTE format('ALTER TABLE %I OWNER TO %I', v_table || '_next',
      (SELECT pg_get_userbyid(c.relowner) FROM pg_class c WHERE c.oid = to_regclass(quote_ident(v_table))));
  END LOOP;
  RETURN 'started';
END
$$;
--> statement-breakpoint

-- hand_over: makes p_role the owner of those of p_tables that are there, of what rebuilds keep beside them and of the partitions of the
-- archive, and lets it make more. The role is made if there is none; whoever is no superuser becomes a member.
CREATE FUNCTION hand_over(p_tables text[], p_role text)
RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
  v_table regclass;
BEGIN
  PERFORM pg_advisory_xact_lock(1970365812);
  IF NOT EXISTS (SELECT FROM pg_roles r WHERE r.rolname = p_role) THEN
    BEGIN
      EXECUTE format('CREATE ROLE %I NOLOGIN NOSUPERUSER NOBYPASSRLS', p_role);
    EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; -- Another database of the server has just made it.
    END;
  END IF;
  IF NOT pg_has_role(current_user, p_role, 'MEMBER') THEN EXECUTE format('GRANT %I TO CURRENT_USER', p_role); END IF;
  EXECUTE format('GRANT USAGE, CREATE ON SCHEMA %I TO %I', current_schema(), p_role);
  FOR v_table IN
    SELECT c.oid FROM unnest(p_tables) AS t(name), unnest('{"",_next,_old}'::text[]) AS s(suffix)
    JOIN pg_class c ON true JOIN pg_roles r ON r.oid = c.relowner
    WHERE c.oid = to_regclass(quote_ident(t.name || s.suffix)) AND r.rolname <> p_role
    UNION
    SELECT c.oid FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid JOIN pg_roles r ON r.oid = c.relowner
    WHERE i.inhparent = 'user_events_archive'::regclass AND r.rolname <> p_role
  LOOP
    EXECUTE format('ALTER TABLE %s OWNER TO %I', v_table, p_role);
  END LOOP;
END
$$;
