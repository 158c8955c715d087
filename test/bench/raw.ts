/**
 * What PostgreSQL and its driver can do without us, from a process of its own, which answers every RawPlan that is sent to
 * it with a RawResult. Rows go into the same table as ours, in a bucket that the service does not use.
 */
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import postgres from 'postgres'

export type RawPlan = { databaseUrl: string; connections: number; durationMs: number } & (
  | { kind: 'insert'; rows: number; eventData: string }
  /** `users`: those whose ids are $1 by turns; a statement without one is told none */
  | { kind: 'select'; statement: string; users?: string[] }
  /** a COPY … TO STDOUT, read to its end; of many rows */
  | { kind: 'copy'; statement: string }
)

/** `perSecond` counts statements */
export type RawResult = { perSecond: number; p50Ms: number; p99Ms: number }

const BUCKET = 30_000
const INSERT = `INSERT INTO user_events (bucket, position, id, "aggregateId", version, "eventType", "schemaVersion", "eventData", "tenantId", "createdAt")`
const ROW = 10
const text = { serialize: (value: string) => value, parse: (value: string) => value }

async function raw(plan: RawPlan): Promise<RawResult> {
  const sql = postgres(plan.databaseUrl, {
    max: plan.connections,
    fetch_types: false,
    connection: { synchronous_commit: 'on', jit: 'off' } as object,
    types: { json: { to: 114, from: [114, 3802], ...text }, date: { to: 1184, from: [1082, 1114, 1184], ...text } }
  })
  const [last] = await sql`SELECT coalesce(max(position), 0) AS position FROM user_events WHERE bucket = ${BUCKET}`
  let position = Number(last!.position)

  async function insert(rows: number, eventData: string): Promise<void> {
    const now = new Date().toISOString()
    const nil = '00000000-0000-0000-0000-000000000000'
    const params: (string | number)[] = []
    for (let i = 0; i < rows; i++)
      params.push(BUCKET, ++position, randomUUID(), randomUUID(), 1, 'UserUpdated', 1, eventData, nil, now)
    await sql.unsafe(`${INSERT} VALUES ${values(rows)}`, params, { prepare: true })
  }

  let turn = 0
  async function statement(): Promise<void> {
    if (plan.kind === 'insert') return await insert(plan.rows, plan.eventData)
    if (plan.kind === 'select') {
      const params = plan.users ? [plan.users[turn++ % plan.users.length]!] : []
      await sql.unsafe(plan.statement, params, { prepare: true })
      return
    }
    // Handed on at once: of pieces that pile up the driver (postgres 3.4) may stop to read for ever.
    const rows = await sql.unsafe(plan.statement).readable()
    rows.on('data', () => {})
    await once(rows, 'end')
  }

  await Promise.all(Array.from({ length: plan.connections }, statement))
  const latenciesMs: number[] = []
  const startedAt = performance.now()
  const endAt = startedAt + plan.durationMs
  await Promise.all(
    Array.from({ length: plan.connections }, async () => {
      while (performance.now() < endAt) {
        const from = performance.now()
        await statement()
        latenciesMs.push(performance.now() - from)
      }
    })
  )
  const seconds = (performance.now() - startedAt) / 1000
  await sql.end({ timeout: 5 })
  latenciesMs.sort((a, b) => a - b)
  return {
    perSecond: latenciesMs.length / seconds,
    p50Ms: latenciesMs[Math.floor(latenciesMs.length * 0.5)]!,
    p99Ms: latenciesMs[Math.floor(latenciesMs.length * 0.99)]!
  }
}

const placeholders = new Map<number, string>()
function values(rows: number): string {
  const known = placeholders.get(rows)
  if (known) return known
  const row = (i: number) =>
    `(${Array.from({ length: ROW }, (_, k) => `$${i * ROW + k + 1}${k === 7 ? '::text::jsonb' : ''}`)})`
  const made = Array.from({ length: rows }, (_, i) => row(i)).join(',')
  placeholders.set(rows, made)
  return made
}

process.on('message', async (plan: RawPlan) => process.send!(await raw(plan)))
