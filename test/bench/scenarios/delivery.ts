import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { jetstream, jetstreamManager } from '@nats-io/jetstream'
import { connect, type NatsConnection } from '@nats-io/transport-node'
import { until } from '../../support/wait.js'
import type { Machine } from '../machine.js'
import { seedInterleaved } from '../seed.js'
import type { Measure, Scenario } from './scenario.js'

const EVENTS = 200_000
const BATCH = 1000
const PATH = '/admin/subscriptions'

/** How fast a subscription delivers a log to NATS JetStream, against a client that publishes as many messages of the size as fast as it can. */
export async function delivery(machine: Machine, note: (text: string) => void): Promise<Scenario[]> {
  note('filling the database to deliver')
  const database = await machine.createDatabase('delivered')
  await seedInterleaved(database.sql, EVENTS)
  const address = await startNats(machine)
  const connection = await connect({ servers: address })
  machine.onStop(() => connection.close())
  const service = await machine.startService(database, { NATS_URL: `nats://${address}` })
  let round = 0

  const relay: Measure = async () => {
    const name = `round-${round++}`
    await stream(connection, name)
    const sink = { kind: 'nats', subject: name }
    const body = JSON.stringify({ name, sink, batchSize: BATCH, start: 'beginning' })
    const startedAt = performance.now()
    const made = await fetch(service.url + PATH, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body
    })
    if (made.status !== 201) throw new Error(await made.text())
    await until(
      async () => {
        const numbers = (await (await fetch(`${service.url}${PATH}/${name}`)).json()) as { lagEvents: number }
        return numbers.lagEvents === 0
      },
      { timeoutMs: 120_000, everyMs: 50, what: 'all events to be delivered' }
    )
    const perSecond = EVENTS / ((performance.now() - startedAt) / 1000)
    const { state } = await (await jetstreamManager(connection)).streams.info(name)
    if (state.messages !== EVENTS) throw new Error(`${state.messages} of ${EVENTS} events are in the stream.`)
    await fetch(`${service.url}${PATH}/${name}`, { method: 'DELETE' })
    await (await jetstreamManager(connection)).streams.delete(name)
    return perSecond
  }

  const raw: Measure = async () => {
    const name = `raw-${round++}`
    await stream(connection, name)
    const message = Buffer.alloc(500, 'x')
    const publisher = jetstream(connection)
    const startedAt = performance.now()
    for (let sent = 0; sent < EVENTS; sent += BATCH)
      await Promise.all(
        Array.from({ length: BATCH }, (_, i) => publisher.publish(`${name}.x`, message, { msgID: `${sent + i}` }))
      )
    const perSecond = EVENTS / ((performance.now() - startedAt) / 1000)
    await (await jetstreamManager(connection)).streams.delete(name)
    return perSecond
  }

  return [
    {
      name: 'deliver to NATS JetStream',
      unit: 'rate',
      atLeast: 20_000,
      measure: relay,
      limits: [{ name: 'bare publishes', measure: raw }]
    }
  ]
}

async function stream(connection: NatsConnection, name: string): Promise<void> {
  const manager = await jetstreamManager(connection)
  await manager.streams.add({ name, subjects: [`${name}.>`] })
}

/** Starts nats-server with JetStream on disk; resolves with host:port when it answers. */
async function startNats(machine: Machine): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'user-event-store-bench-nats-'))
  const probe = createServer().listen(0, '127.0.0.1')
  await once(probe, 'listening')
  const { port } = probe.address() as { port: number }
  probe.close()
  const child = spawn('nats-server', ['-js', '-sd', folder, '-a', '127.0.0.1', '-p', String(port)], { stdio: 'ignore' })
  machine.onStop(async () => {
    child.kill('SIGKILL')
    await rm(folder, { recursive: true, force: true })
  })
  const address = `127.0.0.1:${port}`
  let ended = false
  for (const event of ['error', 'exit']) child.once(event, () => (ended = true))
  await until(
    async () => {
      if (ended) throw new Error('nats-server ended. Install it: apt-get install nats-server.')
      const connection = await connect({ servers: address, reconnect: false }).catch(() => null)
      await connection?.close()
      return connection !== null
    },
    { what: 'nats-server to answer' }
  )
  return address
}
