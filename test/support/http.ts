/** Requests over a real socket, each with a deadline: for services in a process of their own. */

export type HttpAnswer = { status: number; headers: Headers; data: Record<string, any> }

/** The answer, or a throw when there was none: refused, cut off, or silent for `timeoutMs`. */
export async function request(
  url: string,
  { method = 'GET', body, timeoutMs = 30_000 }: { method?: string; body?: object; timeoutMs?: number } = {}
): Promise<HttpAnswer> {
  const response = await fetch(url, {
    method,
    signal: AbortSignal.timeout(timeoutMs),
    ...(body ? { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } } : {})
  })
  const text = await response.text()
  return { status: response.status, headers: response.headers, data: text === '' ? {} : JSON.parse(text) }
}

/** POST /users/{userId}/events */
export const appendTo = (
  url: string,
  userId: string,
  events: object[],
  { expectedVersion, timeoutMs }: { expectedVersion?: number | string; timeoutMs?: number } = {}
): Promise<HttpAnswer> =>
  request(`${url}/users/${userId}/events`, {
    method: 'POST',
    body: { ...(expectedVersion === undefined ? {} : { expectedVersion }), events },
    ...(timeoutMs === undefined ? {} : { timeoutMs })
  })
