import t from 'tap'
import { ConfigError, loadConfig, settings, tracesUrlOf } from '../src/config.js'

/** The sentences that refuse an environment. */
function refusal(env: Record<string, string>): string[] {
  try {
    loadConfig(env)
  } catch (err) {
    if (err instanceof ConfigError) return err.message.split('\n')
    throw err
  }
  throw new Error(`accepted: ${JSON.stringify(env)}`)
}

const integers = Object.entries(settings.properties).flatMap(([name, schema]) =>
  'minimum' in schema && schema.minimum !== undefined && schema.maximum !== undefined
    ? [{ name: name as keyof typeof settings.properties, min: schema.minimum, max: schema.maximum }]
    : []
)

t.test('an empty environment gives the defaults', async (t) => {
  t.strictSame(loadConfig({}), {
    DATA_DIR: './data',
    OTEL_SDK_DISABLED: false,
    OTEL_SERVICE_NAME: 'user-event-store',
    OTEL_TRACES_EXPORTER: 'otlp',
    ARCHIVE_AFTER_DAYS: 730,
    ARCHIVE_SCHEDULE: '0 3 * * *',
    ARCHIVE_WINDOW_EVENTS: 2000,
    ARCHIVE_EVENTS_PER_SECOND: 5000,
    HOST: '127.0.0.1',
    PORT: 3000,
    DOCS: true,
    UI: true,
    AUDIT_MAX_AGE_DAYS: 365,
    LOG_LEVEL: 'info',
    EVENT_BUCKETS: 1,
    SNAPSHOT_THRESHOLD: 100,
    RETAIN_SNAPSHOTS: 5,
    SNAPSHOT_MAX_AGE_DAYS: 90,
    CACHE_MAX_USERS: 10_000,
    CACHE_BYTES_MAX: 128 * 1024 * 1024,
    CLOUDEVENTS_SOURCE: '/user-event-store',
    WEBHOOK_PRIVATE_ADDRESSES: false,
    JWT_CLOCK_SKEW_S: 5,
    JWT_TENANT_CLAIM: 'tenant_id',
    JWT_SCOPE_CLAIM: 'scope',
    BODY_BYTES_MAX: 1024 * 1024,
    EVENT_BYTES_MAX: 64 * 1024,
    METRICS_TOP_AGGREGATES: 20,
    METRICS_TOP_TENANTS: 100,
    DATABASE_POOL_MAX: 10,
    DATABASE_PREPARE: true,
    ROW_LEVEL_SECURITY: true,
    RATE_LIMIT_PER_SECOND: 0,
    TENANT_SHARE: 6,
    STREAMS_MAX: 1000,
    STREAMS_PER_CLIENT_MAX: 100,
    EXPORTS_MAX: 16,
    EXPORTS_PER_CLIENT_MAX: 4,
    REQUEST_TIMEOUT_MS: 10_000,
    SHUTDOWN_TIMEOUT_MS: 20_000
  })
})

t.test('every number is taken from its least to its greatest value and refused beyond', async (t) => {
  t.ok(integers.length >= 11)
  for (const { name, min, max } of integers) {
    for (const value of [min, max]) t.equal(loadConfig({ [name]: String(value) })[name], value, `${name}=${value}`)
    for (const value of [min - 1, max + 1]) {
      const [sentence, ...others] = refusal({ [name]: String(value) })
      t.ok(
        sentence!.startsWith(`${name} is "${value}": expected a whole number from ${min} to ${max} (`),
        `${sentence}`
      )
      t.strictSame(others, [], 'one sentence')
    }
  }
})

t.test('what only looks like a whole number is refused, never rounded or guessed', async (t) => {
  for (const value of [
    '3000.7',
    '3e3',
    '0x50',
    'true',
    '80x',
    ' 80',
    '+80',
    '--1',
    'NaN',
    'Infinity',
    '1_000',
    '9'.repeat(30)
  ]) {
    t.match(refusal({ PORT: value }), [`PORT is "${value}": expected a whole number from 0 to 65535`])
  }
})

t.test('switches are true or false', async (t) => {
  for (const value of ['true', 'TRUE']) t.equal(loadConfig({ DATABASE_PREPARE: value }).DATABASE_PREPARE, true)
  for (const value of ['false', 'False']) t.equal(loadConfig({ DATABASE_PREPARE: value }).DATABASE_PREPARE, false)
  for (const value of ['yes', '1', '0', 'off']) {
    t.match(refusal({ DATABASE_PREPARE: value }), [`DATABASE_PREPARE is "${value}": expected true or false (`])
  }
})

t.test('a schedule is a cron expression', async (t) => {
  for (const schedule of ['0 3 * * *', '*/5 * * * * *', '@daily'])
    t.equal(loadConfig({ ARCHIVE_SCHEDULE: schedule }).ARCHIVE_SCHEDULE, schedule)
  for (const schedule of ['every night', '61 * * * *', '0 3 * *'])
    t.match(refusal({ ARCHIVE_SCHEDULE: schedule }), [
      `ARCHIVE_SCHEDULE is "${schedule}": expected a cron expression such as 0 3 * * * (`
    ])
})

t.test('words are one of those named', async (t) => {
  for (const level of ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent']) {
    t.equal(loadConfig({ LOG_LEVEL: level }).LOG_LEVEL, level)
  }
  for (const level of ['INFO', 'verbose', '30']) {
    t.match(refusal({ LOG_LEVEL: level }), [
      /^LOG_LEVEL is ".+": expected one of the words named \(.*trace, debug, info/
    ])
  }
})

t.test('DATABASE_URL is an address of PostgreSQL, and a wrong one is not shown with its password', async (t) => {
  for (const url of ['postgres://host/db', 'postgresql://user:pass@host:5433/db?sslmode=require']) {
    t.equal(loadConfig({ DATABASE_URL: url }).DATABASE_URL, url)
  }
  for (const url of [
    'mysql://ada:hunter2@host/db',
    'postgres:/ada:hunter2@host',
    'Postgres://ada:hunt@er2/x@host/db'
  ]) {
    const [sentence, ...others] = refusal({ DATABASE_URL: url })
    t.match(sentence, /^DATABASE_URL is ".*": expected .*postgres/)
    t.notMatch(sentence, /hunt/)
    t.strictSame(others, [])
  }
})

t.test('CLOUDEVENTS_SOURCE is a URI or a part of one', async (t) => {
  for (const source of ['/a', 'https://events.example.com/users?x=%20#y', 'urn:store:1', 'a'.repeat(500)]) {
    t.equal(loadConfig({ CLOUDEVENTS_SOURCE: source }).CLOUDEVENTS_SOURCE, source)
  }
  for (const source of ['two words', '/ä', '"', '<a>', 'a\n', 'a'.repeat(501)]) {
    t.match(
      refusal({ CLOUDEVENTS_SOURCE: source }),
      [/^CLOUDEVENTS_SOURCE is ".*": expected string to match /s],
      source
    )
  }
})
t.test(
  'addresses of brokers have the form of their clients, and a wrong one is not shown with its password',
  async (t) => {
    const forms = {
      NATS_URL: {
        right: ['nats://host', 'tls://ada:hunter2@host:4222', 'nats://one:4222,nats://two:4222'],
        wrong: ['host:4222', 'http://ada:hunter2@host', 'nats://one, nats://two', 'nats://one,two', 'nats://']
      },
      RABBITMQ_URL: {
        right: ['amqp://host', 'amqps://ada:hunter2@host/users'],
        wrong: ['host', 'http://ada:hunter2@host']
      },
      REDIS_STREAMS_URL: {
        right: ['redis://host', 'rediss://:hunter2@host/1'],
        wrong: ['host', 'http://ada:hunter2@host']
      },
      KAFKA_BROKERS: {
        right: ['host:9092', 'one:9092,two.example.com:9093'],
        wrong: ['host', 'host:', 'kafka://host:9092', 'one:9092, two:9092', 'one:9092,', 'ada:hunter2@host:9092']
      }
    }
    for (const [name, { right, wrong }] of Object.entries(forms)) {
      for (const value of right) t.equal(loadConfig({ [name]: value })[name as keyof typeof forms], value)
      for (const value of wrong) {
        const [sentence, ...others] = refusal({ [name]: value })
        t.ok(sentence!.startsWith(`${name} is "`), sentence!)
        t.notMatch(sentence, /hunter2/)
        t.strictSame(others, [])
      }
    }
  }
)

t.test('UNIQUE_CLAIMS names fields, or off', async (t) => {
  for (const value of ['off', 'username', 'email', 'username,email', 'email,username'])
    t.equal(loadConfig({ UNIQUE_CLAIMS: value }).UNIQUE_CLAIMS, value)
  for (const value of ['phone', 'email,', 'email, username', 'email,email', 'Email', 'off,email', 'true'])
    t.match(refusal({ UNIQUE_CLAIMS: value }), [/^UNIQUE_CLAIMS is ".*": expected string to match /], value)
})

t.test(
  'the keys of tokens come over https, or http from this machine, and a wrong address is not shown with its password',
  async (t) => {
    const others = { JWT_ISSUER: 'https://login.example.com', JWT_AUDIENCE: 'user-event-store' }
    for (const url of [
      'https://login.example.com/jwks',
      'https://login.example.com:8443/realms/users/certs?x=1',
      'http://localhost/jwks',
      'http://127.0.0.1:8080/jwks',
      'http://[::1]:8080/jwks',
      'HTTP://LOCALHOST/jwks'
    ])
      t.equal(loadConfig({ JWT_JWKS_URL: url, ...others }).JWT_JWKS_URL, url)
    for (const url of [
      'login.example.com/jwks',
      'http://login.example.com/jwks',
      'http://localhost.example.com/jwks',
      'http://127.0.0.1.example.com/jwks',
      'http://127.0.0.1@example.com/jwks',
      'http://10.0.0.1/jwks',
      'http://[::2]/jwks',
      'http://0.0.0.0/jwks',
      'https://ada:hunter2@login.example.com/jwks',
      'https://ada@login.example.com/jwks',
      'file:///etc/jwks.json',
      'ftp://localhost/jwks',
      'data:application/json,{}',
      'https://'
    ]) {
      const sentences = refusal({ JWT_JWKS_URL: url, ...others })
      t.match(
        sentences,
        [/^JWT_JWKS_URL is ".*": expected an https URL without a user, or an http URL of this machine \(/],
        url
      )
      t.equal(sentences.length, 1)
      t.notMatch(sentences[0], /hunter2/)
    }
  }
)

t.test(
  'tokens need one source of keys, an issuer and an audience, and one sentence says what is missing',
  async (t) => {
    const JWT_JWKS_URL = 'https://login.example.com/jwks'
    const JWT_PUBLIC_KEY = 'a key'
    const JWT_ISSUER = 'https://login.example.com'
    const JWT_AUDIENCE = 'user-event-store'
    t.match(loadConfig({ JWT_JWKS_URL, JWT_ISSUER, JWT_AUDIENCE }), { JWT_JWKS_URL, JWT_ISSUER, JWT_AUDIENCE })
    t.match(loadConfig({ JWT_PUBLIC_KEY, JWT_ISSUER, JWT_AUDIENCE }), { JWT_PUBLIC_KEY, JWT_ISSUER, JWT_AUDIENCE })
    const both = /^JWT_JWKS_URL and JWT_PUBLIC_KEY are both set: expected one of them/
    const noKeys = /^JWT_\w+ is set: expected JWT_JWKS_URL or JWT_PUBLIC_KEY too/
    const others = (name: string) => new RegExp(`^${name} is set: expected JWT_ISSUER and JWT_AUDIENCE too`)
    const wrong: [Record<string, string>, RegExp][] = [
      [{ JWT_JWKS_URL, JWT_PUBLIC_KEY, JWT_ISSUER, JWT_AUDIENCE }, both],
      [{ JWT_JWKS_URL, JWT_PUBLIC_KEY }, both],
      [{ JWT_JWKS_URL }, others('JWT_JWKS_URL')],
      [{ JWT_JWKS_URL, JWT_ISSUER }, others('JWT_JWKS_URL')],
      [{ JWT_JWKS_URL, JWT_AUDIENCE }, others('JWT_JWKS_URL')],
      [{ JWT_JWKS_URL, JWT_AUDIENCE, JWT_ISSUER: '' }, others('JWT_JWKS_URL')],
      [{ JWT_PUBLIC_KEY }, others('JWT_PUBLIC_KEY')],
      [{ JWT_PUBLIC_KEY, JWT_ISSUER }, others('JWT_PUBLIC_KEY')],
      [{ JWT_PUBLIC_KEY, JWT_AUDIENCE }, others('JWT_PUBLIC_KEY')],
      [{ JWT_ISSUER, JWT_AUDIENCE }, noKeys],
      [{ JWT_ISSUER }, noKeys],
      [{ JWT_AUDIENCE }, noKeys]
    ]
    for (const [env, sentence] of wrong) {
      const sentences = refusal(env)
      t.match(sentences, [sentence], Object.keys(env).join())
      t.equal(sentences.length, 1)
      t.notMatch(sentences[0], /a key/)
    }
  }
)
t.test('CORS_ORIGINS is what browsers send as Origin, and never everybody', async (t) => {
  for (const value of ['https://app.example.com', 'http://localhost:8080,https://a.example', 'http://[::1]:3000'])
    t.equal(loadConfig({ CORS_ORIGINS: value }).CORS_ORIGINS, value)
  for (const value of [
    '*',
    'null',
    'app.example.com',
    'https://*.example.com',
    'https://app.example.com/',
    'https://app.example.com:443',
    'https://App.example.com',
    'https://ada@app.example.com',
    'https://a.example, https://b.example',
    'https://a.example,',
    'file:///tmp',
    'ftp://a.example'
  ])
    t.match(
      refusal({ CORS_ORIGINS: value }),
      [/^CORS_ORIGINS is ".*": expected origins as browsers send them, /],
      value
    )
})

t.test('TRUST_PROXY names addresses and networks, and never everybody', async (t) => {
  for (const value of ['10.0.0.1', '10.0.0.0/8,::1', 'fd00::/8', '0.0.0.0/1', '::/1', '10.0.0.1/32', '::1/128'])
    t.equal(loadConfig({ TRUST_PROXY: value }).TRUST_PROXY, value)
  for (const value of [
    'all',
    'true',
    '1',
    '*',
    'loopback',
    'proxy.example.com',
    '0.0.0.0/0',
    '::/0',
    '10.0.0.0/33',
    '::1/129',
    '10.0.0.0/08',
    '10.0.0.0/255.0.0.0',
    '10.0.0.0/8/8',
    '10.0.0',
    'fe80::1%eth0',
    '10.0.0.1, 10.0.0.2',
    '10.0.0.1,'
  ])
    t.match(
      refusal({ TRUST_PROXY: value }),
      [/^TRUST_PROXY is ".*": expected addresses or networks, .*name those/],
      value
    )
})

t.test('several wrong values are all named, each in a sentence of its own', async (t) => {
  const sentences = refusal({
    PORT: 'x',
    HOST: 'fine',
    SNAPSHOT_THRESHOLD: '0',
    LOG_LEVEL: 'loud',
    DATABASE_PREPARE: '?'
  })
  t.strictSame(sentences.map((sentence) => sentence.split(' ')[0]).sort(), [
    'DATABASE_PREPARE',
    'LOG_LEVEL',
    'PORT',
    'SNAPSHOT_THRESHOLD'
  ])
})

t.test('traces go where the variables of OpenTelemetry say, if they say so', async (t) => {
  const all = { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://collector:4318' }
  const traces = { OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'https://traces.example.com/otlp' }
  const urlOf = (env: Record<string, string>) => tracesUrlOf(loadConfig(env))
  t.equal(urlOf({}), null)
  t.equal(urlOf({ OTEL_SERVICE_NAME: 'x', OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc' }), null)
  t.equal(urlOf(all), 'http://collector:4318/v1/traces')
  t.equal(urlOf({ OTEL_EXPORTER_OTLP_ENDPOINT: 'http://collector:4318/otlp/' }), 'http://collector:4318/otlp/v1/traces')
  t.equal(urlOf({ ...all, ...traces }), 'https://traces.example.com/otlp')
  t.equal(urlOf({ ...all, OTEL_SDK_DISABLED: 'TRUE' }), null)
  t.equal(urlOf({ ...all, OTEL_TRACES_EXPORTER: 'none' }), null)
  t.match(refusal({ OTEL_EXPORTER_OTLP_ENDPOINT: 'collector:4318' }), [
    /^OTEL_EXPORTER_OTLP_ENDPOINT is "collector:4318"/
  ])
  const grpc = { ...all, OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc' }
  t.match(refusal(grpc), [/^OTEL_EXPORTER_OTLP_PROTOCOL is "grpc": traces can only be sent by http\/protobuf/])
  t.ok(urlOf({ ...grpc, OTEL_EXPORTER_OTLP_TRACES_PROTOCOL: 'http/protobuf' }))
})

t.test('an empty or missing value is unset', async (t) => {
  const empty = Object.fromEntries(Object.keys(settings.properties).map((name) => [name, '']))
  t.strictSame(loadConfig(empty), loadConfig({}))
  t.strictSame(loadConfig({ PORT: undefined }), loadConfig({}))
})

t.test('variables of others are ignored', async (t) => {
  t.strictSame(loadConfig({ PATH: '/bin', port: '1', toString: 'x', __proto__: 'y' }), loadConfig({}))
})

t.test('settings cannot be changed', async (t) => {
  const config = loadConfig({ PORT: '0' })
  t.ok(Object.isFrozen(config))
  t.throws(() => Object.assign(config, { PORT: 1 }), TypeError)
  t.not(loadConfig({}), loadConfig({}), 'and are not shared')
})

t.test('every setting has a description, for the sentences and the table', async (t) => {
  for (const [name, schema] of Object.entries(settings.properties)) t.match(schema.description, /\w{3}/, name)
})

t.test('a chosen key is long and printable, and no sentence holds it', async (t) => {
  for (const length of [32, 200])
    t.equal(loadConfig({ BOOTSTRAP_ADMIN_KEY: 'k'.repeat(length) }).BOOTSTRAP_ADMIN_KEY?.length, length)
  for (const key of ['k'.repeat(31), 'k'.repeat(201), `${'k'.repeat(40)} k`, 'ä'.repeat(40)]) {
    const sentences = refusal({ BOOTSTRAP_ADMIN_KEY: key })
    t.match(sentences, [/^BOOTSTRAP_ADMIN_KEY is set: expected string to match /])
    t.notMatch(sentences.join(), /kkkk|ää/)
  }
})
