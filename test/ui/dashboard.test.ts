/** The dashboard: events as they come, over connections that break, counts, and for operators the numbers of the process. */
import { mkdirSync } from 'node:fs'
import type { Page } from 'playwright-core'
import t from 'tap'
import { ADMIN_KEY, bearing, GUARDED, keyOf } from '../support/access.js'
import { isAccessible, openBrowser, settled, signIn, visit } from '../support/browser.js'
import { loggedIn, newUserId, updates, userCreated } from '../support/events.js'
import { startProxy } from '../support/proxy.js'
import { listen, testService } from '../support/service.js'
import { until } from '../support/wait.js'

const service = await testService(t, { background: true, env: { ...GUARDED, WEBHOOK_PRIVATE_ADDRESSES: 'true' } })
const admin = { headers: bearing(ADMIN_KEY) }
const url = await listen(service)
const browser = await openBrowser(t)
/** Screenshots are written to this directory when it is set. */
const shots = process.env.UI_SHOTS
if (shots) mkdirSync(shots, { recursive: true })

const keyWith = async (...scopes: Parameters<typeof keyOf>[1]) =>
  (await keyOf(service, scopes)).authorization.replace('Bearer ', '')

const status = (page: Page, word: string) => page.getByRole('status').getByText(word, { exact: true })
const newest = (page: Page) => page.getByRole('table', { name: 'Newest events' })

/** How many streams and waiting reads are open. */
async function openStreams(): Promise<number> {
  const { data } = await service.get('/admin/metrics?name=event_store_feed_streams', admin.headers)
  return data.metrics[0].values[0].value
}

t.test('operators begin here, and an append shows within a second', (t) =>
  visit(t, { browser, url }, async ({ page, open }) => {
    await open('/ui')
    await signIn(page, ADMIN_KEY)
    await page.getByRole('heading', { name: 'Dashboard' }).waitFor()
    t.match(page.url(), /\/ui\/dashboard$/)
    await page.getByText('There are no events yet.').first().waitFor()
    await status(page, 'live').waitFor()
    for (const step of ['the first event', 'one after it']) {
      const userId = newUserId()
      await service.append(userId, [userCreated()], admin)
      await newest(page).getByText(userId).waitFor({ timeout: 1000 })
      t.pass(`${step} is there`)
    }
    await page.getByText(/^0\.\d per second in the last 10 s, at most [12] in the last 5 min$/).waitFor()
    await newest(page).getByRole('link').first().click()
    await page.waitForURL('**/ui/users/*')
    await until(async () => (await openStreams()) === 0, { what: 'leaving ends the stream' })
  })
)

t.test('events are counted by type', async (t) => {
  await service.append(newUserId(), [userCreated(), ...updates(6), loggedIn()], admin)
  const { eventsByType, totalEvents } = (await service.get('/stats/events', admin.headers)).data
  await visit(t, { browser, url }, async ({ page, open }) => {
    await open('/ui/dashboard')
    await signIn(page, ADMIN_KEY)
    const table = page.getByRole('table', { name: 'Events by type' })
    await table.waitFor()
    const rows = await table.locator('tbody tr').allInnerTexts()
    t.strictSame(
      rows.map((row) => row.split(/\s+/).slice(0, 2)),
      Object.entries(eventsByType as Record<string, number>)
        .sort(([a, m], [b, n]) => n - m || a.localeCompare(b))
        .map(([type, count]) => [type, String(count)])
    )
    await page.getByText('Hot', { exact: true }).waitFor()
    t.match(await page.locator('main').innerText(), `${totalEvents} events, `)
    await service.append(newUserId(), [userCreated()], admin)
    const created = String(eventsByType.UserCreated + 1)
    await table.getByRole('cell', { name: created, exact: true }).waitFor()
  })
})

t.test('a connection that is cut is made anew, and nothing is missed or shown twice', async (t) => {
  const proxy = await startProxy(t, url)
  const userId = newUserId()
  const versions = (page: Page) => newest(page).locator('tr', { hasText: userId }).locator('[data-name="Version"]')
  await service.append(userId, [userCreated()], admin)
  await visit(t, { browser, url: proxy.url.replace(/\/$/, '') }, async ({ page, open }) => {
    await open('/ui/dashboard')
    await signIn(page, ADMIN_KEY)
    await newest(page).getByText(userId).waitFor()
    await proxy.refuse()
    await status(page, 'reconnecting').waitFor()
    const card = page.locator('.card', { has: page.getByRole('heading', { name: 'Live events' }) })
    await card.getByText('The service does not answer').waitFor()
    await service.append(userId, updates(3), admin)
    t.strictSame(await versions(page).allInnerTexts(), ['1'])
    await proxy.listen()
    await status(page, 'live').waitFor()
    t.equal(await card.getByRole('alert').count(), 0)
    await until(async () => (await versions(page).count()) >= 4, { what: 'all events' })
    t.strictSame(await versions(page).allInnerTexts(), ['4', '3', '2', '1'])
    proxy.reset()
    await service.append(userId, updates(1), admin)
    await until(async () => (await versions(page).count()) >= 5, { what: 'the event after the next break' })
    t.equal(await page.getByText('This page failed').count(), 0)
    t.strictSame(await versions(page).allInnerTexts(), ['5', '4', '3', '2', '1'])
  })
})

t.test('however many come at once, the page is drawn a few times a second', (t) =>
  visit(t, { browser, url }, async ({ page, open }) => {
    await open('/ui/dashboard')
    await signIn(page, ADMIN_KEY)
    await status(page, 'live').waitFor()
    await newest(page).waitFor()
    await page.evaluate(`
      window.drawn = 0
      window.since = performance.now()
      new MutationObserver(() => { window.drawn++ }).observe(document.querySelector('table tbody'), { childList: true, subtree: true })`)
    const last = newUserId()
    for (let i = 0; i < 30; i++) await service.append(newUserId(), [userCreated(), ...updates(99)], admin)
    await service.append(last, [userCreated()], admin)
    await newest(page).getByText(last).waitFor()
    const [drawn, ms] = (await page.evaluate('[window.drawn, performance.now() - window.since]')) as [number, number]
    t.ok(drawn >= 1 && drawn <= ms / 200 + 2, `3,000 events were drawn ${drawn} times in ${ms} ms`)
    t.equal(await newest(page).locator('tbody tr').count(), 10)
  })
)

t.test('what is shown can be held, and goes on where it would be', (t) =>
  visit(t, { browser, url }, async ({ page, open }) => {
    await open('/ui/dashboard')
    await signIn(page, ADMIN_KEY)
    await newest(page).waitFor()
    await status(page, 'live').waitFor()
    await page.getByRole('button', { name: 'Pause' }).focus()
    await page.keyboard.press('Enter')
    await status(page, 'paused').waitFor()
    const before = await newest(page).innerText()
    const userId = newUserId()
    const total = (await service.get('/stats/events', admin.headers)).data.totalEvents
    await service.append(userId, [userCreated()], admin)
    // The counts are not held: they show that the event would have come.
    await page
      .getByText((total + 1).toLocaleString('en'), { exact: true })
      .first()
      .waitFor()
    t.equal((await newest(page).innerText()).replace(/\d+ \w+ ago|now/g, ''), before.replace(/\d+ \w+ ago|now/g, ''))
    await page.keyboard.press('Enter')
    await newest(page).getByText(userId).waitFor()
  })
)

t.test('the numbers of a chart can be read as a table', (t) =>
  visit(t, { browser, url }, async ({ page, open }) => {
    await open('/ui/dashboard')
    await signIn(page, ADMIN_KEY)
    await newest(page).waitFor()
    await page.getByText('Numbers of Events per second').focus()
    await page.keyboard.press('Enter')
    const rows = page.getByRole('table', { name: 'Events per second' }).locator('tbody tr')
    await rows.first().waitFor()
    t.equal(await rows.count(), 12)
    t.match((await rows.allInnerTexts())[0], /^now\s+\d/)
  })
)

t.test('a page that nobody has looked at for long does not follow, and goes on when it is looked at', (t) =>
  visit(t, { browser, url }, async ({ page, open }) => {
    await page.clock.install()
    await open('/ui/dashboard')
    await signIn(page, ADMIN_KEY)
    await until(async () => (await openStreams()) === 1, { what: 'the stream' })
    const hide = (hidden: boolean) =>
      page.evaluate(`
        Object.defineProperty(document, 'hidden', { configurable: true, value: ${hidden} })
        document.dispatchEvent(new Event('visibilitychange'))`)
    await hide(true)
    // Less than the silence after which a connection counts as dead: the service does not hear of this clock.
    await page.clock.runFor(40_000)
    t.equal(await openStreams(), 1, 'a short look at something else ends nothing')
    await page.clock.runFor(30_000)
    await until(async () => (await openStreams()) === 0, { what: 'the end of the stream' })
    const userId = newUserId()
    await service.append(userId, [userCreated()], admin)
    await hide(false)
    await until(
      async () => {
        await page.clock.runFor(1000)
        return newest(page).getByText(userId).isVisible()
      },
      { what: 'what came meanwhile' }
    )
  })
)

t.test('operators see conflicts, latencies, caches and lags of the process', (t) =>
  visit(t, { browser, url }, async ({ page, open }) => {
    const sink = { kind: 'webhook', url: 'http://127.0.0.1:1/hook' }
    const made = await service.post('/admin/subscriptions', { name: 'crm', sink, start: 'now' }, admin.headers)
    t.equal(made.statusCode, 201)
    await open('/ui/dashboard')
    await signIn(page, ADMIN_KEY)
    const chart = (title: string) => page.getByRole('figure').filter({ hasText: title })
    const says = (title: string, text: RegExp) => chart(title).getByText(text).waitFor()
    await says('Conflicts per second', /^0 per second in the last 30 s, 0 since the process started$/)
    await says('Replay latency by path', /^No replay in the last 30 s$/)

    const userId = newUserId()
    await service.append(userId, [userCreated(), ...updates(2)], admin)
    t.equal((await service.append(userId, updates(1), { expectedVersion: 1, ...admin })).statusCode, 409)
    for (let i = 0; i < 3; i++) await service.get(`/users/${userId}/state`, admin.headers)
    await says('Conflicts per second', /^0\.\d+ per second in the last 30 s, 1 since the process started$/)
    await says('Append latency', /^p50 [\d.]+ ms, p99 [\d.]+ ms$/)
    await says('Replay latency by path', /^from cache or snapshot p50 [\d.]+ ms, .*from all events p50 [\d.]+ ms, p99/)
    await says('Cache hits by tier', /^process 67% in the last 30 s$/)
    t.match(await page.getByText(/^instance /).innerText(), `instance ${service.service.instance.slice(0, 8)}`)
    const lags = page.getByRole('table', { name: 'Lag of subscriptions and projections' })
    t.match(await lags.getByRole('row', { name: /^default\/crm/ }).innerText(), /subscription/)
    t.match(await lags.getByRole('row', { name: /^users/ }).innerText(), /projection\s+(up to date|\d+ events)/)
  })
)

t.test('scopes decide what is shown, and what is left out is said', async (t) => {
  for (const { scopes, shown, said } of [
    {
      scopes: ['events:read'] as const,
      shown: ['Live events', 'Events by type', 'Storage'],
      said: ['Conflicts, latencies, caches and lags are left out: they take the scopes events:admin and tenants:all.']
    },
    {
      scopes: ['events:admin', 'tenants:all'] as const,
      shown: ['Process', 'Lag of subscriptions and projections'],
      said: ['Live events and counts are left out: they take the scope events:read.']
    },
    { scopes: ['state:read'] as const, shown: [], said: ['Your credentials cannot see the dashboard.'] },
    {
      scopes: ['events:write'] as const,
      shown: [],
      said: ['Your credentials cannot see the dashboard.', 'takes the scope events:read, and you have events:write']
    }
  ]) {
    const key = await keyWith(...scopes)
    await visit(t, { browser, url }, async ({ page, open }) => {
      await open('/ui/dashboard')
      await signIn(page, key)
      await page.getByRole('heading', { name: 'Dashboard' }).waitFor()
      await settled(page)
      const text = (await page.locator('main').innerText()).replace(/\s+/g, ' ')
      for (const each of said) t.ok(text.includes(each), `${scopes}: ${each}`)
      for (const name of [
        'Live events',
        'Events by type',
        'Storage',
        'Process',
        'Lag of subscriptions and projections'
      ])
        t.equal(
          await page.getByRole('heading', { name, exact: true }).count(),
          (shown as string[]).includes(name) ? 1 : 0,
          name
        )
    })
  }
})

t.test('who may read users begins with them unless they are an operator', async (t) => {
  for (const [scopes, path] of [
    [['events:read', 'state:read'], '/ui/users'],
    [['events:read'], '/ui/dashboard'],
    [['events:admin', 'tenants:all', 'state:read'], '/ui/dashboard']
  ] as const) {
    const key = await keyWith(...scopes)
    await visit(t, { browser, url }, async ({ page, open }) => {
      await open('/ui')
      await signIn(page, key)
      await page.waitForURL(`**${path}`)
      await settled(page)
    })
  }
})

t.test('in both themes, wide and narrow', async (t) => {
  for (const theme of ['light', 'dark'] as const)
    for (const width of [1280, 390])
      await visit(t, { browser, url, theme, width }, async ({ page, open }) => {
        await open('/ui/dashboard')
        await signIn(page, ADMIN_KEY)
        await newest(page).waitFor()
        await page.getByRole('table', { name: 'Events by type' }).waitFor()
        await status(page, 'live').waitFor()
        await page.getByText(/0 per second in the last 30 s/).waitFor()
        await settled(page)
        await isAccessible(t, page, `the dashboard, ${theme}, ${width} px`)
        if (shots) await page.screenshot({ path: `${shots}/dashboard-${theme}-${width}.png`, fullPage: true })
      })
})
