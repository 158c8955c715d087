-- The trace that an event was appended in stands in its metadata under $traceparent. As who appended it ($principal, 0010) it is written by
-- the service and no part of what the client sent: a request that is repeated in another trace, or in none, is still the same request.

-- client_metadata: as in 0010, without $traceparent too.
CREATE OR REPLACE FUNCTION client_metadata(p_metadata jsonb)
RETURNS jsonb
LANGUAGE sql IMMUTABLE
AS $$
  SELECT CASE WHEN p_metadata ?| '{$principal,$traceparent}' THEN nullif(p_metadata - '{$principal,$traceparent}'::text[], '{}')
         ELSE p_metadata END
$$;
--> statement-breakpoint

-- same_metadata: whether a client may have sent both. Where the service wrote into one of them, a client that sent none and one that sent
-- empty ones cannot be told apart.
CREATE FUNCTION same_metadata(p_one jsonb, p_other jsonb)
RETURNS boolean
LANGUAGE sql IMMUTABLE
AS $$
  SELECT CASE WHEN p_one ?| '{$principal,$traceparent}' OR p_other ?| '{$principal,$traceparent}'
         THEN nullif(client_metadata(p_one), '{}') IS NOT DISTINCT FROM nullif(client_metadata(p_other), '{}')
         ELSE p_one IS NOT DISTINCT FROM p_other END
$$;
--> statement-breakpoint

-- kept_by_id, kept_at_version, archived_by_id, archived_at_version: as in 0010, by same_metadata. Of an event that is offline only a hash is
-- known, by which no metadata and empty ones count as one.
CREATE OR REPLACE FUNCTION kept_by_id(p_bucket smallint, p_user uuid, p_id uuid, p_data jsonb, p_metadata jsonb, p_occurred timestamptz)
RETURNS TABLE ("tenantId" uuid, id uuid, version integer, "position" bigint, "eventType" varchar, "schemaVersion" smallint,
               "createdAt" timestamptz, same boolean)
LANGUAGE sql STABLE ROWS 1
AS $$
  SELECT e."tenantId", e.id, e.version, e.position, e."eventType", e."schemaVersion", e."createdAt",
         e."eventData" = p_data AND same_metadata(e.metadata, p_metadata)
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
         e."eventData" = p_data AND same_metadata(e.metadata, p_metadata)
           AND e."occurredAt" IS NOT DISTINCT FROM p_occurred
  FROM (SELECT * FROM user_events e WHERE e.bucket = p_bucket AND e."aggregateId" = p_user AND e.version >= p_version ORDER BY e.version LIMIT 1) e
  WHERE e.version = p_version
$$;
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
         e."eventData" = p_data AND same_metadata(e.metadata, p_metadata)
           AND e."occurredAt" IS NOT DISTINCT FROM p_occurred
  FROM user_events_archive e
  WHERE e.bucket = p_bucket AND e."aggregateId" = p_user AND e.id = p_id AND e.version < first_kept_version(p_bucket, p_user);
  IF FOUND THEN RETURN; END IF;
  RETURN QUERY
  SELECT e."tenantId", e.id, e.version, e.position, e."eventType", e."schemaVersion", e."createdAt",
         e.content IN (event_content(p_data, nullif(client_metadata(p_metadata), '{}'), p_occurred),
                       event_content(p_data, coalesce(client_metadata(p_metadata), '{}'), p_occurred))
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
         e."eventData" = p_data AND same_metadata(e.metadata, p_metadata)
           AND e."occurredAt" IS NOT DISTINCT FROM p_occurred
  FROM user_events_archive e
  WHERE e.bucket = p_bucket AND e."aggregateId" = p_user AND e.version = p_version AND e.version < first_kept_version(p_bucket, p_user);
  IF FOUND THEN RETURN; END IF;
  RETURN QUERY
  SELECT e."tenantId", e.id, e.version, e.position, e."eventType", e."schemaVersion", e."createdAt",
         e.content IN (event_content(p_data, nullif(client_metadata(p_metadata), '{}'), p_occurred),
                       event_content(p_data, coalesce(client_metadata(p_metadata), '{}'), p_occurred))
  FROM user_events_offline e
  WHERE e.bucket = p_bucket AND e."aggregateId" = p_user AND e.version = p_version;
END
$$;
