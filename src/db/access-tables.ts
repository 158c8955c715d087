/** The tables of who may do what, and of what administrators did. */
import { index, integer, pgTable, primaryKey, smallint, text, uuid, varchar } from 'drizzle-orm/pg-core'
import type { Scope } from '../domain/access.js'
import { instant } from './columns.js'

/** API keys, by hash: what a key is, only its owner knows. They are revoked, never deleted. */
export const apiKeys = pgTable(
  'api_keys',
  {
    bucket: smallint().notNull().default(0),
    id: varchar({ length: 12 }).notNull(),
    tenantId: uuid().notNull(),
    name: varchar({ length: 100 }).notNull(),
    hint: varchar({ length: 12 }).notNull(),
    /** SHA-256 in hex */
    hash: varchar({ length: 64 }).notNull(),
    scopes: text().array().$type<Scope[]>().notNull(),
    createdAt: instant('createdAt').notNull(),
    createdBy: varchar({ length: 300 }).notNull(),
    expiresAt: instant('expiresAt'),
    revokedAt: instant('revokedAt'),
    revokedBy: varchar({ length: 300 }),
    /** within about a minute */
    lastUsedAt: instant('lastUsedAt')
  },
  (table) => [
    primaryKey({ name: 'api_keys_pkey', columns: [table.bucket, table.id] }),
    index('IDX_API_KEYS_TENANT').on(table.tenantId, table.createdAt)
  ]
)

/** What administrators asked for. A row is there before the work begins; `status` is that of the answer, null if there was none. */
export const adminAudit = pgTable(
  'admin_audit',
  {
    bucket: smallint().notNull().default(0),
    id: uuid().notNull(),
    tenantId: uuid().notNull(),
    principal: varchar({ length: 300 }).notNull(),
    /** operation of the contract */
    action: varchar({ length: 100 }).notNull(),
    /** with its query; never the body, which can hold secrets */
    path: text().notNull(),
    address: varchar({ length: 100 }).notNull(),
    requestId: varchar({ length: 128 }).notNull(),
    status: smallint(),
    createdAt: instant('createdAt').notNull()
  },
  (table) => [
    primaryKey({ name: 'admin_audit_pkey', columns: [table.bucket, table.id] }),
    index('IDX_ADMIN_AUDIT_TENANT').on(table.tenantId, table.createdAt, table.id),
    index('IDX_ADMIN_AUDIT_CREATED').on(table.createdAt)
  ]
)

/** Tenants that have limits of their own; who is not here has those of the settings. */
export const tenantLimits = pgTable(
  'tenant_limits',
  {
    bucket: smallint().notNull().default(0),
    tenantId: uuid().notNull(),
    /** of all keys together; null: any number */
    requestsPerSecond: integer(),
    /** of each key; 0: any number, null: RATE_LIMIT_PER_SECOND */
    requestsPerSecondPerKey: integer(),
    updatedAt: instant('updatedAt').notNull(),
    updatedBy: varchar({ length: 300 }).notNull()
  },
  (table) => [primaryKey({ name: 'tenant_limits_pkey', columns: [table.bucket, table.tenantId] })]
)
