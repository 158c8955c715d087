/** The whole service in this process on a database of its own, asked through `inject`. */
import type { FastifyInstance, InjectOptions, LightMyRequestResponse } from 'fastify'
import type { Test } from 'tap'
import { compose, type Service } from '../../src/compose.js'
import { type Config, loadConfig } from '../../src/config.js'
import { type TestDatabase, testDatabase } from './db.js'

export type TestService = {
  app: FastifyInstance
  service: Service
  database: TestDatabase
  /** The answer, with its body parsed as `data` when it is JSON. */
  ask(options: InjectOptions): Promise<Answer>
  /** POST /users/{userId}/events */
  append(
    userId: string,
    events: object[],
    options?: { expectedVersion?: number | string; headers?: Record<string, string> }
  ): Promise<Answer>
  get(url: string, headers?: Record<string, string>): Promise<Answer>
  post(url: string, payload?: object, headers?: Record<string, string>): Promise<Answer>
}

export type Answer = LightMyRequestResponse & { data: Record<string, any> }

/** Builds the service; `background` also starts its workers. Stopped when the test ends. */
export async function testService(
  t: Test,
  {
    env = {},
    background = false,
    database,
    silenceMs
  }: { env?: Record<string, string>; background?: boolean; database?: TestDatabase; silenceMs?: number } = {}
): Promise<TestService> {
  const on = database ?? (await testDatabase(t))
  const config: Config = loadConfig({ DATABASE_POOL_MAX: '5', ...env })
  const composed = await compose(config, on.url, false, { silenceMs })
  let stopped: Promise<void> | null = null
  const service = {
    ...composed,
    stop: (): Promise<void> => {
      stopped ??= composed.stop()
      return stopped
    }
  }
  await service.app.ready()
  if (background) service.start()
  t.teardown(() => service.stop())

  async function ask(options: InjectOptions): Promise<Answer> {
    const response = await service.app.inject(options)
    const json = response.body !== '' && /[/+]json(;|$)/.test(String(response.headers['content-type'] ?? ''))
    return Object.assign(response, { data: json ? response.json() : null })
  }
  return {
    app: service.app,
    service,
    database: on,
    ask,
    append: (userId, events, { expectedVersion, headers = {} } = {}) =>
      ask({
        method: 'POST',
        url: `/users/${userId}/events`,
        headers,
        payload: { ...(expectedVersion === undefined ? {} : { expectedVersion }), events }
      }),
    get: (url, headers = {}) => ask({ method: 'GET', url, headers }),
    post: (url, payload, headers = {}) => ask({ method: 'POST', url, headers, ...(payload ? { payload } : {}) })
  }
}

/** Has the service listen on a free port of this machine, and returns its address. */
export async function listen({ app }: Pick<TestService, 'app'>): Promise<string> {
  return await app.listen({ host: '127.0.0.1', port: 0 })
}
