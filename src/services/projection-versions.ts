/**
 * Which instances may work on a projection: those whose code is of the version of its tables. An older one leaves them, and the
 * leases, to newer ones; a newer one begins a rebuild, as new rules of registered event types do.
 */
import type { Db } from '../db/client.js'
import type { Projection } from '../domain/projection.js'
import { selectHeads } from '../store/log.js'
import { insertProjection, type ProjectionVersions, selectVersions, startRebuild } from '../store/projections.js'
import type { EventTypeService } from './event-types.js'

/** A log this long is projected for the first time by a rebuild: it fills tables faster than those that serve can be. */
export const FIRST_FILL_EVENTS = 10_000

export type VersionCheck = ReturnType<typeof createVersionCheck>

export function createVersionCheck(parts: {
  db: Db
  eventTypes: Pick<EventTypeService, 'effectiveRevision'>
  projection: Projection
  buckets: number
}) {
  const { db, eventTypes, projection, buckets } = parts
  const { name, version } = projection

  /** Notes the projection at its first start. Of a log that is long already it says that no version serves yet: a rebuild is due. */
  async function versions(): Promise<ProjectionVersions> {
    const found = await selectVersions(db, name)
    if (found) return found
    const events = (await selectHeads(db, buckets)).reduce((sum, head) => sum + head, 0)
    const typesRevision = eventTypes.effectiveRevision()
    await insertProjection(db, { name, version: events < FIRST_FILL_EVENTS ? version : 0, typesRevision })
    return await versions()
  }

  function isDue({ serves, rebuild }: ProjectionVersions): boolean {
    const filled = rebuild ?? serves
    if (filled.version !== version) return filled.version < version
    return filled.typesRevision < eventTypes.effectiveRevision()
  }

  return {
    /** Whether this instance may write to the tables that serve. */
    async mayProject(): Promise<boolean> {
      return (await versions()).serves.version === version
    },

    /** Whether a rebuild is under way that this instance can work on. One that is due it begins. */
    async mayRebuild(): Promise<boolean> {
      const found = await versions()
      if (isDue(found)) return (await startRebuild(db, projection, eventTypes.effectiveRevision())) !== 'newer'
      return found.rebuild?.version === version
    }
  }
}
