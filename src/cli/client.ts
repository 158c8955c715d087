/** How commands speak to a service, wherever it is: by HTTP, with the answers of the contract. */
import type { Readable } from 'node:stream'
import { ServiceError, UnavailableError } from './exit-codes.js'

type Value = string | number | boolean | readonly string[] | undefined

export type Question = {
  /** what is undefined is left out, lists are repeated */
  query?: Record<string, Value>
  /** JSON, or a stream of lines of it */
  body?: object | Readable
  headers?: Record<string, string>
  signal?: AbortSignal
}

export type Method = 'GET' | 'POST' | 'PUT' | 'DELETE'

export type Client = {
  /** The answer, parsed. Throws ServiceError for a refusal, UnavailableError when there is no answer. */
  ask<T>(method: Method, path: string, question?: Question): Promise<T>
  /** The same, with the answer as it comes. */
  open(method: Method, path: string, question?: Question): Promise<Response>
}

export type Place = {
  url: string
  /** API key or token; absent where nobody has to say who they are */
  key?: string | undefined
  tenant?: string | undefined
}

export function createClient({ url, key, tenant }: Place): Client {
  async function open(method: Method, path: string, question: Question = {}): Promise<Response> {
    const { query, body, headers, signal } = question
    const isLines = body !== undefined && 'pipe' in body
    const response = await fetch(urlOf(url, path, query), {
      method,
      redirect: 'error',
      headers: {
        ...(key === undefined ? {} : { authorization: `Bearer ${key}` }),
        ...(tenant === undefined ? {} : { 'x-tenant-id': tenant }),
        ...(body === undefined ? {} : { 'content-type': isLines ? 'application/x-ndjson' : 'application/json' }),
        ...headers
      },
      ...(signal ? { signal } : {}),
      ...(body === undefined ? {} : isLines ? { body, duplex: 'half' } : { body: JSON.stringify(body) })
    } as RequestInit).catch((err: Error) => {
      if (signal?.aborted) throw err
      throw new UnavailableError(
        `${url} does not answer (${reasonOf(err)}). Check that the service runs and that --url is right.`
      )
    })
    if (response.status >= 400) throw await refusalOf(response)
    return response
  }
  return {
    open,
    async ask<T>(method: Method, path: string, question?: Question): Promise<T> {
      const response = await open(method, path, question)
      const text = await response.text()
      return (text === '' ? null : JSON.parse(text)) as T
    }
  }
}

/** A path with its variable parts made safe: pathOf`/users/${id}/state`. */
export const pathOf = (parts: TemplateStringsArray, ...values: (string | number)[]): string =>
  String.raw({ raw: parts }, ...values.map((value) => encodeURIComponent(value)))

function urlOf(base: string, path: string, query: Record<string, Value> = {}): URL {
  const url = new URL(base.replace(/\/+$/, '') + path)
  for (const [name, value] of Object.entries(query)) {
    if (value === undefined) continue
    for (const each of [value].flat()) url.searchParams.append(name, String(each))
  }
  return url
}

async function refusalOf(response: Response): Promise<ServiceError> {
  const text = await response.text()
  try {
    return new ServiceError(response.status, JSON.parse(text))
  } catch {
    return new ServiceError(response.status, {})
  }
}

/** fetch hides what happened in the cause. */
function reasonOf(err: Error): string {
  const { code, message } = (err.cause ?? err) as NodeJS.ErrnoException
  return code ?? message
}
