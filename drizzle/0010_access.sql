CREATE TABLE "admin_audit" (
	"bucket" smallint DEFAULT 0 NOT NULL,
	"id" uuid NOT NULL,
	"tenantId" uuid NOT NULL,
	"principal" varchar(300) NOT NULL,
	"action" varchar(100) NOT NULL,
	"path" text NOT NULL,
	"address" varchar(100) NOT NULL,
	"requestId" varchar(128) NOT NULL,
	"status" smallint,
	"createdAt" timestamp (3) with time zone NOT NULL,
	CONSTRAINT "admin_audit_pkey" PRIMARY KEY("bucket","id")
);
--> statement-breakpoint
CREATE TABLE "api_keys" (
	"bucket" smallint DEFAULT 0 NOT NULL,
	"id" varchar(12) NOT NULL,
	"tenantId" uuid NOT NULL,
	"name" varchar(100) NOT NULL,
	"hint" varchar(12) NOT NULL,
	"hash" varchar(64) NOT NULL,
	"scopes" text[] NOT NULL,
	"createdAt" timestamp (3) with time zone NOT NULL,
	"createdBy" varchar(300) NOT NULL,
	"expiresAt" timestamp (3) with time zone,
	"revokedAt" timestamp (3) with time zone,
	"revokedBy" varchar(300),
	"lastUsedAt" timestamp (3) with time zone,
	CONSTRAINT "api_keys_pkey" PRIMARY KEY("bucket","id")
);
--> statement-breakpoint
CREATE INDEX "IDX_ADMIN_AUDIT_TENANT" ON "admin_audit" USING btree ("tenantId","createdAt","id");--> statement-breakpoint
CREATE INDEX "IDX_ADMIN_AUDIT_CREATED" ON "admin_audit" USING btree ("createdAt");--> statement-breakpoint
CREATE INDEX "IDX_API_KEYS_TENANT" ON "api_keys" USING btree ("tenantId","createdAt");
--> statement-breakpoint

-- Who appended an event stands in its metadata under $principal, where the service writes it. It is no part of what the client sent:
-- a request that is repeated with another key is still the same request.

-- client_metadata: metadata as the client sent it. What is left empty without $principal counts as none.
CREATE FUNCTION client_metadata(p_metadata jsonb)
RETURNS jsonb
LANGUAGE sql IMMUTABLE
AS $$ SELECT CASE WHEN p_metadata ? '$principal' THEN nullif(p_metadata - '$principal', '{}') ELSE p_metadata END $$;
--> statement-breakpoint

-- kept_by_id, kept_at_version: as in 0005, by client_metadata.
CREATE OR REPLACE FUNCTION kept_by_id(p_bucket smallint, p_user uuid, p_id uuid, p_data jsonb, p_metadata jsonb, p_occurred timestamptz)
RETURNS TABLE ("tenantId" uuid, id uuid, version integer, "position" bigint, "eventType" varchar, "schemaVersion" smallint,
               "createdAt" timestamptz, same boolean)
LANGUAGE sql STABLE ROWS 1
AS $$
  SELECT e."tenantId", e.id, e.version, e.position, e."eventType", e."schemaVersion", e."createdAt",
         e."eventData" = p_data AND client_metadata(e.metadata) IS NOT DISTINCT FROM client_metadata(p_metadata)
           AND e."occurredAt" IS NOT DISTINCT FROM p_occurred
  FROM (SELECT * FROM user_events e WHERE e.bucket = p_bucket AND e."aggregateId" = p_user AND e.id >= p_id ORDER BY e.id LIMIT 1) e
  WHERE e.id = p_id
$$;
--> statement-breakpoint

CREATE OR REPLACE FUNCTION kept_at_version(p_bucket smallint, p_user uuid, p_version integer, p_data jsonb, p_metadata jsonb, p_occurred timestamptz)
RETURNS TABLE ("tenantId" uuid, id uuid, version integer, "position" bigint, "eventType" varchar, "schemaVersion" smallint,
               "createdAt" timestamptz, same boolean)
LANGUAGE sql STABLE ROWS 1
AS $$
  SELECT e."tenantId", e.id, e.version, e.position, e."eventType", e."schemaVersion", e."createdAt",
         e."eventData" = p_data AND client_metadata(e.metadata) IS NOT DISTINCT FROM client_metadata(p_metadata)
           AND e."occurredAt" IS NOT DISTINCT FROM p_occurred
  FROM (SELECT * FROM user_events e WHERE e.bucket = p_bucket AND e."aggregateId" = p_user AND e.version >= p_version ORDER BY e.version LIMIT 1) e
  WHERE e.version = p_version
$$;
--> statement-breakpoint

-- event_content, archived_by_id, archived_at_version: as in 0009, by client_metadata.
CREATE OR REPLACE FUNCTION event_content(p_data jsonb, p_metadata jsonb, p_occurred timestamptz)
RETURNS text
LANGUAGE sql STABLE
RETURN encode(sha256(convert_to(jsonb_build_array(p_data, client_metadata(p_metadata), extract(epoch FROM p_occurred))::text, 'UTF8')), 'hex');
--> statement-breakpoint

CREATE OR REPLACE FUNCTION archived_by_id(p_bucket smallint, p_user uuid, p_id uuid, p_data jsonb, p_metadata jsonb, p_occurred timestamptz)
RETURNS TABLE ("tenantId" uuid, id uuid, version integer, "position" bigint, "eventType" varchar, "schemaVersion" smallint,
               "createdAt" timestamptz, same boolean)
LANGUAGE plpgsql STABLE ROWS 1
AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
  SELECT e."tenantId", e.id, e.version, e.position, e."eventType", e."schemaVersion", e."createdAt",
         e."eventData" = p_data AND client_metadata(e.metadata) IS NOT DISTINCT FROM client_metadata(p_metadata)
           AND e."occurredAt" IS NOT DISTINCT FROM p_occurred
  FROM user_events_archive e
  WHERE e.bucket = p_bucket AND e."aggregateId" = p_user AND e.id = p_id AND e.version < first_kept_version(p_bucket, p_user);
  IF FOUND THEN RETURN; END IF;
  RETURN QUERY
  SELECT e."tenantId", e.id, e.version, e.position, e."eventType", e."schemaVersion", e."createdAt",
         e.content = event_content(p_data, p_metadata, p_occurred)
  FROM user_events_offline e
  WHERE e.bucket = p_bucket AND e."aggregateId" = p_user AND e.id = p_id;
END
$$;
--> statement-breakpoint

CREATE OR REPLACE FUNCTION archived_at_version(p_bucket smallint, p_user uuid, p_version integer, p_data jsonb, p_metadata jsonb, p_occurred timestamptz)
RETURNS TABLE ("tenantId" uuid, id uuid, version integer, "position" bigint, "eventType" varchar, "schemaVersion" smallint,
               "createdAt" timestamptz, same boolean)
LANGUAGE plpgsql STABLE ROWS 1
AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
  SELECT e."tenantId", e.id, e.version, e.position, e."eventType", e."schemaVersion", e."createdAt",
         e."eventData" = p_data AND client_metadata(e.metadata) IS NOT DISTINCT FROM client_metadata(p_metadata)
           AND e."occurredAt" IS NOT DISTINCT FROM p_occurred
  FROM user_events_archive e
  WHERE e.bucket = p_bucket AND e."aggregateId" = p_user AND e.version = p_version AND e.version < first_kept_version(p_bucket, p_user);
  IF FOUND THEN RETURN; END IF;
  RETURN QUERY
  SELECT e."tenantId", e.id, e.version, e.position, e."eventType", e."schemaVersion", e."createdAt",
         e.content = event_content(p_data, p_metadata, p_occurred)
  FROM user_events_offline e
  WHERE e.bucket = p_bucket AND e."aggregateId" = p_user AND e.version = p_version;
END
$$;
