/**
 * What a projection is: rows that are made of events, one event after the other. Events of different users may be applied
 * in any order, those of one user come in theirs, each exactly once.
 */
import type { Catalog } from './catalog.js'
import type { FoldEvent } from './event.js'

/** An event as a projection sees it: with its data as stored. */
export type ProjectedEvent = FoldEvent & {
  position: number
  aggregateId: string
  tenantId: string
  /** the trace it was appended in, where that was asked for */
  traceparent?: string | null
}

/** Columns by their names; `bucket` is not among them, the runner knows it. */
export type Row = Record<string, unknown>

export type ProjectionTable = {
  name: string
  /** columns of the primary key, without `bucket` */
  key: readonly string[]
  /** columns that `apply` reads of a row */
  reads: readonly string[]
}

/** One row of a table: which it is, or what it shall be. */
export type TableRow = { table: ProjectionTable; row: Row }

export type Projection = {
  name: string
  /** Goes up with everything that gives other rows for the same events; then the tables are rebuilt. */
  version: number
  tables: readonly ProjectionTable[]
  /** The keys of all rows that `apply` may ask for. */
  keysOf(event: ProjectedEvent): TableRow[]
  /**
   * The rows that the event changes, whole. `current` gives a row by its key, null if there is none. Pure; throws if the event
   * cannot be applied.
   */
  apply(event: ProjectedEvent, current: (key: TableRow) => Row | null, catalog: Catalog): TableRow[]
}

/** Names a row among all of a projection. */
export const nameOfRow = ({ table, row }: TableRow): string =>
  `${table.name}/${table.key.map((column) => row[column]).join('/')}`
