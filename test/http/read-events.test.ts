/** Reading one user's events: what is selected, page by page and as a stream. */
import t from 'tap'
import { loggedIn, newUserId, updates, userCreated, userUpdated } from '../support/events.js'
import { refused, verdict } from '../support/problem.js'
import { type Answer, testService } from '../support/service.js'
import { until } from '../support/wait.js'

const { append, ask, get } = await testService(t)

const NDJSON = { accept: 'application/x-ndjson' }

const versionsOf = ({ data }: Answer): number[] => data.events.map(({ version }: { version: number }) => version)
const linesOf = ({ body }: Answer): Record<string, any>[] =>
  body
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line))

/** Waits until the clock has moved on, so that the next append has a later createdAt. */
const nextMillisecond = (): Promise<unknown> => {
  const now = Date.now()
  return until(() => Date.now() > now + 1)
}

/** A user with eight events of three types, recorded at four moments: versions 1-2, 3-4, 5-6, 7-8. */
const userId = newUserId()
const moments: string[] = []
for (const pair of [
  [userCreated(), loggedIn()],
  [userUpdated(), loggedIn()],
  [userUpdated(), userUpdated()],
  [loggedIn(), userUpdated()]
]) {
  await nextMillisecond()
  moments.push((await append(userId, pair)).data.events[0].createdAt)
}
const [first, second, third, fourth] = moments as [string, string, string, string]
const withOffset = (moment: string, hours: number): string =>
  encodeURIComponent(new Date(Date.parse(moment) + hours * 3_600_000).toISOString().replace('Z', `+0${hours}:00`))

const selections: [query: string, versions: number[]][] = [
  ['', [1, 2, 3, 4, 5, 6, 7, 8]],
  ['direction=forward', [1, 2, 3, 4, 5, 6, 7, 8]],
  ['direction=backward', [8, 7, 6, 5, 4, 3, 2, 1]],
  ['fromVersion=7', [7, 8]],
  ['toVersion=2', [1, 2]],
  ['fromVersion=3&toVersion=3', [3]],
  ['fromVersion=9', []],
  ['fromVersion=5&toVersion=4', []],
  ['toVersion=2147483647', [1, 2, 3, 4, 5, 6, 7, 8]],
  [`from=${first}`, [1, 2, 3, 4, 5, 6, 7, 8]],
  [`from=${third}`, [5, 6, 7, 8]],
  [`to=${third}`, [1, 2, 3, 4]],
  [`from=${second}&to=${third}`, [3, 4]],
  [`from=${second}&to=${second}`, []],
  [`to=${first}`, []],
  [`from=${withOffset(third, 2)}&to=${withOffset(fourth, 5)}`, [5, 6]],
  [`from=${third.toLowerCase()}`, [5, 6, 7, 8]],
  [`from=${third.replace('Z', '999Z')}`, [5, 6, 7, 8]],
  ['to=9999-12-31T23:59:59Z', [1, 2, 3, 4, 5, 6, 7, 8]],
  ['eventType=LoginInfoUpdated', [2, 4, 7]],
  ['eventType=UserCreated&eventType=LoginInfoUpdated', [1, 2, 4, 7]],
  ['eventType=UserCreated&eventType=UserCreated', [1]],
  ['eventType=UserDeleted', []],
  ['eventType=Nonsense', []],
  ['eventType=UserUpdated&direction=backward', [8, 6, 5, 3]],
  [`eventType=UserUpdated&from=${second}&to=${fourth}&fromVersion=4&direction=backward`, [6, 5]],
  ['eventType=UserUpdated&limit=2', [3, 5]],
  ['eventType=UserUpdated&limit=2&direction=backward', [8, 6]],
  ['limit=1', [1]],
  ['limit=1000', [1, 2, 3, 4, 5, 6, 7, 8]]
]

t.test('each filter selects what it says, alone and with others, as pages and as a stream', async (t) => {
  for (const [query, versions] of selections) {
    const url = `/users/${userId}/events?${query}`
    const page = await get(url)
    t.equal(verdict(page), '200', query)
    t.strictSame(versionsOf(page), versions, query)
    t.hasStrict(page.data, { userId, version: 8 })
    const stream = await get(url, NDJSON)
    t.equal(stream.headers['content-type'], 'application/x-ndjson')
    t.strictSame(linesOf(stream), page.data.events, `${query} as NDJSON`)
  }
})

t.test('pages of any size, joined by their cursors, are the whole list', async (t) => {
  for (const direction of ['forward', 'backward']) {
    for (const filter of ['', '&eventType=LoginInfoUpdated', '&fromVersion=2&toVersion=7']) {
      const query = `direction=${direction}${filter}`
      const all = versionsOf(await get(`/users/${userId}/events?${query}`))
      for (let limit = 1; limit <= 9; limit++) {
        const joined: number[] = []
        let cursor: string | null = ''
        let pages = 0
        while (cursor !== null) {
          const page: Answer = await get(
            `/users/${userId}/events?${query}&limit=${limit}${cursor && `&cursor=${cursor}`}`
          )
          joined.push(...versionsOf(page))
          cursor = page.data.next
          t.equal('link' in page.headers, cursor !== null)
          pages++
        }
        t.strictSame(joined, all, `${query} by ${limit}`)
        t.equal(pages, Math.max(1, Math.ceil(all.length / limit)), 'no page is empty')
      }
    }
  }
})

t.test('the link to the next page can be followed as it is and keeps the query', async (t) => {
  const moment = encodeURIComponent('2000-01-01T00:00:00+01:00')
  const query = `limit=3&eventType=UserUpdated&eventType=Who%3F%26&from=${moment}&direction=backward&upcast=false`
  const start = await get(`/users/${userId}/events?${query}`)
  const [, url = '', next] = /^<([^>]+)>; rel="(\w+)"$/.exec(String(start.headers.link)) ?? []
  t.equal(next, 'next')
  const followed = await get(url)
  t.strictSame([...versionsOf(start), ...versionsOf(followed)], [8, 6, 5, 3])
  const { searchParams } = new URL(url, 'http://x')
  t.strictSame(searchParams.getAll('eventType'), ['UserUpdated', 'Who?&'])
  t.equal(searchParams.get('upcast'), 'false')
  t.equal(searchParams.get('cursor'), start.data.next)
  const plain = await get(`/users/${userId}/events?eventType=a?b&limit=1&eventType=LoginInfoUpdated`)
  t.match(plain.headers.link, 'eventType=LoginInfoUpdated', 'a question mark in a value ends nothing')
})

t.test('a cursor goes on where the page ended, also after more events came', async (t) => {
  const grown = newUserId()
  await append(grown, [userCreated(), ...updates(3)])
  const page = await get(`/users/${grown}/events?limit=3`)
  const backward = await get(`/users/${grown}/events?limit=3&direction=backward`)
  await append(grown, updates(2))
  t.strictSame(versionsOf(await get(`/users/${grown}/events?cursor=${page.data.next}`)), [4, 5, 6])
  t.strictSame(versionsOf(await get(`/users/${grown}/events?direction=backward&cursor=${backward.data.next}`)), [1])
  const stream = await get(`/users/${grown}/events?cursor=${page.data.next}`, NDJSON)
  t.strictSame(
    linesOf(stream).map(({ version }) => version),
    [4, 5, 6]
  )
})

t.test('a cursor of another user, of the other direction, or made up is refused', async (t) => {
  const { next } = (await get(`/users/${userId}/events?limit=2`)).data
  const other = newUserId()
  await append(other, [userCreated(), ...updates(3)])
  const urls = [
    `/users/${other}/events?cursor=${next}`,
    `/users/${userId}/events?cursor=${next}&direction=backward`,
    `/users/${userId}/events?cursor=2`,
    `/users/${userId}/events?cursor=${'x'.repeat(200)}`,
    `/users/${userId}/events?cursor=${Buffer.from(`1.${userId}.f.9999999999`).toString('base64url')}`,
    `/users/${userId}/events?cursor=${Buffer.from(`1.${userId}.f.-1`).toString('base64url')}`
  ]
  for (const url of urls) {
    for (const headers of [{}, NDJSON]) refused(t, await get(url, headers), '400 CURSOR_MALFORMED')
  }
  t.equal((await get(`/users/${userId.toUpperCase()}/events?cursor=${next}`)).statusCode, 200)
})

t.test('a query that does not fit the contract is refused', async (t) => {
  const queries: [query: string, pointer: string][] = [
    ['limit=0', '/limit'],
    ['limit=1001', '/limit'],
    ['limit=ten', '/limit'],
    ['limit=1.5', '/limit'],
    ['limit=', '/limit'],
    ['limit=1&limit=2', '/limit'],
    ['fromVersion=0', '/fromVersion'],
    ['fromVersion=2147483648', '/fromVersion'],
    ['toVersion=-1', '/toVersion'],
    ['from=today', '/from'],
    ['from=2026-02-30T00:00:00Z', '/from'],
    ['to=2026-01-01', '/to'],
    ['direction=up', '/direction'],
    ['eventType=', '/eventType/0'],
    ['eventType=UserCreated&eventType=%00', '/eventType/1'],
    ['upcast=maybe', '/upcast'],
    ['cursor=', '/cursor'],
    [`cursor=${'x'.repeat(201)}`, '/cursor'],
    ['offset=3', '/offset'],
    ['fromversion=3', '/fromversion']
  ]
  for (const [query, pointer] of queries) {
    const answer = await get(`/users/${userId}/events?${query}`)
    t.hasStrict(
      { status: answer.statusCode, ...answer.data },
      { status: 400, code: 'VALIDATION_FAILED', in: 'querystring', pointer },
      query
    )
  }
  const leapSecond = '2016-12-31T23:59:60Z'
  for (const name of ['from', 'to']) {
    const answer = await get(`/users/${userId}/events?${name}=${leapSecond}`)
    refused(t, answer, '400 MOMENT_INVALID', { pointer: `/${name}` })
  }
})

t.test('an unknown user is a problem, also where a stream was asked for', async (t) => {
  for (const headers of [{}, NDJSON]) {
    refused(t, await get(`/users/${newUserId()}/events`, headers), '404 USER_NOT_FOUND')
  }
  refused(t, await get(`/users/${userId}/events?limit=0`, NDJSON), '400 VALIDATION_FAILED')
})

t.test('one event, or how far the user has come', async (t) => {
  for (const query of ['', '?upcast=true', '?upcast=false']) {
    const { data } = await get(`/users/${userId}/events${query}`)
    t.equal(data.events.length, 8)
    for (const event of data.events) {
      t.strictSame((await get(`/users/${userId}/events/${event.version}${query}`)).data, event)
    }
    const stream = await get(`/users/${userId}/events${query}`, NDJSON)
    t.strictSame(linesOf(stream), data.events, `${query} as NDJSON`)
  }
  refused(t, await get(`/users/${userId}/events/9`), '404 VERSION_NOT_FOUND', { currentVersion: 8 })
  refused(t, await get(`/users/${userId}/events/2147483647`), '404 VERSION_NOT_FOUND', { currentVersion: 8 })
  refused(t, await get(`/users/${newUserId()}/events/1`), '404 USER_NOT_FOUND')
  for (const version of ['0', '-1', '1.5', 'last', '2147483648', '99999999999999999999']) {
    refused(t, await get(`/users/${userId}/events/${version}`), '400 VALIDATION_FAILED', { in: 'params' })
  }
})

t.test('a user with more events than a page holds', async (t) => {
  const busy = newUserId()
  const count = 2345
  await append(busy, [userCreated(), ...updates(999)])
  await append(busy, updates(1000))
  await append(busy, updates(count - 2000))
  const numbers = Array.from({ length: count }, (_, i) => i + 1)
  const versions = (answer: Answer) => linesOf(answer).map(({ version }) => version)

  t.test('has pages of 100 when no limit is given, and of 1,000 at most', async (t) => {
    t.strictSame(versionsOf(await get(`/users/${busy}/events`)), numbers.slice(0, 100))
    const largest = await get(`/users/${busy}/events?limit=1000`)
    t.strictSame(versionsOf(largest), numbers.slice(0, 1000))
    t.equal(largest.data.version, count)
  })

  t.test('is streamed whole, in both directions', async (t) => {
    t.strictSame(versions(await get(`/users/${busy}/events`, NDJSON)), numbers)
    t.strictSame(versions(await get(`/users/${busy}/events?direction=backward`, NDJSON)), numbers.toReversed())
  })

  t.test('is streamed up to a limit, and within filters', async (t) => {
    t.strictSame(versions(await get(`/users/${busy}/events?limit=7`, NDJSON)), numbers.slice(0, 7))
    t.strictSame(versions(await get(`/users/${busy}/events?limit=1000`, NDJSON)), numbers.slice(0, 1000))
    t.strictSame(
      versions(await get(`/users/${busy}/events?fromVersion=1200&toVersion=2300`, NDJSON)),
      numbers.slice(1199, 2300)
    )
    const accepts = { accept: 'text/html, application/x-ndjson;q=0.9' }
    t.equal(versions(await get(`/users/${busy}/events?eventType=UserUpdated`, accepts)).length, count - 1)
  })

  t.test('is not streamed to HEAD, which has the same head', async (t) => {
    const head = await ask({ method: 'HEAD', url: `/users/${busy}/events`, headers: NDJSON })
    t.equal(head.statusCode, 200)
    t.equal(head.headers['content-type'], 'application/x-ndjson')
    t.ok(head.headers['x-request-id'])
    t.equal(head.body, '')
  })
})
