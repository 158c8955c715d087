/**
 * The sink that a subscription asks for. The client of a broker is loaded when the first sink of its kind is opened, so that
 * it costs nothing where nobody uses it.
 */
import type { Sink } from '../domain/sink.js'
import type { SinkConfig } from '../domain/subscription.js'
import { refuseWebhookUrl } from '../domain/webhook-url.js'

/** What sinks need besides their own configuration, by the names of the settings. */
export type SinkSettings = {
  NATS_URL?: string | undefined
  RABBITMQ_URL?: string | undefined
  REDIS_STREAMS_URL?: string | undefined
  KAFKA_BROKERS?: string | undefined
  CLOUDEVENTS_SOURCE: string
  WEBHOOK_PRIVATE_ADDRESSES: boolean
}

type BrokerConfig = Exclude<SinkConfig, { kind: 'webhook' }>

/** The setting that says where the broker of each kind is. */
export const settingOfKind = {
  nats: 'NATS_URL',
  rabbitmq: 'RABBITMQ_URL',
  redis: 'REDIS_STREAMS_URL',
  kafka: 'KAFKA_BROKERS'
} as const satisfies Record<BrokerConfig['kind'], keyof SinkSettings>

/** Why nothing could be delivered to such a sink, in a sentence; null when it could, as far as can be told without trying. */
export function refuseSink(config: SinkConfig, settings: SinkSettings): string | null {
  if (config.kind === 'webhook') {
    const reason = refuseWebhookUrl(config.url, { privateAddresses: settings.WEBHOOK_PRIVATE_ADDRESSES })
    return reason && `A webhook cannot go to this URL: ${reason}.`
  }
  const setting = settingOfKind[config.kind]
  return settings[setting] ? null : `A sink of the kind ${config.kind} needs the setting ${setting}, which is not set.`
}

/** Opens a sink; the other system need not be there yet. Throws an Error when the setting with its address is missing. */
export async function openSink(config: SinkConfig, settings: SinkSettings): Promise<Sink> {
  if (config.kind === 'webhook') {
    const { openWebhookSink } = await import('./webhook-sink.js')
    const { CLOUDEVENTS_SOURCE: source, WEBHOOK_PRIVATE_ADDRESSES: privateAddresses } = settings
    return openWebhookSink({ config: { ...config, secret: config.secret! }, source, privateAddresses })
  }
  const address = settings[settingOfKind[config.kind]]
  if (!address) throw new Error(refuseSink(config, settings)!)
  switch (config.kind) {
    case 'nats': {
      const { openNatsSink } = await import('./nats-sink.js')
      return openNatsSink({ subject: config.subject, url: address })
    }
    case 'rabbitmq': {
      const { openRabbitmqSink } = await import('./rabbitmq-sink.js')
      return openRabbitmqSink({ exchange: config.exchange, url: address })
    }
    case 'redis': {
      const { openRedisStreamsSink } = await import('./redis-streams-sink.js')
      return openRedisStreamsSink({ stream: config.stream, maxLength: config.maxLength, url: address })
    }
    case 'kafka': {
      const { openKafkaSink } = await import('./kafka-sink.js')
      return openKafkaSink({ topic: config.topic, brokers: address })
    }
  }
}
