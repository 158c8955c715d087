CREATE TABLE "user_changes" (
	"bucket" smallint NOT NULL,
	"userId" uuid NOT NULL,
	"tenantId" uuid NOT NULL,
	"changedAt" timestamp (3) with time zone NOT NULL,
	"status" text NOT NULL,
	"lockedUntil" timestamp (3) with time zone,
	CONSTRAINT "user_changes_pkey" PRIMARY KEY("bucket","userId")
);
--> statement-breakpoint

-- What is known by now. The version of the service that keeps the table rebuilds it at its start.
INSERT INTO "user_changes" ("bucket", "userId", "tenantId", "changedAt", "status", "lockedUntil")
SELECT "bucket", "userId", "tenantId", coalesce("updatedAt", "createdAt"), "status", "lockedUntil" FROM "user_read_model";
--> statement-breakpoint
CREATE INDEX "IDX_READ_MODEL_CHANGED" ON "user_changes" USING btree ("tenantId","changedAt","userId");--> statement-breakpoint
DROP INDEX "IDX_READ_MODEL_UPDATED";
--> statement-breakpoint

-- A row is written beside its old self, which takes room in the same page. A rebuild of older code may be under way, and take
-- over before it is begun again.
ALTER TABLE "user_read_model" SET (fillfactor = 80);
--> statement-breakpoint
ALTER TABLE IF EXISTS "user_read_model_next" SET (fillfactor = 80);
--> statement-breakpoint
DROP INDEX IF EXISTS "IDX_READ_MODEL_UPDATED_next";
--> statement-breakpoint

-- start_rebuild: begins to fill a projection's tables anew, beside those that serve. One by older code or under older types that
-- is under way is begun again, now by these.
--
-- p_version, p_revision   of the projection's code, and of the registered event types it knows
-- Returns 'started'; 'running' when such a rebuild is under way already, or 'newer' when what serves or is being filled is of a
-- newer version. Nothing is changed then.
-- The tables being filled have the storage parameters of those that serve, which LIKE leaves out.
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
  v_storage text;
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
    SELECT 'WITH (' || array_to_string(c.reloptions, ', ') || ')' INTO v_storage FROM pg_class c WHERE c.oid = to_regclass(quote_ident(v_table));
    EXECUTE format('DROP TABLE IF EXISTS %I', v_table || '_next');
    EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING GENERATED) %s', v_table || '_next', v_table, v_storage);
    EXECUTE format('ALTER TABLE %I ADD CONSTRAINT %I PRIMARY KEY (%s)', v_table || '_next', v_table || '_pkey_next', v_key);
  END LOOP;
  RETURN 'started';
END
$$;
