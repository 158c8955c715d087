/** A real HTTP server that takes traces as a collector of OpenTelemetry does, and reads their protobuf by itself. */
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { buffer } from 'node:stream/consumers'
import { gunzipSync } from 'node:zlib'
import type { Test } from 'tap'

export type Value = string | number | boolean | null

export type CollectedSpan = {
  traceId: string
  spanId: string
  /** empty: it begins a trace */
  parentSpanId: string
  name: string
  kind: number
  attributes: Record<string, Value>
  links: { traceId: string; spanId: string }[]
  /** 2: it failed */
  status: number
  /** nanoseconds since 1970 */
  start: bigint
  end: bigint
  /** attributes of the service that sent it */
  resource: Record<string, Value>
}

export type Collector = {
  /** for OTEL_EXPORTER_OTLP_ENDPOINT */
  url: string
  spans: CollectedSpan[]
  /** everything that came, as it came, and the paths and headers */
  bodies: Buffer[]
  paths: string[]
  headers: Record<string, unknown>[]
  /** what it answers */
  status: number
}

/** Listens on a free port of loopback. Closed when the test ends. */
export async function startCollector(t: Test): Promise<Collector> {
  const collector: Collector = { url: '', spans: [], bodies: [], paths: [], headers: [], status: 200 }
  const server = createServer(async (request, response) => {
    const sent = await buffer(request)
    const body = request.headers['content-encoding'] === 'gzip' ? gunzipSync(sent) : sent
    collector.bodies.push(body)
    collector.paths.push(request.url!)
    collector.headers.push(request.headers)
    if (collector.status === 200) collector.spans.push(...spansOf(body))
    response.writeHead(collector.status, { 'content-type': 'application/x-protobuf' }).end()
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  collector.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return collector
}

/** Of opentelemetry/proto/collector/trace/v1/trace_service.proto and what that imports, by the numbers of fields. */
function spansOf(body: Buffer): CollectedSpan[] {
  return all(body, 1).flatMap((resourceSpans) => {
    const resource = Object.fromEntries(all(resourceSpans, 1).flatMap((each) => all(each, 1).map(attribute)))
    return all(resourceSpans, 2).flatMap((scopeSpans) => all(scopeSpans, 2).map((span) => spanOf(span, resource)))
  })
}

const spanOf = (span: Buffer, resource: Record<string, Value>): CollectedSpan => ({
  traceId: hex(span, 1),
  spanId: hex(span, 2),
  parentSpanId: hex(span, 4),
  name: text(span, 5),
  kind: Number(first(span, 6) ?? 0),
  attributes: Object.fromEntries(all(span, 9).map(attribute)),
  links: all(span, 13).map((link) => ({ traceId: hex(link, 1), spanId: hex(link, 2) })),
  status: all(span, 15).map((status) => Number(first(status, 3) ?? 0))[0] ?? 0,
  start: BigInt(first(span, 7) as bigint),
  end: BigInt(first(span, 8) as bigint),
  resource
})

const attribute = (keyValue: Buffer): [string, Value] => [
  text(keyValue, 1),
  all(keyValue, 2).map((value): Value => {
    const [field] = fields(value)
    if (!field) return null
    const [number, content] = field
    if (number === 1) return (content as Buffer).toString()
    if (number === 2) return content === 1n
    if (number === 3) return Number(content)
    if (number !== 4) throw new Error(`A value of kind ${number} is not expected.`)
    const double = Buffer.alloc(8)
    double.writeBigUInt64LE(content as bigint)
    return double.readDoubleLE()
  })[0] ?? null
]

const all = (message: Buffer, number: number): Buffer[] =>
  fields(message).flatMap(([each, content]) => (each === number ? [content as Buffer] : []))
const first = (message: Buffer, number: number) => fields(message).find(([each]) => each === number)?.[1]
const text = (message: Buffer, number: number): string => all(message, number)[0]?.toString() ?? ''
const hex = (message: Buffer, number: number): string => all(message, number)[0]?.toString('hex') ?? ''

/** The fields of a message by their numbers: numbers as bigint, all else as bytes. */
function fields(message: Buffer): [number: number, content: bigint | Buffer][] {
  const found: [number, bigint | Buffer][] = []
  let at = 0
  function varint(): bigint {
    let value = 0n
    for (let shift = 0n; ; shift += 7n) {
      const byte = message[at++]!
      value |= BigInt(byte & 0x7f) << shift
      if (byte < 0x80) return value
    }
  }
  while (at < message.length) {
    const tag = Number(varint())
    const [number, kind] = [tag >> 3, tag & 7]
    if (kind === 0) {
      found.push([number, varint()])
      continue
    }
    const length = kind === 1 ? 8 : kind === 5 ? 4 : Number(varint())
    const content = message.subarray(at, at + length)
    found.push([number, kind === 1 ? content.readBigUInt64LE() : content])
    at += length
  }
  return found
}
