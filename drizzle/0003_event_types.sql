CREATE TABLE "event_types" (
	"revision" bigint NOT NULL,
	"tenantId" uuid,
	"eventType" varchar(100) NOT NULL,
	"version" smallint NOT NULL,
	"definition" jsonb NOT NULL,
	"createdAt" timestamp (3) with time zone DEFAULT date_trunc('milliseconds', now()) NOT NULL,
	CONSTRAINT "event_types_pkey" PRIMARY KEY("revision"),
	CONSTRAINT "event_types_version_key" UNIQUE NULLS NOT DISTINCT("eventType","version","tenantId"),
	CONSTRAINT "event_types_version_check" CHECK ("event_types"."version" > 0),
	CONSTRAINT "event_types_definition_check" CHECK (jsonb_typeof("event_types"."definition") = 'object')
);
--> statement-breakpoint

-- register_event_type: stores one version of a type for a tenant, or (null) for all.
--
-- Keeps true: versions of a type in a scope are 1..n; what is stored never changes; a name that all tenants share is no
-- tenant's own, and the other way round; revisions go up in the order in which they can be seen.
--
-- outcome   registered, same (was there with this content), differs, taken (by the other scope), gap, full
-- newest    newest version of the type in this scope before the call; 0 if there is none
CREATE FUNCTION register_event_type(
  p_tenant uuid, p_type varchar, p_version smallint, p_definition jsonb, p_types_max integer, p_versions_max integer)
RETURNS TABLE (outcome text, newest integer)
LANGUAGE plpgsql VOLATILE
AS $$
#variable_conflict use_column
DECLARE
  v_newest integer;
  v_outcome text;
BEGIN
  PERFORM pg_advisory_xact_lock(1970365813);
  SELECT coalesce(max(t.version), 0) INTO v_newest FROM event_types t
  WHERE t."eventType" = p_type AND t."tenantId" IS NOT DISTINCT FROM p_tenant;

  SELECT CASE WHEN t.definition = p_definition THEN 'same' ELSE 'differs' END INTO v_outcome FROM event_types t
  WHERE t."eventType" = p_type AND t."tenantId" IS NOT DISTINCT FROM p_tenant AND t.version = p_version;

  IF v_outcome IS NULL THEN
    v_outcome := CASE
      WHEN EXISTS (SELECT FROM event_types t WHERE t."eventType" = p_type AND (t."tenantId" IS NULL) <> (p_tenant IS NULL)) THEN 'taken'
      WHEN p_version <> v_newest + 1 THEN 'gap'
      WHEN p_version > p_versions_max THEN 'full'
      WHEN p_version = 1 AND p_types_max <= (
        SELECT count(*) FROM event_types t WHERE t."tenantId" IS NOT DISTINCT FROM p_tenant AND t.version = 1) THEN 'full'
      ELSE 'registered'
    END;
    IF v_outcome = 'registered' THEN
      INSERT INTO event_types (revision, "tenantId", "eventType", version, definition)
      SELECT coalesce(max(t.revision), 0) + 1, p_tenant, p_type, p_version, p_definition FROM event_types t;
    END IF;
  END IF;
  RETURN QUERY SELECT v_outcome, v_newest;
END
$$;
--> statement-breakpoint

-- Stored events rely on the versions they name.
CREATE FUNCTION refuse_change_of_type() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
  RAISE EXCEPTION '% of event_types is refused: versions of event types are never changed or removed', TG_OP
    USING ERRCODE = 'restrict_violation', HINT = 'Register a new version.';
END
$$;
--> statement-breakpoint

CREATE TRIGGER event_types_append_only
BEFORE UPDATE OR DELETE OR TRUNCATE ON event_types
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_of_type();
