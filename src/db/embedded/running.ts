// The database of a data folder for others than the service: also while the service runs on it.

import { openPlace, readPassword, roleName } from './cluster.js'
import { readPostmasterPid, servesCluster } from './postmaster-pid.js'
import { startEmbeddedPostgres, urlOf } from './start.js'

/** `close` ends the server if it was started here. */
export type SharedPostgres = { url: string; close(): Promise<void> }

/** Connects to the PostgreSQL that runs on `dataDir`, or starts it until `close`. Throws EmbeddedPostgresError as startEmbeddedPostgres. */
export async function shareEmbeddedPostgres(dataDir: string): Promise<SharedPostgres> {
  const place = await openPlace(dataDir)
  const file = await readPostmasterPid(place.cluster)
  if (file?.ready && (await servesCluster(file.pid, place.cluster)))
    return { url: urlOf(file.port, await readPassword(place), roleName), close: async () => {} }
  const { url, stop } = await startEmbeddedPostgres({ dataDir })
  return { url, close: stop }
}
