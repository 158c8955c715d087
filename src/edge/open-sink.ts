/** The sink that a subscription asks for. Its client is loaded when the first one is opened, so that it costs nothing where nobody uses it. */
import type { Sink } from '../domain/sink.js'
import type { SinkConfig } from '../domain/subscription.js'
import { refuseWebhookUrl } from '../domain/webhook-url.js'

/** What sinks need besides their own configuration, by the names of the settings. */
export type SinkSettings = {
  CLOUDEVENTS_SOURCE: string
  WEBHOOK_PRIVATE_ADDRESSES: boolean
}

/** Why nothing could be delivered to such a sink, in a sentence; null when it could, as far as can be told without trying. */
export function refuseSink(config: SinkConfig, settings: SinkSettings): string | null {
  const reason = refuseWebhookUrl(config.url, { privateAddresses: settings.WEBHOOK_PRIVATE_ADDRESSES })
  return reason && `A webhook cannot go to this URL: ${reason}.`
}

/** Opens a sink; the other system need not be there yet. */
export async function openSink(config: SinkConfig, settings: SinkSettings): Promise<Sink> {
  const { openWebhookSink } = await import('./webhook-sink.js')
  const { CLOUDEVENTS_SOURCE: source, WEBHOOK_PRIVATE_ADDRESSES: privateAddresses } = settings
  return openWebhookSink({ config: { ...config, secret: config.secret! }, source, privateAddresses })
}
