/** What operators see when the log cannot be followed, and what they do about it; and the archive, when events are moved. */
import { mkdirSync } from 'node:fs'
import postgres from 'postgres'
import t from 'tap'
import { ADMIN_KEY, bearing, GUARDED } from '../support/access.js'
import { followed } from '../support/archive.js'
import { isAccessible, openBrowser, settled, signIn, visit } from '../support/browser.js'
import { newUserId, updates, userCreated, userUpdated } from '../support/events.js'
import { listen, testService } from '../support/service.js'
import { until } from '../support/wait.js'

const service = await testService(t, { background: true, env: GUARDED })
const admin = bearing(ADMIN_KEY)
const url = await listen(service)
const browser = await openBrowser(t)
/** Screenshots are written to this directory when it is set. */
const shots = process.env.UI_SHOTS
if (shots) mkdirSync(shots, { recursive: true })

const get = (path: string) => service.get(path, admin)
const append = (userId: string, events: object[]) => service.append(userId, events, { headers: admin })

/** A user of three events, of which the second is of a type that no instance knows: every projection puts the user aside. */
async function stuck(eventType: string): Promise<string> {
  const userId = newUserId()
  await append(userId, [userCreated(userId.slice(0, 8))])
  await service.database.run(
    `INSERT INTO user_events (bucket, position, id, "aggregateId", version, "eventType", "schemaVersion", "eventData", "tenantId", "createdAt")
     SELECT 0, (SELECT max(position) + 1 FROM user_events), gen_random_uuid(), "aggregateId", 2, '${eventType}', 1, '{"city":"Bath"}', "tenantId", "createdAt"
     FROM user_events WHERE "aggregateId" = '${userId}'`
  )
  await append(userId, [userUpdated({ fullName: 'Later' })])
  return userId
}

const parkedUsers = async (): Promise<number> => (await get('/admin/projections/users')).data.parkedUsers
const putAside = (count: number) =>
  until(async () => (await parkedUsers()) === count, { what: `${count} users put aside` })

t.test('old events are moved when it is asked for, and the page tells when the run has ended', async (t) => {
  await append(newUserId(), [userCreated(), ...updates(9)])
  await followed({ get })
  await visit(t, { browser, url }, async ({ page, open }) => {
    await open('/ui/archive')
    await signIn(page, ADMIN_KEY)
    const archived = page.locator('dt:text-is("Archived") + dd')
    t.match(await archived.innerText(), /^0 events/)
    await page.getByRole('button', { name: 'Run now' }).click()
    await page.getByLabel('Older than').fill('0')
    t.strictSame((await get('/admin/archive')).data.runs, [], 'not before it is confirmed')
    await page.getByRole('button', { name: 'Start the run' }).click()
    const run = page.getByRole('table', { name: 'Runs of the archive' }).getByRole('row', { name: 'run by request' })
    await run.getByText('done').waitFor()
    t.match(await run.innerText(), /\b9$/, 'all but the newest of the user')
    t.match(await archived.innerText(), /^9 events/)
    await page.getByRole('button', { name: 'Run now', disabled: false }).waitFor()
  })
  const { runs, cold } = (await get('/admin/archive')).data
  t.match(runs, [{ dryRun: false, status: 'done', events: 9 }])
  t.equal(cold.events, 9)
})

t.test('a user who is put aside is named with the event to blame, tried again, and goes on', async (t) => {
  const [mended, hopeless] = [await stuck('Moved'), await stuck('Unheard')]
  await putAside(2)
  await visit(t, { browser, url }, async ({ page, open }) => {
    await open('/ui/projections')
    await signIn(page, ADMIN_KEY)
    const table = page.getByRole('table', { name: 'Parked users of users' })
    const rowOf = (userId: string) => table.getByRole('row', { name: userId })
    t.match(await rowOf(hopeless).innerText(), /Unheard/)
    const held = page.getByRole('table', { name: 'Followers that are held back' })
    const why = held.getByRole('row', { name: 'users projection' })
    t.match(await why.innerText(), /USER_PARKED.*2 users are put aside.*from version 2 on/s)

    await rowOf(mended)
      .getByRole('link', { name: `${mended} version 2` })
      .click()
    await page.waitForURL(`**/ui/users/${mended}/events/2`)
    await page.getByRole('navigation', { name: 'Events beside this one' }).waitFor()
    await page.goBack()

    const definition = { schema: { type: 'object' }, effect: { kind: 'merge', namespace: 'address' } }
    const type = { method: 'PUT', url: '/event-types/Moved/versions/1', headers: admin, payload: definition } as const
    t.equal((await service.ask(type)).statusCode, 201)
    await page.getByRole('button', { name: `Retry ${mended}` }).click()
    t.equal(await parkedUsers(), 2, 'not before it is confirmed')
    await page.getByRole('button', { name: 'Try again' }).click()
    await rowOf(mended).waitFor({ state: 'detached' })
    await rowOf(hopeless).waitFor()
    t.equal((await get(`/users/${mended}`)).data.fullName, 'Later')

    await page.getByRole('button', { name: 'Retry all' }).click()
    await page.getByRole('button', { name: 'Try all again' }).click()
    await page.getByRole('dialog').waitFor({ state: 'detached' })
    await rowOf(hopeless).waitFor()
    t.equal(await parkedUsers(), 1, 'who cannot be applied yet stays')
  })
})

t.test('a transaction that has locked the log is named, and no more when it has ended', async (t) => {
  const sql = postgres(service.database.url, {
    max: 1,
    fetch_types: false,
    connection: { application_name: 'a console' }
  })
  t.teardown(() => sql.end({ timeout: 5 }))
  await sql`BEGIN`.simple()
  await sql`LOCK TABLE user_events IN ACCESS EXCLUSIVE MODE`.simple()
  await visit(t, { browser, url }, async ({ page, open }) => {
    await open('/ui/projections')
    await signIn(page, ADMIN_KEY)
    const blocking = page.getByRole('table', { name: 'Transactions for which others wait' })
    await page.getByText('The followers could not be read').waitFor()
    t.match(await blocking.innerText(), /a console.*idle in transaction/s)
    await sql`ROLLBACK`.simple()
    await blocking.waitFor({ state: 'detached', timeout: 30_000 })
    await page.getByRole('table', { name: 'Followers that are held back' }).waitFor()
  })
})

t.test('in both themes, wide and narrow', async (t) => {
  for (const theme of ['light', 'dark'] as const)
    for (const width of [1280, 390])
      await visit(t, { browser, url, theme, width }, async ({ page, open }) => {
        for (const [path, table] of [
          ['projections', 'Parked users of users'],
          ['archive', 'Runs of the archive']
        ] as const) {
          await open(`/ui/${path}`)
          await signIn(page, ADMIN_KEY)
          await page.getByRole('table', { name: table }).waitFor()
          await settled(page)
          await isAccessible(t, page, `${path}, ${theme}, ${width} px`)
          if (shots) await page.screenshot({ path: `${shots}/${path}-held-${theme}-${width}.png`, fullPage: true })
        }
      })
})
