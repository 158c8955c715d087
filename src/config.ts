/**
 * Settings: one schema, from which the type, the defaults, the check and the table in README come. A wrong value stops
 * the start with a sentence for each, and nothing is opened before all are right.
 */
import { isIP } from 'node:net'
import { FormatRegistry, type Static, type TSchema, Type } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import { Cron } from 'croner'
import { CHOSEN_KEY } from './domain/api-key.js'
import { LARGEST_USERS_MAX } from './store/statistics.js'

const integer = (minimum: number, maximum: number, value: number, description: string) =>
  Type.Integer({ minimum, maximum, default: value, description })

const KiB = 1024
const MiB = 1024 * KiB

FormatRegistry.Set('cron', (text) => {
  try {
    return new Cron(text, { paused: true }).nextRun() !== null
  } catch {
    return false
  }
})

/** Keys come over a connection that nobody on the way can change. */
FormatRegistry.Set('jwks-url', (text) => {
  if (!URL.canParse(text)) return false
  const { protocol, hostname, username, password } = new URL(text)
  const loopback = ['localhost', '127.0.0.1', '[::1]'].includes(hostname)
  return !username && !password && (protocol === 'https:' || (protocol === 'http:' && loopback))
})
/** As browsers write them: without a path, a default port or capital letters, or they would never match. */
FormatRegistry.Set('origins', (text) =>
  text.split(',').every((origin) => {
    if (!/^https?:[^*]+$/.test(origin) || !URL.canParse(origin)) return false
    return new URL(origin).origin === origin
  })
)

/** Addresses and networks; one of no bits would be everybody, and then anybody could name any address. */
FormatRegistry.Set('proxies', (text) =>
  text.split(',').every((proxy) => {
    const [address = '', bits, ...rest] = proxy.split('/')
    if (rest.length > 0 || isIP(address) === 0 || address.includes('%')) return false
    return bits === undefined || (/^[1-9]\d{0,2}$/.test(bits) && Number(bits) <= (isIP(address) === 4 ? 32 : 128))
  })
)

export const settings = Type.Object({
  DATABASE_URL: Type.Optional(
    Type.String({
      pattern: '^postgres(ql)?://',
      description:
        'PostgreSQL 15 to 18, such as `postgres://user:password@host/database`; absent: an embedded one under DATA_DIR'
    })
  ),
  DATA_DIR: Type.String({ minLength: 1, default: './data', description: 'folder of the embedded PostgreSQL' }),
  HOST: Type.String({ minLength: 1, default: '127.0.0.1', description: 'address to listen on' }),
  PORT: integer(0, 65_535, 3000, 'port to listen on; 0 takes any free one'),
  AUTH: Type.Optional(
    Type.Union([Type.Literal('on'), Type.Literal('off')], {
      description:
        'whether requests must say who sends them; absent: as soon as there is an API key, and until then only this machine is served'
    })
  ),
  BOOTSTRAP_ADMIN_KEY: Type.Optional(
    Type.String({
      pattern: CHOSEN_KEY,
      description: 'API key with all scopes that is there from the start: 32 to 200 random characters'
    })
  ),
  AUDIT_MAX_AGE_DAYS: integer(1, 36_500, 365, 'age at which notes of what administrators did go'),
  METRICS_PORT: Type.Optional(
    Type.Integer({
      minimum: 0,
      maximum: 65_535,
      description: 'port that `/metrics` has for itself; 0 takes any free one; absent: it is on PORT'
    })
  ),
  METRICS_HOST: Type.Optional(
    Type.String({ minLength: 1, description: 'address to listen on for METRICS_PORT; absent: that of HOST' })
  ),
  DOCS: Type.Boolean({
    default: true,
    description: 'whether `/docs`, `/openapi.json`, `/asyncapi.json` and their `.yaml` are served'
  }),
  UI: Type.Boolean({ default: true, description: 'whether the pages at `/ui` are served' }),
  CORS_ORIGINS: Type.Optional(
    Type.String({
      format: 'origins',
      description: 'origins whose pages may use the API from a browser, with commas; absent: none'
    })
  ),
  TRUST_PROXY: Type.Optional(
    Type.String({
      format: 'proxies',
      description:
        'proxies whose `X-Forwarded-For` is believed: addresses or networks such as `10.0.0.0/8`, with commas; absent: none'
    })
  ),
  LOG_LEVEL: Type.Union(
    ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'].map((level) => Type.Literal(level)),
    { default: 'info', description: 'least level that is logged: trace, debug, info, warn, error, fatal, silent' }
  ),
  EVENT_BUCKETS: integer(1, 1024, 1, 'independent orders the log is split into; fixed at the first start'),
  UNIQUE_CLAIMS: Type.Optional(
    Type.String({
      pattern: '^(off|username|email|username,email|email,username)$',
      description:
        'what is unique among the users of a tenant: `username`, `email`, or both with a comma; `off` ends it; the same on all instances'
    })
  ),
  SNAPSHOT_THRESHOLD: integer(1, 1_000_000, 100, "events past a user's newest snapshot that make another due"),
  RETAIN_SNAPSHOTS: integer(1, 1000, 5, 'snapshots of a user that are kept'),
  SNAPSHOT_MAX_AGE_DAYS: integer(1, 36_500, 90, "age at which snapshots go, but for a user's newest"),
  CACHE_MAX_USERS: integer(1, 10_000_000, 10_000, 'users whose state is kept in memory'),
  CACHE_BYTES_MAX: integer(MiB, 64 * KiB * MiB, 128 * MiB, 'memory that those states may take'),
  REDIS_URL: Type.Optional(
    Type.String({
      pattern: '^rediss?://',
      description: 'Redis that instances share as a second cache of states, and to count requests; absent: none'
    })
  ),
  ARCHIVE_AFTER_DAYS: integer(0, 36_500, 730, 'age at which events are moved to the archive; 0: only on request'),
  ARCHIVE_SCHEDULE: Type.String({
    format: 'cron',
    default: '0 3 * * *',
    description: 'when runs of the archive begin, as a cron expression in UTC'
  }),
  ARCHIVE_WINDOW_EVENTS: integer(100, 10_000, 2000, 'events of the log that one step of a run looks at'),
  ARCHIVE_EVENTS_PER_SECOND: integer(100, 1_000_000, 5000, 'events that a run moves in a second, at most'),
  CLOUDEVENTS_SOURCE: Type.String({
    pattern: "^[\\w:/?#[\\]@!$&'()*+,;=.~%-]{1,500}$",
    default: '/user-event-store',
    description: 'URI that names this store as the source of its CloudEvents; give each store another'
  }),
  WEBHOOK_PRIVATE_ADDRESSES: Type.Boolean({
    default: false,
    description: 'whether webhooks may go to addresses that are not of the public Internet'
  }),
  NATS_URL: Type.Optional(
    Type.String({
      pattern: '^(nats|tls)://[^\\s,]+(,(nats|tls)://[^\\s,]+)*$',
      description:
        'NATS with JetStream for subscriptions, such as `nats://user:password@host:4222`, or several with commas'
    })
  ),
  RABBITMQ_URL: Type.Optional(
    Type.String({
      pattern: '^amqps?://',
      description: 'RabbitMQ for subscriptions, such as `amqp://user:password@host/vhost`'
    })
  ),
  REDIS_STREAMS_URL: Type.Optional(
    Type.String({
      pattern: '^rediss?://',
      description: 'Redis that keeps the streams of subscriptions; not the one of REDIS_URL if that evicts'
    })
  ),
  KAFKA_BROKERS: Type.Optional(
    Type.String({
      pattern: '^[^\\s,:/@]+:\\d{1,5}(,[^\\s,:/@]+:\\d{1,5})*$',
      description: 'Kafka for subscriptions: `host:port`, or several with commas'
    })
  ),
  JWT_JWKS_URL: Type.Optional(
    Type.String({
      format: 'jwks-url',
      description: 'where the issuer of JSON Web Tokens publishes its keys; absent, as JWT_PUBLIC_KEY: no tokens'
    })
  ),
  JWT_PUBLIC_KEY: Type.Optional(
    Type.String({
      description: 'its one key instead: PEM of a public key (SPKI) or a certificate (X.509), or a JWK as JSON'
    })
  ),
  JWT_ISSUER: Type.Optional(
    Type.String({ description: '`iss` of every token, to the letter; needed with either of the two' })
  ),
  JWT_AUDIENCE: Type.Optional(
    Type.String({ description: 'what `aud` of every token must hold: the name of this service; needed as well' })
  ),
  JWT_CLOCK_SKEW_S: integer(0, 30, 5, 'seconds by which the clocks of issuer and service may differ'),
  JWT_TENANT_CLAIM: Type.String({
    default: 'tenant_id',
    description: "claim with the tenant's UUID; a path such as `app.tenant` is taken too"
  }),
  JWT_SCOPE_CLAIM: Type.String({
    default: 'scope',
    description: 'claim with the scopes, as words in a text or a list; a path such as `realm_access.roles` is taken too'
  }),
  JWT_SCOPE_PREFIX: Type.Optional(
    Type.String({ description: 'what stands before the words that count as scopes; absent: nothing, and all count' })
  ),
  BODY_BYTES_MAX: integer(KiB, 64 * MiB, MiB, 'largest body of a request'),
  EVENT_BYTES_MAX: integer(256, MiB, 64 * KiB, 'largest eventData and metadata of an event together'),
  METRICS_TOP_AGGREGATES: integer(0, LARGEST_USERS_MAX, 20, 'users shown by id in metrics; the rest is `_other`'),
  METRICS_TOP_TENANTS: integer(0, 1000, 100, 'tenants shown by id in metrics; the rest is `_other`'),
  DATABASE_POOL_MAX: integer(2, 1000, 10, 'connections to the database'),
  DATABASE_PREPARE: Type.Boolean({
    default: true,
    description: 'prepared statements; false behind pgbouncer before 1.21'
  }),
  ROW_LEVEL_SECURITY: Type.Boolean({
    default: true,
    description:
      'whether PostgreSQL keeps tenants apart as well; false where the login bypasses that and may not make the role that does not'
  }),
  RATE_LIMIT_PER_SECOND: integer(
    0,
    1_000_000,
    0,
    'requests that one API key, or one subject of tokens, may send in a second; on all instances together where REDIS_URL is set; 0: any number'
  ),
  TENANT_SHARE: integer(
    1,
    100_000,
    6,
    'requests of one tenant that are worked on at once while other tenants send some, too; more wait for their turn'
  ),
  STREAMS_MAX: integer(1, 100_000, 1000, 'streams and waiting reads of the feed open at once'),
  STREAMS_PER_CLIENT_MAX: integer(
    1,
    100_000,
    100,
    'those of one address; all clients behind a proxy that TRUST_PROXY does not name count as one'
  ),
  EXPORTS_MAX: integer(1, 10_000, 16, 'exports of the log at once'),
  EXPORTS_PER_CLIENT_MAX: integer(1, 10_000, 4, 'those of one address, which is counted as that of a stream'),
  REQUEST_TIMEOUT_MS: integer(1000, 600_000, 10_000, 'longest time for a request to arrive and be answered'),
  SHUTDOWN_TIMEOUT_MS: integer(
    1000,
    600_000,
    20_000,
    'longest time for a shutdown; then the process ends all the same'
  ),
  OTEL_EXPORTER_OTLP_ENDPOINT: Type.Optional(
    Type.String({
      pattern: '^https?://[^\\s/]',
      description:
        'where traces go, with OTLP over HTTP, such as `http://localhost:4318`; absent, as the next: there are none, and nothing of OpenTelemetry is loaded'
    })
  ),
  OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: Type.Optional(
    Type.String({
      pattern: '^https?://[^\\s/]',
      description: 'the same as a whole URL, with the path, which counts more'
    })
  ),
  OTEL_EXPORTER_OTLP_PROTOCOL: Type.Optional(
    Type.String({ description: 'how they are sent: `http/protobuf`, which is the only way; absent: so' })
  ),
  OTEL_EXPORTER_OTLP_TRACES_PROTOCOL: Type.Optional(Type.String({ description: 'the same, which counts more' })),
  OTEL_TRACES_EXPORTER: Type.Union([Type.Literal('otlp'), Type.Literal('none')], {
    default: 'otlp',
    description: '`none`: there are no traces, whatever the others say'
  }),
  OTEL_SERVICE_NAME: Type.String({ default: 'user-event-store', description: 'what traces call the service' }),
  OTEL_SDK_DISABLED: Type.Boolean({ default: false, description: 'true: there are no traces, whatever the others say' })
})

export type Config = Static<typeof settings>

export class ConfigError extends Error {
  override name = 'ConfigError'
}

/** Reads settings from an environment; unset and empty ones get their defaults. Throws ConfigError naming every wrong one. */
export function loadConfig(env: Record<string, string | undefined>): Readonly<Config> {
  const given = Object.fromEntries(
    Object.entries(settings.properties).flatMap(([name, schema]) =>
      env[name] ? [[name, read(schema, env[name])]] : []
    )
  )
  const config = Value.Default(settings, given)
  const wrong = [...Value.Errors(settings, config)].map(({ path, schema, message }) => {
    const name = path.slice(1)
    return `${name} is ${SECRET.has(name) ? 'set' : shown(env[name]!)}: ${explain(schema, message)} (${schema.description}).`
  })
  if (wrong.length > 0) throw new ConfigError([...new Set(wrong)].join('\n'))
  const contradiction = findContradiction(config as Config)
  if (contradiction) throw new ConfigError(contradiction)
  return Object.freeze(config as Config)
}

/** What is wrong with settings together that are right one by one, as a sentence; null when nothing is. */
function findContradiction(config: Config): string | null {
  const sources = (['JWT_JWKS_URL', 'JWT_PUBLIC_KEY'] as const).filter((name) => config[name])
  const expected = (['JWT_ISSUER', 'JWT_AUDIENCE'] as const).filter((name) => config[name])
  if (sources.length === 2)
    return 'JWT_JWKS_URL and JWT_PUBLIC_KEY are both set: expected one of them; unset the other.'
  if (sources.length === 1 && expected.length < 2)
    return `${sources[0]} is set: expected JWT_ISSUER and JWT_AUDIENCE too, or tokens made for others would be accepted; set both.`
  if (sources.length === 0 && expected.length > 0)
    return `${expected[0]} is set: expected JWT_JWKS_URL or JWT_PUBLIC_KEY too, without which no token is accepted; set one.`
  const protocol = (['OTEL_EXPORTER_OTLP_TRACES_PROTOCOL', 'OTEL_EXPORTER_OTLP_PROTOCOL'] as const).find(
    (name) => config[name]
  )
  if (protocol && config[protocol] !== 'http/protobuf' && tracesUrlOf(config) !== null)
    return `${protocol} is ${JSON.stringify(config[protocol])}: traces can only be sent by http/protobuf; if all else goes another way, set OTEL_EXPORTER_OTLP_TRACES_PROTOCOL and OTEL_EXPORTER_OTLP_TRACES_ENDPOINT for them.`
  return null
}

/** Where traces go; null when there are to be none. To the address for all kinds of data the path of traces is added. */
export function tracesUrlOf(config: Config): string | null {
  const { OTEL_EXPORTER_OTLP_ENDPOINT: all, OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: traces } = config
  if (config.OTEL_SDK_DISABLED || config.OTEL_TRACES_EXPORTER === 'none') return null
  if (traces !== undefined) return traces
  return all === undefined ? null : `${all.replace(/\/$/, '')}/v1/traces`
}

/** The text as what the schema asks for; unchanged if it is not that, which the check then says. Nothing is rounded or guessed. */
function read(schema: TSchema, text: string): unknown {
  if (schema.type === 'integer' && /^-?\d+$/.test(text)) return Number(text)
  if (schema.type === 'boolean' && /^(true|false)$/i.test(text)) return text.toLowerCase() === 'true'
  return text
}

/** Values that no sentence may hold. */
const SECRET = new Set(['BOOTSTRAP_ADMIN_KEY'])

/** A wrong value as it was given, but without the credentials of an address: the sentence may end in a log. */
const shown = (text: string): string => JSON.stringify(text.replace(/:.*@/, ':…@'))

const FORMATS: Record<string, string> = {
  'jwks-url': 'expected an https URL without a user, or an http URL of this machine',
  cron: 'expected a cron expression such as 0 3 * * *',
  proxies:
    'expected addresses or networks, such as 127.0.0.1,10.1.0.0/16; everybody cannot be trusted, so name those from which your proxies connect',
  origins:
    'expected origins as browsers send them, such as https://app.example.com,http://localhost:8080, without paths and without *'
}

function explain(schema: TSchema, message: string): string {
  if (schema.type === 'integer') return `expected a whole number from ${schema.minimum} to ${schema.maximum}`
  if (schema.type === 'boolean') return 'expected true or false'
  if (schema.anyOf) return 'expected one of the words named'
  const expected = FORMATS[schema.format]
  if (expected) return expected
  return message.charAt(0).toLowerCase() + message.slice(1)
}
