/** What happened to a user: the timeline, and each event by itself. */
import { mkdirSync } from 'node:fs'
import t from 'tap'
import { ADMIN_KEY, bearing, GUARDED, keyOf } from '../support/access.js'
import { isAccessible, openBrowser, scrollUntil, settled, signIn, visit } from '../support/browser.js'
import { loggedIn, newUserId, updates, userCreated, userUpdated } from '../support/events.js'
import { longUser } from '../support/long-user.js'
import { listen, testService } from '../support/service.js'
import { until } from '../support/wait.js'

const service = await testService(t, { background: true })
const url = await listen(service)
const browser = await openBrowser(t)
/** Screenshots are written to this directory when it is set. */
const shots = process.env.UI_SHOTS
if (shots) mkdirSync(shots, { recursive: true })

const ada = newUserId()
const cause = newUserId()
const boss = newUserId()
const checkout = { correlationId: 'checkout-7' }
await service.append(ada, [
  { ...userCreated('ada'), schemaVersion: 1 },
  {
    ...userUpdated({ fullName: 'Ada Lovelace', phone: '+44 20 7946 0000' }),
    id: cause,
    metadata: { ...checkout, userId: boss }
  },
  { ...loggedIn(), schemaVersion: 1, metadata: { ...checkout, causationId: cause, userId: 'sso' } },
  { eventType: 'RolesAssigned', eventData: { roleIds: ['admin', 'editor'], assignedBy: 'root' } }
])
await service.post(`/admin/users/${ada}/snapshots`, {})
await service.append(ada, [
  {
    eventType: 'AccountLocked',
    eventData: { reason: 'too many attempts', loginAttempts: 5, lockedUntil: '2026-11-22T09:00:00.000Z' }
  },
  { eventType: 'AccountUnlocked', eventData: { unlockedBy: 'support' } }
])
await until(async () => (await service.get('/users?atLeast=6')).statusCode === 200, { what: 'the read model' })
const timeline = `/ui/users/${ada}`

t.test('the timeline tells what happened, the newest first, with who did it, and where there are snapshots', (t) =>
  visit(t, { browser, url }, async ({ page, open }) => {
    await open('/ui/users?q=lovelace')
    await page.getByRole('link', { name: 'Ada Lovelace' }).click()
    await page.getByRole('heading', { name: 'Timeline of Ada Lovelace active' }).waitFor()
    const events = page.locator('.timeline').getByRole('listitem')
    await events.last().waitFor()
    const texts = await events.allInnerTexts()
    t.equal(texts.length, 6)
    t.match(texts[0], /Lock lifted\s+AccountUnlocked\s+version 6\s+by support\s+now.*UTC/s)
    t.match(texts[2], /Roles are now admin, editor.*version 4\s+by root/s)
    t.match(texts[3], /Signed in from 203\.0\.113\.7.*by sso/s)
    t.match(texts[5], /Created as ada, ada@example\.com/)

    const snapshot = page.getByRole('link', { name: 'snapshot, usable' })
    await snapshot.waitFor()
    t.equal(await events.filter({ has: snapshot }).getByText('version 4').count(), 1)
    await service.database.run(`UPDATE user_snapshots SET fingerprint = 'older rules'`)
    await open(timeline)
    await page.getByRole('link', { name: 'snapshot, stale' }).click()
    await page.waitForURL('**/time?version=4')
    await page.getByText('Version 4 of 6').waitFor()
  })
)

t.test('a filter stands in the address, and a link shows what its sender saw', (t) =>
  visit(t, { browser, url }, async ({ page, open }) => {
    await open(timeline)
    const events = page.locator('.timeline').getByRole('listitem')
    await page.getByLabel('UserUpdated').check()
    await until(async () => (await events.count()) === 1, { what: 'the only change' })
    await page.getByLabel('UserCreated').check()
    await until(async () => (await events.count()) === 2)
    t.match(page.url(), /\?type=UserUpdated&type=UserCreated$/)
    await open(`${timeline}?type=UserDeleted`)
    await page.getByText('Nothing of this kind happened to the user.').waitFor()
    t.ok(await page.getByLabel('UserDeleted').isChecked())
    await page.getByRole('button', { name: 'Show all events' }).click()
    await until(async () => (await events.count()) === 6)
  })
)

t.test('tabs lead between timeline and time machine, and links to versions are followed to where they are now', (t) =>
  visit(t, { browser, url }, async ({ page, open }) => {
    await open(timeline)
    const tab = (name: string) =>
      page.getByRole('navigation', { name: 'Views of the user' }).getByRole('link', { name })
    t.equal(await tab('Timeline').getAttribute('aria-current'), 'page')
    await tab('Time machine').press('Enter')
    await page.getByRole('heading', { name: 'Time machine of Ada Lovelace' }).waitFor()
    t.equal(await tab('Time machine').getAttribute('aria-current'), 'page')
    t.equal(await tab('Timeline').getAttribute('aria-current'), null)
    await tab('Timeline').click()
    await page.waitForURL(`**${timeline}`)
    await open(`${timeline}?version=2&compare=1..2`)
    await page.waitForURL(`**${timeline}/time?version=2&compare=1..2`)
    await page.getByText('Version 2 of 6').waitFor()
  })
)

t.test('further events come as one scrolls, or presses the button', async (t) => {
  const bob = newUserId()
  await service.append(bob, [userCreated('bob'), ...updates(160)])
  await visit(t, { browser, url }, async ({ page, open }) => {
    await open(`/ui/users/${bob}`)
    const events = page.locator('.timeline').getByRole('listitem')
    await events.first().waitFor()
    t.ok((await events.count()) < 161)
    await scrollUntil(page, events, 161)
    t.equal(await page.getByRole('button', { name: 'More events' }).count(), 0)
    const versions = (await events.getByText(/^version \d+$/).allInnerTexts()).map((text) => Number(text.slice(8)))
    t.strictSame(
      versions,
      Array.from({ length: 161 }, (_, i) => 161 - i),
      'each once, in order'
    )
  })
  await visit(t, { browser, url }, async ({ page, open }) => {
    await page.addInitScript(
      'delete window.IntersectionObserver.prototype.observe; IntersectionObserver.prototype.observe = () => {}'
    )
    await open(`/ui/users/${bob}`)
    const events = page.locator('.timeline').getByRole('listitem')
    await page.getByRole('button', { name: 'More events' }).press('Enter')
    await until(async () => (await events.count()) === 100, { what: 'two pages' })
  })
})

t.test('from the timeline to an event, as it was stored and as it is shown, and on to the time machine', (t) =>
  visit(t, { browser, url }, async ({ page, open }) => {
    await open(timeline)
    await page.getByRole('link', { name: 'Signed in from 203.0.113.7' }).press('Enter')
    await page.waitForURL(`**${timeline}/events/3`)
    await page.getByRole('heading', { name: 'Event 3 of Ada Lovelace' }).waitFor()
    const stored = page.getByRole('region', { name: 'the data as stored' })
    const shown = page.getByRole('region', { name: 'the data as shown now' })
    t.match(await stored.innerText(), /ipAddress: "203\.0\.113\.7"/)
    t.match(await shown.innerText(), /ipAddress:\s+\{ 2 \}\s+address: "203\.0\.113\.7"\s+family: 4/)
    t.match(await stored.locator('.marked').allInnerTexts(), [/^ipAddress/], 'what differs is marked')
    const facts = page.locator('main')
    t.match(await facts.innerText(), /schema version 1 as stored and 2 as shown/)
    t.match(await page.getByRole('region', { name: 'the metadata' }).innerText(), /checkout-7/)

    await page.getByRole('table', { name: 'Both states' }).waitFor()
    const changes = await page.getByRole('table', { name: 'Both states' }).innerText()
    t.match(changes, /lastLoginIp\s+null\s+"203\.0\.113\.7"/)
    t.match(changes, /totalLogins\s+0\s+1/)
    t.notMatch(changes, /username/, 'what stayed is left out')
    await page.getByRole('button', { name: 'Copy as JSON' }).click()
    await page.getByText('Copied').waitFor({ state: 'attached' })
    const copied = JSON.parse((await page.evaluate('navigator.clipboard.readText()')) as string)
    t.match(copied, {
      version: 3,
      eventType: 'LoginInfoUpdated',
      aggregateId: ada,
      eventData: { ipAddress: { family: 4 } }
    })

    await page.getByRole('link', { name: 'Time machine at version 3' }).click()
    await page.waitForURL('**/time?version=3')
    await page.getByText('Version 3 of 6').waitFor()
    await page.getByRole('link', { name: 'LoginInfoUpdated' }).click()
    await page.waitForURL(`**${timeline}/events/3`)
  })
)

t.test('an event leads to those beside it, and to those that have to do with it', (t) =>
  visit(t, { browser, url }, async ({ page, open }) => {
    await open(`${timeline}/events/3`)
    const fact = (name: string) => page.locator(`dt:text-is("${name}") + dd`)
    await fact('Correlation').getByRole('link', { name: 'version 2' }).waitFor()
    t.match(await fact('Correlation').innerText(), /checkout-7/)
    await fact('Caused by').getByRole('link', { name: 'version 2' }).click()
    await page.waitForURL(`**${timeline}/events/2`)
    await fact('Led to').getByRole('link', { name: 'version 3' }).waitFor()
    t.equal(await fact('Caused by').count(), 0)

    const beside = page.getByRole('navigation', { name: 'Events beside this one' })
    await beside.getByRole('link', { name: 'Version 1' }).press('Enter')
    await page.getByRole('heading', { name: 'Created as ada' }).waitFor()
    t.match(await page.getByRole('table', { name: 'Both states' }).innerText(), /username\s+"ada"/)
    await until(async () => (await beside.getByRole('link').count()) === 1, { what: 'nothing before the first' })
    await open(`${timeline}/events/6`)
    await until(async () => (await beside.getByRole('link').allInnerTexts()).join() === 'Version 5', {
      what: 'nothing after the newest'
    })
    t.match(await page.locator('main').innerText(), /Shown as they were stored\./)
  })
)

t.test('an event that is not there is said not to be', (t) =>
  visit(t, { browser, url }, async ({ page, open }) => {
    await open(`${timeline}/events/7`)
    await page.getByText('VERSION_NOT_FOUND').waitFor()
    t.equal(await page.getByRole('link', { name: /^Version \d/ }).count(), 0, 'nothing leads to what may not be there')
    await open(`${timeline}/events/first`)
    await page.getByText('a whole number from 1').waitFor()
    await page.getByRole('link', { name: 'To the timeline' }).click()
    await page.waitForURL(`**${timeline}`)
  })
)

/** Time until there is an element that `selector` finds, ms; told by the page. */
const watching = (selector: string) => `
  new MutationObserver((_, observer) => {
    if (!document.querySelector('${selector}')) return
    observer.disconnect()
    requestAnimationFrame(() => { window.seenAfterMs = performance.now() })
  }).observe(document, { childList: true, subtree: true })`

t.test('the timeline and the events of a user of 50,000 events open within a second', async (t) => {
  // Here no projection is busy with them.
  const quiet = await testService(t)
  const short = newUserId()
  await quiet.append(short, [userCreated('short')])
  const long = await longUser(quiet, 50_000)
  await visit(t, { browser, url: await listen(quiet) }, async ({ page, open }) => {
    const opens = async (path: string, selector: string): Promise<number> => {
      await page.addInitScript(watching(selector))
      await open(path)
      await page.locator(selector).first().waitFor()
      return (await page.evaluate('window.seenAfterMs')) as number
    }
    /** A machine that needs long for any page has as long again for this one. */
    const soon = (path: string, ms: number, shortMs: number): void => {
      t.ok(
        ms < Math.max(1000, 2 * shortMs),
        `${path} within ${Math.round(ms)} ms, one of a single event ${Math.round(shortMs)}`
      )
    }
    // What a service and a browser do once, when they have just started, is not the user's.
    await open(`/ui/users/${short}`)
    const [timeline, event] = [`/ui/users/${long}`, `/ui/users/${long}/events/25000`]
    const timelineMs = await opens(timeline, '.timeline-event')
    t.match(await page.locator('.timeline-event').first().innerText(), /Full name set to Name 50000/)
    await page.getByRole('heading', { name: 'Timeline of Name 50000 active' }).waitFor()
    soon(timeline, timelineMs, await opens(`/ui/users/${short}`, '.timeline-event'))
    const eventMs = await opens(event, '.facts')
    await page.getByRole('cell', { name: '"Name 24999"' }).waitFor()
    soon(event, eventMs, await opens(`/ui/users/${short}/events/1`, '.facts'))
  })
})

t.test('who may not read events is told, and who may not read states sees the events alone', async (t) => {
  const guarded = await testService(t, { env: GUARDED })
  await guarded.append(ada, [userCreated('ada'), ...updates(1)], { headers: bearing(ADMIN_KEY) })
  const address = await listen(guarded)
  /** What the page at `path` says under `heading` to a key that has one scope only. */
  const toldTo = async (scope: 'events:read' | 'state:read', path: string, heading: string): Promise<string> => {
    const { authorization } = await keyOf(guarded, [scope])
    let text = ''
    await visit(t, { browser, url: address }, async ({ page, open }) => {
      await open(path)
      await signIn(page, authorization.replace('Bearer ', ''))
      await page.getByRole('heading', { name: heading, exact: true }).waitFor()
      await settled(page)
      text = await page.locator('main').innerText()
    })
    return text
  }
  const told = /Your credentials cannot read events.*events:read, and you have state:read/s
  t.match(await toldTo('state:read', timeline, 'Timeline of Name 0 active'), told)
  t.match(await toldTo('state:read', `${timeline}/events/2`, 'Event 2 of Name 0 active'), told)
  const alone = await toldTo('events:read', timeline, 'Timeline')
  t.match(alone, /Full name set to Name 0.*by key:/s)
  t.notMatch(alone, /active|SCOPE_MISSING/)
  const event = await toldTo('events:read', `${timeline}/events/2`, 'Event 2')
  t.match(event, /Full name set to Name 0.*To see it, sign in with a key that has the scope state:read/s)
  t.notMatch(event, /Time machine at version/)
})

t.test('a user who is not there is said not to be, once', (t) =>
  visit(t, { browser, url }, async ({ page, open }) => {
    await open(`/ui/users/${newUserId()}`)
    await page.getByText('USER_NOT_FOUND').waitFor()
    t.equal(await page.getByRole('alert').count(), 1)
  })
)

t.test('what cannot be loaded is said, beside what can, and can be tried again', (t) =>
  visit(t, { browser, url }, async ({ page, open }) => {
    await page.route('**/snapshots', (route) => route.abort())
    await open(timeline)
    await page.getByText('The service does not answer').waitFor()
    t.equal(await page.locator('.timeline').getByRole('listitem').count(), 6)
    await page.unroute('**/snapshots')
    await page.getByRole('button', { name: 'Try again' }).click()
    await page.getByRole('link', { name: 'snapshot' }).waitFor()
    t.equal(await page.getByRole('alert').count(), 0)
  })
)

t.test('in both themes, wide and narrow', async (t) => {
  for (const theme of ['light', 'dark'] as const)
    for (const width of [1280, 390])
      await visit(t, { browser, url, theme, width }, async ({ page, open }) => {
        const look = async (path: string, name: string) => {
          await open(path)
          await page.getByRole('heading', { name: 'Ada Lovelace active' }).waitFor()
          await settled(page)
          await isAccessible(t, page, `${name}, ${theme}, ${width} px`)
          if (shots) await page.screenshot({ path: `${shots}/${name}-${theme}-${width}.png`, fullPage: true })
        }
        await look(timeline, 'timeline')
        await look(`${timeline}?type=UserDeleted`, 'timeline-empty')
        await look(`${timeline}/events/3`, 'event')
      })
})
