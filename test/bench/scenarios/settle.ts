/** Background work on what was filled in would be measured as well. */
import { until } from '../../support/wait.js'
import type { Database, Server } from '../machine.js'
import { drain } from './requests.js'

/** Waits until the background work of a service has caught up with what was filled in. */
export async function settle({ sql }: Database, { url }: Server, note: (text: string) => void): Promise<void> {
  const isSettled = async (): Promise<boolean> => {
    const [row] = await sql.unsafe<{ behind: string }[]>(
      `SELECT (SELECT max(position) FROM user_events WHERE bucket = 0) - coalesce((SELECT min(position) FROM workers WHERE name IN ('statistics', 'snapshots')), 0) AS behind`
    )
    const answer = await fetch(`${url}/admin/projections`)
    if (!answer.ok) return false
    const { projections } = (await answer.json()) as { projections: { lagEvents: number }[] }
    const behind = Math.max(Number(row!.behind), ...projections.map(({ lagEvents }) => lagEvents))
    note(`background work has ${behind} events to go`)
    return behind === 0
  }
  await until(isSettled, { timeoutMs: 7_200_000, everyMs: 5000, what: 'background work to catch up' })
  await sql.unsafe('CHECKPOINT')
  await drain(await fetch(`${url}/stats/events`))
}
