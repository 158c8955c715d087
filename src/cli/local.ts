/**
 * The service for one command, on the database of this machine: it listens on a loopback port, lets in nobody but the command,
 * and does no background work, which is left to the service that may be running on the same database.
 */
import { randomBytes } from 'node:crypto'
import { compose } from '../compose.js'
import type { Config } from '../config.js'
import type { Db } from '../db/client.js'
import { selectUniqueClaims } from '../store/claims.js'
import { selectIdentity } from '../store/identity.js'
import type { Place } from './client.js'
import { withDatabaseOf } from './database.js'

/** Longest time for a request of a command, ms. */
const REQUEST_MS = 600_000
const POOL = 4

/** Runs `work` with the place of a service on the database of `env`. `command` is what the audit shows. */
export async function withLocalService<T>(
  env: Record<string, string | undefined>,
  command: string,
  work: (place: Required<Pick<Place, 'url' | 'key'>>) => Promise<T>
): Promise<T> {
  return await withDatabaseOf(env, async (db, { config, url }) => {
    const token = randomBytes(32).toString('base64url')
    const service = await compose(await fitted(config, db), url, false, { operator: { token, command } })
    try {
      return await work({ url: await service.app.listen({ host: '127.0.0.1', port: 0 }), key: token })
    } finally {
      await service.stop()
    }
  })
}

/** Settings that leave the store as it is and reach for nothing else than the database. */
async function fitted(config: Config, db: Db): Promise<Config> {
  const identity = await selectIdentity(db)
  const unique = await selectUniqueClaims(db)
  const { AUTH, BOOTSTRAP_ADMIN_KEY, REDIS_URL, JWT_JWKS_URL, JWT_PUBLIC_KEY, METRICS_PORT, UNIQUE_CLAIMS, ...rest } =
    config
  return {
    ...rest,
    ...(identity ? { EVENT_BUCKETS: identity.buckets } : {}),
    ...(unique.length > 0 ? { UNIQUE_CLAIMS: unique.join() } : {}),
    HOST: '127.0.0.1',
    DOCS: false,
    UI: false,
    DATABASE_POOL_MAX: POOL,
    REQUEST_TIMEOUT_MS: REQUEST_MS
  }
}
