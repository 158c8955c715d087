/** API keys as they are stored: without the keys. */
import type { Db } from '../db/client.js'
import type { Scope } from '../domain/access.js'
import type { ApiKey } from '../domain/api-key.js'

export type StoredKey = ApiKey & {
  name: string
  createdAt: string
  createdBy: string
  revokedAt: string | null
  revokedBy: string | null
  lastUsedAt: string | null
}

type Row = Omit<StoredKey, 'scopes'> & { scopes: string }

const COLUMNS = `id, hint, hash, "tenantId", name, array_to_string(scopes, ',') AS scopes, "createdAt", "createdBy", "expiresAt",
  "revokedAt", "revokedBy", "lastUsedAt"`
const IN_FORCE = '"revokedAt" IS NULL AND ("expiresAt" IS NULL OR "expiresAt" > clock_timestamp())'
const NOW = "date_trunc('milliseconds', clock_timestamp())"

/** All keys in force, and whether there ever was one. */
export async function selectKeysInForce(db: Db): Promise<{ keys: StoredKey[]; any: boolean }> {
  const rows = await db.query<Row & { any: boolean }>(
    `SELECT any_key.found AS any, k.* FROM (SELECT EXISTS (SELECT FROM api_keys) AS found) any_key
     LEFT JOIN (SELECT ${COLUMNS} FROM api_keys WHERE ${IN_FORCE}) k ON true`,
    [],
    { repeatable: true }
  )
  return { keys: rows.filter(({ id }) => id !== null).map(keyOf), any: rows[0]!.any }
}

/** The newest keys of a tenant, at most `limit`, also those that are not in force any more. */
export async function selectKeys(db: Db, tenantId: string, limit: number): Promise<StoredKey[]> {
  const rows = await db
    .as(tenantId)
    .query<Row>(
      `SELECT ${COLUMNS} FROM api_keys_of_tenants() WHERE "tenantId" = $1::uuid ORDER BY "createdAt" DESC, id LIMIT $2::integer`,
      [tenantId, limit],
      { repeatable: true }
    )
  return rows.map(keyOf)
}

/** Stores a key; undefined, and nothing stored, when `max` are in force already or it is stored. */
export async function insertKey(
  db: Db,
  key: Pick<StoredKey, 'id' | 'hint' | 'hash' | 'tenantId' | 'name' | 'scopes' | 'createdBy' | 'expiresAt'>,
  max: number
): Promise<StoredKey | undefined> {
  const [row] = await db.query<Row>(
    `INSERT INTO api_keys (id, hint, hash, "tenantId", name, scopes, "createdBy", "expiresAt", "createdAt")
     SELECT $1, $2, $3, $4::uuid, $5, $6::text::text[], $7, $8::timestamptz, ${NOW}
     WHERE (SELECT count(*) FROM api_keys WHERE ${IN_FORCE}) < $9::integer
     ON CONFLICT DO NOTHING RETURNING ${COLUMNS}`,
    [key.id, key.hint, key.hash, key.tenantId, key.name, `{${key.scopes.join(',')}}`, key.createdBy, key.expiresAt, max]
  )
  return row && keyOf(row)
}

/** Revokes a key of the tenant; what was revoked before stays as it is. Undefined if there is no such key. */
export async function revokeKey(
  db: Db,
  { tenantId, id, by }: { tenantId: string; id: string; by: string }
): Promise<StoredKey | undefined> {
  const [row] = await db.query<Row>(
    `UPDATE api_keys SET "revokedAt" = coalesce("revokedAt", ${NOW}), "revokedBy" = coalesce("revokedBy", $3::text)
     WHERE bucket = 0 AND id = $1 AND "tenantId" = $2::uuid RETURNING ${COLUMNS}`,
    [id, tenantId, by],
    { repeatable: true }
  )
  return row && keyOf(row)
}

/** Notes when keys were last used; times only go up. */
export async function updateLastUses(db: Db, uses: ReadonlyMap<string, number>): Promise<void> {
  await db.query(
    `UPDATE api_keys k SET "lastUsedAt" = greatest(k."lastUsedAt", to_timestamp(u.ms / 1000.0))
     FROM unnest($1::text::text[], $2::text::bigint[]) AS u(id, ms) WHERE k.bucket = 0 AND k.id = u.id`,
    [`{${[...uses.keys()].join(',')}}`, `{${[...uses.values()].map(Math.floor).join(',')}}`],
    { repeatable: true }
  )
}

const instant = (text: string): string => new Date(text).toISOString()
const instantOrNull = (text: string | null): string | null => text && instant(text)

function keyOf(row: Row): StoredKey {
  const { id, hint, hash, tenantId, name, scopes, createdBy, revokedBy } = row
  return {
    id,
    hint,
    hash,
    tenantId,
    name,
    scopes: scopes.split(',') as Scope[],
    createdBy,
    revokedBy,
    createdAt: instant(row.createdAt),
    expiresAt: instantOrNull(row.expiresAt),
    revokedAt: instantOrNull(row.revokedAt),
    lastUsedAt: instantOrNull(row.lastUsedAt)
  }
}
