CREATE TABLE "event_statistics" (
	"bucket" smallint NOT NULL,
	"tenantId" uuid NOT NULL,
	"eventType" varchar(100) NOT NULL,
	"events" bigint NOT NULL,
	"users" bigint NOT NULL,
	"oldest" timestamp (3) with time zone NOT NULL,
	"newest" timestamp (3) with time zone NOT NULL,
	CONSTRAINT "event_statistics_pkey" PRIMARY KEY("bucket","tenantId","eventType")
);
--> statement-breakpoint
CREATE TABLE "largest_users" (
	"bucket" smallint NOT NULL,
	"aggregateId" uuid NOT NULL,
	"events" integer NOT NULL,
	CONSTRAINT "largest_users_pkey" PRIMARY KEY("bucket","aggregateId")
);
--> statement-breakpoint
CREATE TABLE "store_identity" (
	"bucket" smallint DEFAULT 0 NOT NULL,
	"id" uuid DEFAULT gen_random_uuid() NOT NULL,
	"buckets" smallint NOT NULL,
	"createdAt" timestamp (3) with time zone DEFAULT date_trunc('milliseconds', now()) NOT NULL,
	CONSTRAINT "store_identity_pkey" PRIMARY KEY("bucket"),
	CONSTRAINT "store_identity_bucket_check" CHECK ("store_identity"."bucket" = 0)
);
--> statement-breakpoint
CREATE TABLE "user_events" (
	"bucket" smallint NOT NULL,
	"position" bigint NOT NULL,
	"id" uuid NOT NULL,
	"aggregateId" uuid NOT NULL,
	"version" integer NOT NULL,
	"eventType" varchar(100) NOT NULL,
	"schemaVersion" smallint NOT NULL,
	"eventData" jsonb NOT NULL,
	"metadata" jsonb,
	"tenantId" uuid NOT NULL,
	"occurredAt" timestamp (3) with time zone,
	"createdAt" timestamp (3) with time zone NOT NULL,
	CONSTRAINT "user_events_pkey" PRIMARY KEY("bucket","aggregateId","version"),
	CONSTRAINT "user_events_position_key" UNIQUE("bucket","position"),
	CONSTRAINT "user_events_id_key" UNIQUE("bucket","aggregateId","id"),
	CONSTRAINT "user_events_version_check" CHECK ("user_events"."version" > 0),
	CONSTRAINT "user_events_position_check" CHECK ("user_events"."position" > 0),
	CONSTRAINT "user_events_data_check" CHECK (jsonb_typeof("user_events"."eventData") = 'object')
);
--> statement-breakpoint
CREATE TABLE "user_snapshots" (
	"id" uuid NOT NULL,
	"bucket" smallint NOT NULL,
	"aggregateId" uuid NOT NULL,
	"version" integer NOT NULL,
	"state" jsonb NOT NULL,
	"fingerprint" text NOT NULL,
	"tenantId" uuid NOT NULL,
	"metadata" jsonb NOT NULL,
	"createdAt" timestamp (3) with time zone DEFAULT date_trunc('milliseconds', now()) NOT NULL,
	CONSTRAINT "user_snapshots_pkey" PRIMARY KEY("bucket","aggregateId","id"),
	CONSTRAINT "user_snapshots_version_key" UNIQUE("bucket","aggregateId","version","fingerprint"),
	CONSTRAINT "user_snapshots_version_check" CHECK ("user_snapshots"."version" > 0)
);
--> statement-breakpoint
CREATE TABLE "workers" (
	"bucket" smallint NOT NULL,
	"name" varchar(100) NOT NULL,
	"position" bigint DEFAULT 0 NOT NULL,
	"holder" uuid NOT NULL,
	"epoch" bigint NOT NULL,
	"leaseUntil" timestamp (3) with time zone NOT NULL,
	CONSTRAINT "workers_pkey" PRIMARY KEY("bucket","name")
);
--> statement-breakpoint
CREATE INDEX "IDX_USER_EVENTS_CREATED" ON "user_events" USING brin ("createdAt");--> statement-breakpoint
CREATE INDEX "IDX_USER_EVENTS_TYPE" ON "user_events" USING btree ("bucket","eventType","position");--> statement-breakpoint
CREATE INDEX "IDX_USER_SNAPSHOT_AGGREGATE" ON "user_snapshots" USING btree ("aggregateId","version" DESC NULLS FIRST);--> statement-breakpoint
CREATE INDEX "IDX_USER_SNAPSHOT_CREATED" ON "user_snapshots" USING btree ("createdAt");