import { jetstream, jetstreamManager } from '@nats-io/jetstream'
import { connect, type NatsConnection } from '@nats-io/transport-node'
import { testNats } from '../../support/nats.js'
import { until } from '../../support/wait.js'
import { lazily } from '../lazily.js'
import { seedInterleaved } from '../seed.js'
import type { Bench, Measure, Scenario } from './scenario.js'

const EVENTS = 200_000
const BATCH = 1000
const PATH = '/admin/subscriptions'

/** How fast a subscription delivers a log to NATS JetStream, against a client that publishes as many messages of the size as fast as it can. */
export function delivery({ bring, note }: Bench): Scenario[] {
  const prepare = lazily(async () => {
    const machine = await bring()
    note('filling the database to deliver')
    const database = await machine.createDatabase('delivered')
    await seedInterleaved(database.sql, EVENTS)
    const nats = await testNats({ teardown: machine.onStop })
    const connection = await connect({ servers: nats.url })
    machine.onStop(() => connection.close())
    return { connection, service: await machine.startService(database, { NATS_URL: nats.url }) }
  })
  let round = 0

  const relay: Measure = async () => {
    const { connection, service } = await prepare()
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
    const { connection } = await prepare()
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
      prepare,
      slow: true,
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
