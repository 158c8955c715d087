/**
 * A Kafka for a test, without Kafka: the mock cluster of librdkafka, which kcat runs, and a front before it. The mock keeps
 * topics, partitions and record batches and serves consumers, but speaks two requests only in versions that are older than
 * the client under test: the list of API versions, and metadata. The front answers those two itself, in the form of the
 * protocol's description, and passes on all others byte for byte. So what is proven here is what arrives, in what order and
 * partition, from a mock; replication, fencing and the checks of sequence numbers of a real Kafka are not.
 */
import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { promisify } from 'node:util'
import type { Test } from 'tap'
import { type TestServer, testServer } from './server.js'
import type { Arrival } from './sinks.js'

export type KafkaServer = {
  /** host:port of the front */
  brokers: string
  /** Cuts all connections and takes no new one until `start`; the mock keeps what it has. */
  front: TestServer
  /** Kills the mock, with all it has. */
  mock: TestServer
  addTopic(name: string): Promise<void>
  arrivals(topic: string): Promise<(Arrival & { key: string; partition: number })[]>
  /** How many events of a topic the mock has acknowledged by way of the front. */
  acknowledged(topic: string): number
  /** From now on a record batch larger than this is refused, with Kafka's error for it. */
  refuseAbove(bytes: number): void
}

const PARTITIONS = 4
/** Time that a produce request takes to pass the front, ms: that of a network, and enough to do something meanwhile. */
const LATENCY_MS = 20
const PRODUCE = 0
const METADATA = 3
const API_VERSIONS = 18
const INIT_PRODUCER_ID = 22
/** The versions of requests that the front lets through or answers. */
const VERSIONS = [
  [PRODUCE, 7],
  [METADATA, 9],
  [API_VERSIONS, 3],
  [INIT_PRODUCER_ID, 4]
] as const
const UNKNOWN_TOPIC = 3
const MESSAGE_TOO_LARGE = 10

const run = promisify(execFile)

/** A cluster that is running; killed when the test ends. Fails when there is no kcat to run. */
export async function testKafka(t: Test): Promise<KafkaServer> {
  let mockPort = 0
  const topics = new Set<string>()
  const acknowledged = new Map<string, number>()
  let bytesMax = Number.POSITIVE_INFINITY

  // The mock lives in a consumer, which announces the port that it took.
  const mock = await testServer(t, {
    command: 'kcat',
    args: ['-C', '-b', 'mock', '-t', 'unused', '-X', 'test.mock.num.brokers=1'],
    debian: { package: 'kcat', check: ['kcat', '-V'] },
    onStderr: (text) => {
      mockPort = Number(/replaced with 127\.0\.0\.1:(\d+)/.exec(text)?.[1] ?? mockPort)
    },
    isUp: async () => mockPort > 0
  })

  const sockets = new Set<Socket>()
  const server = createServer({ noDelay: true }, (client) => {
    const broker = connect({ host: '127.0.0.1', port: mockPort, noDelay: true })
    const end = () => {
      for (const socket of [client, broker]) {
        sockets.delete(socket)
        socket.destroy()
      }
    }
    for (const socket of [client, broker]) sockets.add(socket.on('error', end).on('close', end))
    /** By correlation id: the topics and counts of produce requests that the mock has not answered. */
    const asked = new Map<number, Produced[]>()
    onFrames(client, (frame) => {
      const [api, correlation] = [frame.readInt16BE(4), frame.readInt32BE(8)]
      if (api === API_VERSIONS) client.write(reply(correlation, apiVersions(), false))
      else if (api === METADATA) client.write(reply(correlation, metadata(topicsAsked(frame), topics, address().port)))
      else if (api !== PRODUCE) broker.write(frame)
      else {
        const produced = producedBy(frame)
        if (produced.some(({ bytes }) => bytes > bytesMax)) {
          client.write(reply(correlation, refusal(produced), false))
          return
        }
        asked.set(correlation, produced)
        setTimeout(() => broker.writable && broker.write(frame), LATENCY_MS)
      }
    })
    onFrames(broker, (frame) => {
      for (const { topic, count } of asked.get(frame.readInt32BE(4)) ?? []) {
        acknowledged.set(topic, (acknowledged.get(topic) ?? 0) + count)
      }
      client.write(frame)
    })
  })
  const address = (): AddressInfo => server.address() as AddressInfo
  async function listen(port = 0): Promise<void> {
    server.listen(port, '127.0.0.1')
    await once(server, 'listening')
  }
  async function cut(): Promise<void> {
    const closed = once(server, 'close')
    server.close()
    for (const socket of sockets) socket.destroy()
    await closed
  }
  await listen()
  const { port } = address()
  t.teardown(() => (server.listening ? cut() : undefined))

  const kcat = async (...words: string[]): Promise<string> => {
    const settings = ['-q', '-b', `127.0.0.1:${mockPort}`, '-X', 'fetch.wait.max.ms=10']
    return (await run('kcat', [...words, ...settings], { maxBuffer: 2 ** 28, timeout: 60_000 })).stdout
  }
  return {
    brokers: `127.0.0.1:${port}`,
    front: { kill: cut, start: () => listen(port), freeze: mock.freeze, resume: mock.resume },
    mock: {
      ...mock,
      async start() {
        mockPort = 0
        await mock.start()
        for (const name of topics) await kcat('-L', '-t', name)
      }
    },
    async addTopic(name) {
      await kcat('-L', '-t', name) // The mock makes the topics that it is asked for.
      topics.add(name)
    },
    async arrivals(topic) {
      const lines = (await kcat('-C', '-t', topic, '-e', '-J')).split('\n').filter(Boolean)
      return lines.map((line) => {
        const { key, payload, partition, headers } = JSON.parse(line) as Consumed
        const names = headers.filter((_, i) => i % 2 === 0)
        const byName = Object.fromEntries(names.map((name, i) => [name, headers[2 * i + 1]!]))
        return { to: topic, key, partition, headers: byName, body: payload }
      })
    },
    acknowledged: (topic) => acknowledged.get(topic) ?? 0,
    refuseAbove: (bytes) => {
      bytesMax = bytes
    }
  }
}

type Consumed = { key: string; payload: string; partition: number; headers: string[] }
type Produced = { topic: string; partition: number; bytes: number; count: number }

/** Calls back with every whole frame that comes, its length included. */
function onFrames(socket: Socket, onFrame: (frame: Buffer) => void): void {
  let rest: Buffer = Buffer.alloc(0)
  socket.on('data', (bytes: Buffer) => {
    rest = Buffer.concat([rest, bytes])
    while (rest.length >= 4 && rest.length >= 4 + rest.readInt32BE(0)) {
      const end = 4 + rest.readInt32BE(0)
      onFrame(rest.subarray(0, end))
      rest = rest.subarray(end)
    }
  })
}

const int = (bytes: 1 | 2 | 4 | 8, value: number): Buffer => {
  const buffer = Buffer.alloc(bytes)
  if (bytes === 8) buffer.writeBigInt64BE(BigInt(value))
  else buffer.writeIntBE(value, 0, bytes)
  return buffer
}
const text = (value: string): Buffer => Buffer.concat([int(2, Buffer.byteLength(value)), Buffer.from(value)])
const list = (items: Buffer[]): Buffer => Buffer.concat([int(4, items.length), ...items])
// The compact forms write a length plus one, below 128 here, as one byte.
const compactText = (value: string): Buffer => Buffer.concat([int(1, value.length + 1), Buffer.from(value)])
const compactList = (items: Buffer[]): Buffer => Buffer.concat([int(1, items.length + 1), ...items])
const NO_TAGS = int(1, 0)

function reply(correlation: number, body: Buffer, tagged = true): Buffer {
  const frame = Buffer.concat([int(4, correlation), ...(tagged ? [NO_TAGS] : []), body])
  return Buffer.concat([int(4, frame.length), frame])
}

const apiVersions = (): Buffer =>
  Buffer.concat([
    int(2, 0),
    compactList(
      VERSIONS.map(([api, version]) => Buffer.concat([int(2, api), int(2, version), int(2, version), NO_TAGS]))
    ),
    int(4, 0),
    NO_TAGS
  ])

/** The names in a request for metadata, version 9. */
function topicsAsked(frame: Buffer): string[] {
  let at = 14 + frame.readInt16BE(12) + 1 // after the client's name and its tags
  const names = Array.from({ length: frame[at++]! - 1 }, () => {
    const length = frame[at]! - 1
    const name = frame.toString('utf8', at + 1, at + 1 + length)
    at += 1 + length + 1
    return name
  })
  return names
}

/** One broker, the front, which leads all partitions. */
function metadata(names: string[], known: Set<string>, port: number): Buffer {
  const brokers = [Buffer.concat([int(4, 1), compactText('127.0.0.1'), int(4, port), int(1, 0), NO_TAGS])]
  const nodes = compactList([int(4, 1)])
  const partition = (i: number): Buffer =>
    Buffer.concat([int(2, 0), int(4, i), int(4, 1), int(4, 0), nodes, nodes, compactList([]), NO_TAGS])
  const topic = (name: string): Buffer => {
    const partitions = known.has(name) ? Array.from({ length: PARTITIONS }, (_, i) => partition(i)) : []
    const error = int(2, known.has(name) ? 0 : UNKNOWN_TOPIC)
    return Buffer.concat([error, compactText(name), int(1, 0), compactList(partitions), int(4, 0), NO_TAGS])
  }
  const cluster = Buffer.concat([compactText('front'), int(4, 1)])
  return Buffer.concat([int(4, 0), compactList(brokers), cluster, compactList(names.map(topic)), int(4, 0), NO_TAGS])
}

/** The record batches of a produce request, version 7. */
function producedBy(frame: Buffer): Produced[] {
  let at = 14 + frame.readInt16BE(12)
  const take = (bytes: 2 | 4): number => {
    at += bytes
    return frame.readIntBE(at - bytes, bytes)
  }
  take(2) // no transaction
  take(2)
  take(4)
  return Array.from({ length: take(4) }, () => {
    const length = take(2)
    const topic = frame.toString('utf8', at, at + length)
    at += length
    return Array.from({ length: take(4) }, () => {
      const partition = take(4)
      const bytes = take(4)
      const count = frame.readInt32BE(at + 57)
      at += bytes
      return { topic, partition, bytes, count }
    })
  }).flat()
}

/** The answer, version 7, that none of them was taken. */
const refusal = (produced: Produced[]): Buffer =>
  Buffer.concat([
    list(
      produced.map(({ topic, partition }) => {
        const error = Buffer.concat([int(4, partition), int(2, MESSAGE_TOO_LARGE), int(8, -1), int(8, -1), int(8, -1)])
        return Buffer.concat([text(topic), list([error])])
      })
    ),
    int(4, 0)
  ])
