/**
 * The built HTTP application with services that do nothing but give what the real ones gave (see answers.ts): what Fastify,
 * schemas, metrics, logger and the bytes on the wire cost by themselves. Its argument is a file of Answers; it tells its address as the service does.
 */
import { readFileSync } from 'node:fs'
import { pino } from 'pino'
import { Registry } from 'prom-client'
import type { Services } from '../../src/app.js'
import { type Answers, stateName } from './answers.js'

const built = (file: string): string => new URL(`../../dist/${file}`, import.meta.url).href
// As the service runs it, not as tsx would compile it.
const { buildApp } = (await import(built('app.js'))) as typeof import('../../src/app.js')
const { ANYBODY } = (await import(built('domain/access.js'))) as typeof import('../../src/domain/access.js')
const { createCursors } = (await import(built('domain/cursor.js'))) as typeof import('../../src/domain/cursor.js')
const { loadConfig } = (await import(built('config.js'))) as typeof import('../../src/config.js')
const { STREAM_PAGE } = (await import(
  built('services/log-reader.js')
)) as typeof import('../../src/services/log-reader.js')

const answers = JSON.parse(readFileSync(process.argv[2]!, 'utf8')) as Answers

async function* pagesOf(events: Answers['history']): AsyncGenerator<Answers['history']> {
  for (let from = 0; from < events.length; from += STREAM_PAGE) yield events.slice(from, from + STREAM_PAGE)
}

function known<T>(answer: T | undefined, question: string): T {
  if (answer === undefined) throw new Error(`The service was not asked for ${question}, so there is nothing to answer.`)
  return answer
}

const services = {
  access: { authenticate: () => ANYBODY },
  audit: { note: async () => '', conclude: async () => {} },
  events: {
    append: async (_key, { events }) => known(answers.appended[events.length], `an append of ${events.length} events`),
    readPage: async () => answers.page,
    readAll: async () => pagesOf(answers.history)
  },
  replay: {
    stateAt: async ({ userId }, target = {}) => {
      const name = stateName(userId, target)
      return known(answers.states[name], name)
    }
  },
  snapshots: { take: async () => answers.snapshot },
  statistics: { events: async () => answers.statistics },
  health: {}
} satisfies { [name in keyof Services]?: Partial<Services[name]> } as unknown as Services

const config = loadConfig({})
const logger = pino({ level: config.LOG_LEVEL })
const app = await buildApp({
  services,
  cursors: createCursors(answers.secret),
  fingerprintOf: () => answers.fingerprint,
  register: new Registry(),
  instance: '',
  bodyBytesMax: config.BODY_BYTES_MAX,
  requestTimeoutMs: config.REQUEST_TIMEOUT_MS,
  streams: { max: config.STREAMS_MAX, perClientMax: config.STREAMS_PER_CLIENT_MAX },
  exports: { max: config.EXPORTS_MAX, perClientMax: config.EXPORTS_PER_CLIENT_MAX },
  docs: true,
  ui: false,
  metrics: true,
  logger
})
logger.info({ address: await app.listen({ host: config.HOST, port: 0 }) }, 'ready')
