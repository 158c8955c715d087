/** Looks at what goes to the database, and lets an answer arrive late, as a slow network would. */
import type { Db, Param } from '../../src/db/client.js'

export type WatchedDb = {
  db: Db
  /** statements so far, with their parameters; of the query builder every select, also one within another, without its text */
  sent: { text: string; params: readonly Param[] }[]
  /** Keeps the answer to the next statement until `release` is called; `taken` resolves when the database has given it. */
  holdNext(): { taken: Promise<void>; release: () => void }
}

export function watchDb(db: Db): WatchedDb {
  const sent: WatchedDb['sent'] = []
  let hold: { onTaken: () => void; released: Promise<void> } | null = null
  return {
    sent,
    holdNext() {
      let [onTaken, release] = [() => {}, () => {}]
      const taken = new Promise<void>((resolve) => {
        onTaken = resolve
      })
      const released = new Promise<void>((resolve) => {
        release = resolve
      })
      hold = { onTaken, released }
      return { taken, release }
    },
    db: {
      ...db,
      as() {
        return this
      },
      orm: new Proxy(db.orm, {
        get(orm, name) {
          const found = Reflect.get(orm, name)
          if (name !== 'select') return found
          return (...columns: Parameters<typeof orm.select>) => {
            sent.push({ text: 'select of the query builder', params: [] })
            return orm.select(...columns)
          }
        }
      }),
      async query<Row extends object>(text: string, params: readonly Param[] = [], options = {}) {
        sent.push({ text, params })
        const held = hold
        hold = null
        const rows = await db.query<Row>(text, params, options)
        held?.onTaken()
        await held?.released
        return rows
      }
    }
  }
}
