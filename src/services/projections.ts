/** What an operator sees and does of projections. */
import type { Db } from '../db/client.js'
import { DomainError } from '../domain/errors.js'
import type { Projection } from '../domain/projection.js'
import type { ProjectionGauges } from '../observe/gauges.js'
import {
  dropOldTables,
  type ProjectionStatus,
  type RebuildStage,
  selectOldTables,
  selectParkedPage,
  selectProjection,
  startRebuild,
  updateTriedAt
} from '../store/projections.js'
import type { EventTypeService } from './event-types.js'

export type ProjectionView = {
  name: string
  /** of the code of this instance, and of what serves */
  version: number
  servedVersion: number
  filledAt: string
  /** last position of the log, and up to which the tables that serve hold everything */
  head: number
  position: number
  lagEvents: number
  parkedUsers: number
  rebuild: RebuildView | null
  /** whether the tables that the last rebuild replaced are still there */
  oldTables: boolean
}

export type RebuildView = {
  version: number
  stage: RebuildStage
  startedAt: string
  eventsDone: number
  eventsPerSecond: number
  /** null while nothing is done yet */
  secondsLeft: number | null
  parkedUsers: number
}

export type ParkedUser = { userId: string; tenantId: string; version: number; error: string; since: string }

export type ProjectionService = ReturnType<typeof createProjectionService>

export function createProjectionService(parts: {
  db: Db
  projections: readonly Projection[]
  eventTypes: Pick<EventTypeService, 'effectiveRevision'>
  buckets: number
}) {
  const { db, projections, eventTypes, buckets } = parts

  function find(name: string): Projection {
    const found = projections.find((each) => each.name === name)
    if (found) return found
    const known = projections.map((each) => each.name).join(', ')
    throw new DomainError('PROJECTION_NOT_FOUND', `There is no projection ${name}. Those of this service: ${known}.`)
  }

  async function view(projection: Projection): Promise<ProjectionView> {
    const status = await selectProjection(db, projection.name, buckets)
    const oldTables = await selectOldTables(db, projection)
    return { name: projection.name, version: projection.version, oldTables, ...viewOf(status ?? notStarted) }
  }

  return {
    /** All projections: how far they are, who is parked, and how a rebuild goes on. */
    list: (): Promise<ProjectionView[]> => Promise.all(projections.map(view)),

    /** One of them. Throws PROJECTION_NOT_FOUND. */
    read: (name: string): Promise<ProjectionView> => view(find(name)),

    /** Users whose events could not be applied, by id, at most `limit` after one. Throws PROJECTION_NOT_FOUND. */
    parked: (name: string, page: { after: string | undefined; limit: number }): Promise<ParkedUser[]> =>
      selectParkedPage(db, find(name).name, page),

    /** Has users who are parked tried again within seconds, one of them or all; tells how many. Throws PROJECTION_NOT_FOUND. */
    retry: (name: string, userId: string | null): Promise<number> => updateTriedAt(db, find(name).name, userId),

    /**
     * Begins a rebuild, unless one of this version is under way: `started` tells. The tables that serve go on serving.
     * Throws PROJECTION_NOT_FOUND; PROJECTION_NEWER if the tables, or a rebuild, are of a newer version than this instance.
     */
    async rebuild(name: string): Promise<{ started: boolean; projection: ProjectionView }> {
      const projection = find(name)
      const start = await startRebuild(db, projection, eventTypes.effectiveRevision())
      if (start === 'newer') {
        throw new DomainError(
          'PROJECTION_NEWER',
          `The tables of projection ${name} are kept by a newer version of the service than this one (${projection.version}). Send the request to an instance of that version.`
        )
      }
      return { started: start === 'started', projection: await view(projection) }
    },

    /** Drops the tables that the last rebuild replaced; false when there are none. Throws PROJECTION_NOT_FOUND. */
    dropOld: (name: string): Promise<boolean> => dropOldTables(db, find(name)),

    /** Numbers for the metrics page. */
    gauges: (): Promise<ProjectionGauges[]> =>
      Promise.all(
        projections.map(async ({ name }) => {
          const { lagEvents, parkedUsers } = viewOf((await selectProjection(db, name, buckets)) ?? notStarted)
          return { projection: name, lagEvents, parkedUsers }
        })
      )
  }
}

const notStarted: ProjectionStatus = {
  version: 0,
  filledAt: new Date(0).toISOString(),
  rebuild: null,
  parked: 0,
  rebuildParked: 0,
  places: []
}

function viewOf(status: ProjectionStatus): Omit<ProjectionView, 'name' | 'version' | 'oldTables'> {
  const { version, filledAt, places, parked, rebuild, rebuildParked } = status
  const head = sum(places.map((place) => place.head))
  const position = sum(places.map((place) => place.position))
  return {
    servedVersion: version,
    filledAt,
    head,
    position,
    lagEvents: head - position,
    parkedUsers: parked,
    rebuild: rebuild && {
      version: rebuild.version,
      stage: rebuild.stage,
      startedAt: rebuild.startedAt,
      ...progressOf(rebuild.startedAt, sum(places.map((place) => place.rebuilt)), head),
      parkedUsers: rebuildParked
    }
  }
}

function progressOf(startedAt: string, eventsDone: number, head: number) {
  const seconds = Math.max(0.001, (Date.now() - Date.parse(startedAt)) / 1000)
  const eventsPerSecond = Math.round(eventsDone / seconds)
  const secondsLeft = eventsPerSecond === 0 ? null : Math.ceil((head - eventsDone) / eventsPerSecond)
  return { eventsDone, eventsPerSecond, secondsLeft }
}

const sum = (numbers: number[]): number => numbers.reduce((total, each) => total + each, 0)
