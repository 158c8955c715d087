/** The API, typed by its contract. */
import createClient, { type Client } from 'openapi-fetch'
import { ApiError, problemOf, unreachable, unreadable } from './api-error.js'
import type { components, paths } from './contract.js'

export type Schemas = components['schemas']
export type Event = Schemas['Event']
export type UserState = Schemas['User']
/** What an operation answers with 200: `AnswerOf<'/users'>`. */
export type AnswerOf<Path extends keyof paths, Method extends 'get' | 'post' = 'get'> = paths[Path] extends {
  [M in Method]: { responses: { 200: { content: { 'application/json': infer Body } } } }
}
  ? Body
  : never

/** Answers come as JSON, also where the API has other forms of them. */
export type Api = Client<paths, 'application/json'>

export type Credentials = {
  /** undefined where nobody has to say who they are */
  key: string | undefined
  /** whom to act for instead of the tenant of the key */
  tenantId: string | undefined
}

/** A client that sends `credentials` with every request, and tells when they are refused. */
export function createApi({ key, tenantId }: Credentials, onRefused: () => void = () => {}): Api {
  const client = createClient<paths, 'application/json'>({ baseUrl: location.origin })
  client.use({
    onRequest({ request }) {
      if (key !== undefined) request.headers.set('authorization', `Bearer ${key}`)
      if (tenantId !== undefined) request.headers.set('x-tenant-id', tenantId)
    },
    onResponse({ response }) {
      if (response.status === 401) onRefused()
    }
  })
  return client
}

/** The body of a successful answer. Throws ApiError for every other, or none; and what an AbortSignal threw. */
export async function answerOf<Data>(
  asked: Promise<{ data?: Data; error?: unknown; response: Response }>
): Promise<NonNullable<Data>> {
  const { data, error, response } = await asked.catch((err: unknown) => {
    if (err instanceof ApiError || (err instanceof DOMException && err.name === 'AbortError')) throw err
    throw err instanceof SyntaxError ? unreadable(200, null) : unreachable()
  })
  if (!response.ok) throw problemOf(response, error)
  if (data === undefined || data === null) throw unreadable(response.status, response.headers.get('x-request-id'))
  return data
}
