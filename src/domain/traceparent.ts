/** The place in a trace that work belongs to, as W3C Trace Context writes it (https://www.w3.org/TR/trace-context/#traceparent-header). */

/** Version, id of the trace, id of the span, flags. An id of zeros names nothing, and ff is no version. */
const TRACEPARENT = /^(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$/

/** `value` if it is one; null for all else, as the standard wants what cannot be read to count as nothing. */
export const asTraceparent = (value: unknown): string | null =>
  typeof value === 'string' && TRACEPARENT.test(value) ? value : null

/** Whether the trace is kept by whoever began it: only then is it of use to those who look at traces. */
export const isSampled = (traceparent: string): boolean => (Number.parseInt(traceparent.slice(-1), 16) & 1) === 1
