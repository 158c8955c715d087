CREATE TABLE "tenant_limits" (
	"bucket" smallint DEFAULT 0 NOT NULL,
	"tenantId" uuid NOT NULL,
	"requestsPerSecond" integer,
	"requestsPerSecondPerKey" integer,
	"updatedAt" timestamp (3) with time zone NOT NULL,
	"updatedBy" varchar(300) NOT NULL,
	CONSTRAINT "tenant_limits_pkey" PRIMARY KEY("bucket","tenantId")
);
