/**
 * A tracer over the SDK of OpenTelemetry, which heeds its variables of the environment: sampler, limits, batches, headers and timeout
 * of the exporter, attributes of the resource. It sends OTLP over HTTP as protobuf. Loaded where settings ask for it (optional-parts.ts).
 *
 * Nothing global is registered: libraries that look for a tracer of their own find none.
 */
import { AsyncLocalStorage } from 'node:async_hooks'
import {
  type Span as ApiSpan,
  type Context,
  ROOT_CONTEXT,
  type SpanContext,
  SpanKind,
  SpanStatusCode,
  trace
} from '@opentelemetry/api'
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-proto'
import { defaultResource, detectResources, envDetector, resourceFromAttributes } from '@opentelemetry/resources'
import { BasicTracerProvider, BatchSpanProcessor, type SpanExporter } from '@opentelemetry/sdk-trace-base'
import { asTraceparent, isSampled } from '../domain/traceparent.js'
import { noSpan, type OpenSpan, type SpanOptions, type Tracer } from './tracing.js'

/** Longest time that the end of the service waits for the last spans to leave, ms. */
const CLOSING_MS = 3000

const KINDS = { server: SpanKind.SERVER, client: SpanKind.CLIENT, producer: SpanKind.PRODUCER }

export function openOpenTelemetry(about: {
  /** where spans are POSTed to */
  url: string
  serviceName: string
  version: string
  instance: string
  onTrouble: (reason: string) => void
}): Tracer {
  const exporter = telling(new OTLPTraceExporter({ url: about.url }), about.onTrouble)
  const own = resourceFromAttributes({
    'service.name': about.serviceName,
    'service.version': about.version,
    'service.instance.id': about.instance
  })
  const provider = new BasicTracerProvider({
    resource: defaultResource()
      .merge(own)
      .merge(detectResources({ detectors: [envDetector] })),
    spanProcessors: [new BatchSpanProcessor(exporter)]
  })
  const tracer = provider.getTracer('user-event-store', about.version)
  const underWay = new AsyncLocalStorage<{ span: ApiSpan; own: OpenSpan }>()

  function contextOf(parent: string | null | undefined): Context {
    if (parent === undefined) {
      const here = underWay.getStore()
      return here ? trace.setSpan(ROOT_CONTEXT, here.span) : ROOT_CONTEXT
    }
    const remote = spanContextOf(parent)
    return remote ? trace.setSpanContext(ROOT_CONTEXT, remote) : ROOT_CONTEXT
  }

  function start(name: string, { kind, attributes = {}, parent, links = [] }: SpanOptions): OpenSpan {
    const options = {
      kind: kind ? KINDS[kind] : SpanKind.INTERNAL,
      attributes,
      links: links.flatMap((link) => spanContextOf(link) ?? []).map((context) => ({ context }))
    }
    const span = tracer.startSpan(name, options, contextOf(parent))
    const own: OpenSpan = {
      traceparent: textOf(span.spanContext()),
      set: (more) => void span.setAttributes(more),
      run: (work) => underWay.run({ span, own }, work),
      end(failure = null) {
        if (failure !== null) span.setAttribute('error.type', failure).setStatus({ code: SpanStatusCode.ERROR })
        span.end()
      }
    }
    return own
  }

  return {
    on: true,
    current: () => underWay.getStore()?.own ?? noSpan,
    start,
    async span(name, options, work) {
      const span = start(name, options())
      try {
        const result = await span.run(() => work(span))
        span.end()
        return result
      } catch (err) {
        span.end(codeOf(err))
        throw err
      }
    },
    async close() {
      let timer: NodeJS.Timeout | undefined
      const late = new Promise<void>((resolve) => {
        timer = setTimeout(resolve, CLOSING_MS)
      })
      await Promise.race([provider.shutdown().catch(() => {}), late])
      clearTimeout(timer)
    }
  }
}

function spanContextOf(text: string | null): SpanContext | null {
  if (asTraceparent(text) === null) return null
  const [, traceId = '', spanId = ''] = text!.split('-')
  return { traceId, spanId, traceFlags: isSampled(text!) ? 1 : 0, isRemote: true }
}

const textOf = ({ traceId, spanId, traceFlags }: SpanContext): string => `00-${traceId}-${spanId}-0${traceFlags & 1}`

/** A word for what went wrong: the message of an error may quote what was sent. */
function codeOf(err: unknown): string {
  if (!(err instanceof Error)) return 'unknown'
  const { code } = err as Error & { code?: unknown }
  return typeof code === 'string' && /^\w{1,50}$/.test(code) ? code : err.name
}

/** The exporter, which tells the first of failures in a row. */
function telling(exporter: SpanExporter, onTrouble: (reason: string) => void): SpanExporter {
  let failing = false
  return {
    export(spans, done) {
      exporter.export(spans, (result) => {
        const failed = result.code !== 0
        if (failed && !failing) onTrouble(codeOf(result.error))
        failing = failed
        done(result)
      })
    },
    shutdown: () => exporter.shutdown(),
    forceFlush: async () => exporter.forceFlush?.()
  }
}
