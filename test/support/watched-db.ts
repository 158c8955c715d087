/** Looks at what goes to the database, and lets an answer arrive late, as a slow network would. */
import type { Db, Param } from '../../src/db/client.js'

export type WatchedDb = {
  db: Db
  /** statements so far, with their parameters */
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
