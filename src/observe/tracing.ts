/**
 * Traces of what the service does, for those who look at them in a system of their own. What is traced knows this file alone; where
 * no settings ask for traces, nothing of OpenTelemetry is loaded, and a span is a call of the function that it is about.
 *
 * Names of spans are few: what is counted by them stays small. Ids are attributes. Neither holds what users are: no data of events,
 * no address, no URL, and of an error its code alone, since messages may quote what was sent.
 */
import { isSampled } from '../domain/traceparent.js'

export type Attributes = Record<string, string | number | boolean>

export type SpanOptions = {
  kind?: 'server' | 'client' | 'producer'
  attributes?: Attributes
  /** traceparent of the span that it continues; null: it begins a trace; absent: the one under way here, if there is one */
  parent?: string | null | undefined
  /** traceparents of others that it is about; nulls are passed over. As many as OTEL_SPAN_LINK_COUNT_LIMIT says (128) are kept. */
  links?: readonly (string | null)[]
}

export type Span = {
  /** W3C traceparent by which others continue it; null where nothing is traced */
  traceparent: string | null
  set(attributes: Attributes): void
}

/** A span that whoever started it ends. */
export type OpenSpan = Span & {
  /** Spans that `work` begins, and what it calls, are its children. */
  run<T>(work: () => T): T
  /** Ends it; `failure` is a code that says why it did not succeed. */
  end(failure?: string | null): void
}

export type Tracer = {
  /** whether anything is traced */
  on: boolean
  /** The span under way here; one that holds nothing where there is none. */
  current(): Span
  /** A span around `work`, which fails if that does. `options` is called only where something is traced. */
  span<T>(name: string, options: () => SpanOptions, work: (span: Span) => Promise<T>): Promise<T>
  /** Begins a span that does not end with a function. */
  start(name: string, options: SpanOptions): OpenSpan
  /** Sends what was not sent yet, within some seconds. Can be called once. */
  close(): Promise<void>
}

export const noSpan: OpenSpan = { traceparent: null, set() {}, run: (work) => work(), end() {} }

/** Traces nothing. */
export const untraced: Tracer = {
  on: false,
  current: () => noSpan,
  span: (_name, _options, work) => work(noSpan),
  start: () => noSpan,
  async close() {}
}

/** Of the members of a batch by their traceparents, one whose trace is kept, or else the first: the batch becomes part of its trace. */
export const leadOf = (members: readonly (string | null)[]): string | null =>
  members.find((member) => member !== null && isSampled(member)) ?? members[0] ?? null
