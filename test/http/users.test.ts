/** The directory of users: who is found by what, in which order, and what answers say of the log. */
import { randomUUID } from 'node:crypto'
import t, { type Test } from 'tap'
import { loggedIn, newUserId, userCreated, userDeleted, userUpdated } from '../support/events.js'
import { refused, verdict } from '../support/problem.js'
import { type Answer, testService } from '../support/service.js'

const service = await testService(t, { background: true })
const { append, ask, get } = service

type Person = { userId: string; username: string }

/** A tenant of its own for a test, with ways to put users into it and to look for them. */
function newTenant(t: Test) {
  const headers = { 'x-tenant-id': randomUUID() }
  let position = 0
  async function add(userId: string, events: object[]): Promise<void> {
    const answer = await append(userId, events, { headers })
    t.equal(answer.statusCode, 201)
    position = answer.data.events.at(-1).position
  }
  const find = (query: string): Promise<Answer> => get(`/users?atLeast=${position}${query && `&${query}`}`, headers)
  return {
    headers,
    add,
    find,
    get position() {
      return position
    },
    async create(username: string, more: object = {}, then: object[] = []): Promise<Person> {
      const userId = newUserId()
      await add(userId, [userCreated(username, more), ...then])
      return { userId, username }
    },
    /** names of those found, in their order */
    async names(query: string): Promise<string[]> {
      const { data } = await find(query)
      return data.users?.map(({ username }: Person) => username) ?? [verdict({ data } as Answer)]
    }
  }
}

const locked = (lockedUntil: string) => ({
  eventType: 'AccountLocked',
  eventData: { reason: 'guessing', loginAttempts: 5, lockedUntil }
})

t.test('a user is shown as its events made it, with the place of the last of them', async (t) => {
  const { add, find, headers } = newTenant(t)
  const userId = newUserId()
  await add(userId, [
    userCreated('Ada', { fullName: 'Ada Lovelace', phone: '+44', roleIds: ['admin'], attributes: { plan: 'pro' } }),
    loggedIn(),
    locked('2999-01-01T00:00:00Z'),
    userUpdated({ status: 'suspended' })
  ])
  const { data } = await find('')
  const state = (await get(`/users/${userId}/state`, headers)).data
  const [user] = data.users
  t.strictSame(user, {
    userId,
    tenantId: headers['x-tenant-id'],
    username: 'Ada',
    email: 'Ada@example.com',
    fullName: 'Ada Lovelace',
    phone: '+44',
    status: 'suspended',
    roleIds: ['admin'],
    totalLogins: 1,
    failedLoginAttempts: 5,
    accountLocked: true,
    lockedUntil: '2999-01-01T00:00:00.000Z',
    lastLoginAt: '2026-11-22T08:00:00.000Z',
    attributes: { plan: 'pro' },
    createdAt: state.state.createdAt,
    updatedAt: state.state.updatedAt,
    deletedAt: null,
    lastUpdatedVersion: 4,
    lastPosition: user.lastPosition
  })
  const one = await get(`/users/${userId.toUpperCase()}`, headers)
  t.equal(one.headers['event-position'], String(one.data.position))
  t.strictSame(one.data, { ...user, position: one.data.position })
  t.ok(one.data.position >= user.lastPosition)
})

t.test('every filter finds whom it says', async (t) => {
  const { create, add, names } = newTenant(t)
  const ada = await create('Ada', {
    email: 'Ada@Example.com',
    fullName: 'Ada Lovelace',
    roleIds: ['admin', 'a"b\\c,{}']
  })
  const grace = await create('grace', { fullName: 'Grace Hopper', roleIds: ['member'] }, [
    locked('2999-01-01T00:00:00Z')
  ])
  await create('linus', { roleIds: ['member'] }, [locked('2001-01-01T00:00:00Z')])
  const gone = await create('gone', { roleIds: ['member'] })
  await add(gone.userId, [userDeleted()])
  await add(grace.userId, [userUpdated({ status: 'inactive' })])
  await create('100%_x')
  const all = ['100%_x', 'linus', 'grace', 'Ada']

  for (const [query, expected] of Object.entries({
    '': all,
    'username=ADA': ['Ada'],
    'username=Ad': [],
    'email=ada%40example.COM': ['Ada'],
    'role=admin': ['Ada'],
    [`role=${encodeURIComponent('a"b\\c,{}')}`]: ['Ada'],
    'role=member': ['linus', 'grace'],
    'role=nobody': [],
    'status=inactive': ['grace'],
    'status=inactive&status=active': all,
    'status=deleted': ['gone'],
    'status=deleted&status=inactive': ['gone', 'grace'],
    'includeDeleted=true': ['100%_x', 'gone', 'linus', 'grace', 'Ada'],
    'locked=true': ['grace'],
    'locked=false': ['100%_x', 'linus', 'Ada'],
    'username=ada&role=member': [],
    'q=ada': ['Ada'],
    'q=LOVE': ['Ada'],
    'q=ove': ['Ada'],
    'q=hopper%20gra': ['grace'],
    'q=hopper%20ada': [],
    'q=gr': ['grace'],
    'q=ra': [],
    'q=%25_': [],
    'q=100%25_': ['100%_x'],
    'q=0%25_x': ['100%_x'],
    'q=xample.com': all.filter((name) => name === 'Ada' || name !== 'Ada')
  }))
    t.strictSame(await names(query), expected, query || 'no filter')

  t.equal(ada.username, 'Ada')
})

t.test('without the extension, words are found at the beginning of a name', async (t) => {
  const { create, names, headers } = newTenant(t)
  await create('ada', { fullName: 'Countess Lovelace' })
  t.strictSame(await names('q=ovelace'), ['ada'])
  const { url } = service.database
  await service.database.run('ALTER INDEX "IDX_READ_MODEL_SEARCH" RENAME TO "IDX_AWAY"')
  t.teardown(() => service.database.run('ALTER INDEX "IDX_AWAY" RENAME TO "IDX_READ_MODEL_SEARCH"'))
  const other = await testService(t, { database: { ...service.database, url } })
  const found = async (q: string) =>
    (await other.get(`/users?q=${q}`, headers)).data.users.map(({ username }: Person) => username)
  t.strictSame(await found('ovelace'), [])
  t.strictSame(await found('countess%20LOVE'), ['ada'])
  t.strictSame(await found('love'), [])
  t.strictSame(await found('ad'), ['ada'])
  t.strictSame(await found('ada@ex'), ['ada'])
})

t.test('times: from is inclusive, to is exclusive, and who was never changed counts from the creation', async (t) => {
  const { create, add, find, names } = newTenant(t)
  const first = await create('first')
  await create('second')
  await add(first.userId, [userUpdated()])
  const { data } = await find('sort=createdAt&order=asc')
  const [one, two] = data.users
  const at = (text: string) => encodeURIComponent(text)
  t.strictSame(await names(`createdFrom=${at(two.createdAt)}`), ['second'])
  t.strictSame(await names(`createdTo=${at(two.createdAt)}`), one.createdAt === two.createdAt ? [] : ['first'])
  t.strictSame(await names(`createdFrom=${at(one.createdAt)}&order=asc`), ['first', 'second'])
  t.strictSame(await names(`createdTo=${at(one.createdAt)}`), [])
  t.strictSame(await names(`updatedFrom=${at(one.updatedAt)}`), ['first'])
  t.strictSame(await names(`updatedTo=${at(one.updatedAt)}`), ['second'])
  t.strictSame(await names('sort=updatedAt'), ['first', 'second'])
  t.strictSame(await names('sort=updatedAt&order=asc'), ['second', 'first'])
  t.strictSame(await names('createdFrom=2999-01-01T00:00:00Z'), [])
  refused(t, await find('createdFrom=2026-06-30T23:59:60Z'), '400 MOMENT_INVALID', { pointer: '/createdFrom' })
})

t.test('pages of every order show everybody once, whatever their names', async (t) => {
  const { create, names, find } = newTenant(t)
  const wanted = ['b', 'B', 'a', 'Zoë', 'zoe', 'ábc', '😀', '_', '%', 'a b', 'A']
  for (const name of wanted) await create(name, { email: 'same@example.com' })
  for (const sort of ['createdAt', 'updatedAt', 'username', 'email']) {
    for (const order of ['asc', 'desc']) {
      const whole = await names(`sort=${sort}&order=${order}`)
      t.strictSame([...whole].sort(), [...wanted].sort())
      const seen: string[] = []
      let path: string | undefined = `sort=${sort}&order=${order}&limit=2`
      for (let pages = 0; path !== undefined && pages < 10; pages++) {
        const { data, headers } = await find(path)
        seen.push(...data.users.map(({ username }: Person) => username))
        t.equal(headers.link !== undefined, data.next !== null)
        path = data.next && `sort=${sort}&order=${order}&limit=2&cursor=${data.next}`
        path ??= undefined
      }
      t.strictSame(seen, whole, `${sort} ${order}`)
    }
  }
  const byName = await names('sort=username&order=asc')
  t.strictSame(
    byName,
    [...wanted].sort((a, b) => compare(a, b) || byName.indexOf(a) - byName.indexOf(b))
  )
  const { data } = await find('sort=username&limit=2')
  refused(t, await find(`sort=username&order=asc&cursor=${data.next}`), '400 CURSOR_MALFORMED')
  refused(t, await find(`sort=email&cursor=${data.next}`), '400 CURSOR_MALFORMED')
  refused(t, await find('cursor=x'), '400 CURSOR_MALFORMED')
})

const compare = (a: string, b: string): number =>
  Buffer.compare(Buffer.from(a.toLowerCase()), Buffer.from(b.toLowerCase()))

t.test('limits', async (t) => {
  const { create, find } = newTenant(t)
  await create('ada')
  for (const query of ['limit=1', 'limit=1000', `q=${'x'.repeat(200)}`, `username=${'x'.repeat(320)}`])
    t.equal(verdict(await find(query)), '200', query.slice(0, 20))
  for (const query of [
    'limit=0',
    'limit=1001',
    'q=',
    `q=${'x'.repeat(201)}`,
    `username=${'x'.repeat(321)}`,
    'q=%00',
    'status=asleep',
    'locked=perhaps',
    'sort=phone',
    'order=up',
    'createdFrom=yesterday',
    'unknown=1',
    'atLeast=-1'
  ])
    t.equal(verdict(await find(query)), '400 VALIDATION_FAILED', query.slice(0, 20))
})

t.test('counts', async (t) => {
  const { create, add, position, headers } = newTenant(t)
  const [one] = [await create('one', { roleIds: ['x'] }), await create('two', { roleIds: ['x'] })]
  await create('three')
  await add(one.userId, [userDeleted()])
  const last = (await append((await create('four')).userId, [userUpdated()], { headers })).data.events[0].position
  const count = async (query: string) => {
    const answer = await get(`/users/count?atLeast=${last}${query && `&${query}`}`, headers)
    t.equal(answer.headers['x-total-count'], String(answer.data.count))
    return [answer.data.count, answer.data.exact]
  }
  t.strictSame(await count(''), [3, true])
  t.strictSame(await count('includeDeleted=true'), [4, true])
  t.strictSame(await count('status=deleted'), [1, true])
  t.strictSame(await count('status=active'), [3, true])
  t.strictSame(await count('status=active&status=deleted'), [4, true])
  t.strictSame(await count('status=inactive'), [0, true])
  t.strictSame(await count('role=x'), [1, true])
  t.strictSame(await count('role=x&includeDeleted=true'), [2, true])
  t.strictSame(await count('q=thre'), [1, true])
  const head = await ask({ method: 'HEAD', url: '/users/count', headers })
  t.equal(head.statusCode, 200)
  t.equal(head.headers['x-total-count'], '3')
  t.equal(head.body, '')
  t.equal(position, 0)
})

t.test('more than 10,000 are not counted one by one, 10,000 are', async (t) => {
  const { create, headers, names } = newTenant(t)
  await create('first', { roleIds: ['many'] })
  t.strictSame(await names(''), ['first'])
  const rows = (count: number) => `
    INSERT INTO user_read_model (bucket, "userId", "tenantId", username, email, status, "roleIds", "createdAt")
    SELECT 0, gen_random_uuid(), '${headers['x-tenant-id']}', 'u' || n, 'u@example.com', 'active', '{many}', now()
    FROM generate_series(1, ${count}) AS n`
  await service.database.run(rows(9_999))
  const exact = await get('/users/count?role=many', headers)
  t.hasStrict(exact.data, { count: 10_000, exact: true })
  await service.database.run(rows(1))
  const more = await get('/users/count?role=many', headers)
  t.hasStrict(more.data, { count: 10_000, exact: false })
})

t.test("another tenant's user is nobody", async (t) => {
  const { create, headers } = newTenant(t)
  const theirs = await create('ada')
  const missing = newUserId()
  await get(`/users?atLeast=${(await append(newUserId(), [userCreated()], { headers })).data.events[0].position}`)
  t.equal((await get(`/users/${theirs.userId}`, headers)).statusCode, 200)
  const answers = await Promise.all([theirs.userId, missing].map((id) => get(`/users/${id}`)))
  t.equal(verdict(answers[0]!), '404 USER_NOT_FOUND')
  const comparable = ({ data }: Answer, id: string) => JSON.parse(JSON.stringify(data).replaceAll(id, '<user>'))
  t.strictSame(comparable(answers[0]!, theirs.userId), comparable(answers[1]!, missing))
  const stranger = { 'x-tenant-id': randomUUID() }
  t.strictSame((await get('/users?q=ada', stranger)).data.users, [])
  t.equal((await get('/users/count', stranger)).data.count, 0)
})
