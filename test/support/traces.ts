/** Places in traces, as W3C Trace Context writes them. */
import { randomBytes } from 'node:crypto'

/** One that stands nowhere else, of a trace that is sampled. */
export const traceparent = (): string => `00-${randomBytes(16).toString('hex')}-${randomBytes(8).toString('hex')}-01`

/** What stands in one. */
export function partsOf(text: string): { traceId: string; spanId: string } {
  const [, traceId = '', spanId = ''] = text.split('-')
  return { traceId, spanId }
}
