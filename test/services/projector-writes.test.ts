/**
 * What it costs PostgreSQL to keep the directory: a change of what no index has writes the row and touches no index (a HOT
 * update). The other way took several times as long as the append of the event.
 */
import t from 'tap'
import { newUserId, userCreated } from '../support/events.js'
import { type TestService, testService } from '../support/service.js'
import { until } from '../support/wait.js'

const USERS = 400
/** One user in so many is changed in a round: of each page of the table about one row. */
const STRIDE = 10
/** What is free in a page takes as many new rows. For more the old ones must go, which any long transaction on the server delays. */
const ROUNDS = 2

const signIn = { eventType: 'LoginInfoUpdated', eventData: login('203.0.113.7') }
const update = (round: number) => ({
  eventType: 'UserUpdated',
  eventData: { phone: `+4930${round}`, attributes: { round } }
})

function login(ipAddress: string) {
  return { ipAddress: { address: ipAddress, family: 4 }, loginAt: '2026-11-22T08:00:00.000Z' }
}

/** Has the users created, and gives the round of appends that changes every STRIDEth of them and waits for the directory. */
async function withUsers({ append, get }: TestService) {
  const users = Array.from({ length: USERS }, newUserId)
  const round = async (events: object[], number: number, stride = STRIDE) => {
    const some = users.filter((_, i) => i % stride === number % stride)
    const answers = await Promise.all(some.map((userId) => append(userId, events)))
    const position = Math.max(...answers.map(({ data }) => data.events.at(-1).position))
    await get(`/users?limit=1&atLeast=${position}`)
    return some.length
  }
  await round([userCreated()], 0, 1)
  return round
}

/** How many rows of a table were updated, and how many of them beside all indexes; told once a connection has been idle or ended. */
async function updatesOf({ database }: TestService, table: string): Promise<{ all: number; hot: number }> {
  const [row] = await database.run<{ all: string; hot: string }>(
    `SELECT n_tup_upd AS "all", n_tup_hot_upd AS hot FROM pg_stat_user_tables WHERE relname = '${table}'`
  )
  return { all: Number(row!.all), hot: Number(row!.hot) }
}

for (const [what, eventsOf] of [
  ['phones and attributes', (round: number) => [update(round)]],
  ['sign-ins', () => [signIn]]
] as const) {
  t.test(`a burst of ${what} leaves the indexes of user_read_model alone for at least 8 rows of 10`, async (t) => {
    const service = await testService(t, { background: true })
    const round = await withUsers(service)
    let changed = 0
    for (let number = 0; number < ROUNDS; number++) changed += await round(eventsOf(number), number)
    await service.service.stop()
    // At times two batches are made of a round, never fewer than one.
    await until(async () => (await updatesOf(service, 'user_read_model')).all >= changed)
    const { all, hot } = await updatesOf(service, 'user_read_model')
    t.comment(`${hot} of ${all}`)
    t.ok(hot >= 0.8 * all, `${hot} of ${all}`)
  })
}

t.test('the time of the newest change is written only when it is another', async (t) => {
  const service = await testService(t, { background: true })
  const round = await withUsers(service)
  const rows = () =>
    service.database.run<object>('SELECT "userId", xmin::text, ctid::text FROM user_changes ORDER BY 1')
  const before = await rows()
  t.equal(before.length, USERS)
  await round([signIn], 0, 1)
  t.strictSame(await rows(), before, 'a sign-in changes nothing of a user that counts as a change')
  await round([update(1)], 0, 1)
  t.notSame(await rows(), before)
})
