/** A webhook sink for tests, which may go to loopback, where receivers of tests are. */
import { randomBytes } from 'node:crypto'
import type { Test } from 'tap'
import type { StoredEvent } from '../../src/domain/event.js'
import type { Outcome } from '../../src/domain/sink.js'
import type { WebhookConfig } from '../../src/domain/subscription.js'
import { webhookSecretOf } from '../../src/domain/subscription.js'
import { openWebhookSink } from '../../src/edge/webhook-sink.js'

export const SOURCE = '/test-store'

/** Closed when the test ends. */
export function webhookTo(
  t: Test,
  url: string,
  { privateAddresses = true, ...config }: Partial<WebhookConfig> & { privateAddresses?: boolean } = {}
) {
  const secret = webhookSecretOf(randomBytes(32))
  const sink = openWebhookSink({
    config: { kind: 'webhook', url, secret, ...config },
    source: SOURCE,
    privateAddresses
  })
  let closing: Promise<void> | null = null
  const close = (): Promise<void> => {
    closing ??= sink.close()
    return closing
  }
  t.teardown(close)
  return {
    secret,
    close,
    publish: (batch: readonly StoredEvent[], signal = new AbortController().signal): Promise<Outcome[]> =>
      sink.publish(batch, signal)
  }
}

/** How many outcomes there are of each kind. */
export function countKinds(outcomes: Outcome[]): Partial<Record<Outcome['kind'], number>> {
  const counts: Partial<Record<Outcome['kind'], number>> = {}
  for (const { kind } of outcomes) counts[kind] = (counts[kind] ?? 0) + 1
  return counts
}
