/** What a user was at any version. */
import t from 'tap'
import { ADMIN_KEY, bearing, GUARDED, keyOf } from '../support/access.js'
import { isAccessible, openBrowser, settled, signIn, visit } from '../support/browser.js'
import { newUserId, updates, userCreated, userUpdated } from '../support/events.js'
import { longUser } from '../support/long-user.js'
import { listen, testService } from '../support/service.js'
import { until } from '../support/wait.js'

const service = await testService(t)
const url = await listen(service)
const browser = await openBrowser(t)
const ada = newUserId()
await service.append(ada, [
  userCreated('ada', { attributes: { plan: 'free', tags: ['new'] } }),
  userUpdated({ fullName: 'Ada Lovelace' }),
  userUpdated({ attributes: { plan: 'pro' } }),
  userUpdated({ attributes: { tags: null } })
])
const path = `/ui/users/${ada}/time`

t.test('a link opens at its version, which shows what changed, and one goes on step by step', (t) =>
  visit(t, { browser, url }, async ({ page, open }) => {
    await open(`${path}?version=3`)
    const place = page.getByText(/^Version \d of 4$/)
    t.equal(await place.innerText(), 'Version 3 of 4')
    const changed = page.locator('tr.changed')
    await until(async () => (await changed.filter({ hasText: 'attributes.plan' }).count()) === 1, {
      what: 'the change of version 3'
    })
    t.match(await changed.filter({ hasText: 'attributes.plan' }).innerText(), /changed\s+"free"\s+"pro"/)
    await page.getByText('The event that made it so').click()
    await page.getByText('"UserUpdated"').waitFor()

    await page.getByRole('button', { name: 'Next version' }).click()
    await changed.filter({ hasText: 'attributes.tags' }).waitFor()
    t.match(await changed.filter({ hasText: 'attributes.tags' }).innerText(), /removed\s+\["new"\]/)
    t.match(page.url(), /\?version=4$/)
    t.ok(await page.getByRole('button', { name: 'Next version' }).isDisabled())
    await page.locator('h1').click()
    for (let i = 0; i < 3; i++) await page.keyboard.press('ArrowLeft')
    await until(async () => (await place.innerText()) === 'Version 1 of 4')
    await until(async () => (await changed.count()) === 0, { what: 'the first version, from which nothing differs' })
    t.ok(await page.getByRole('button', { name: 'Version before' }).isDisabled())

    await page.getByRole('button', { name: 'Play' }).click()
    await until(async () => (await place.innerText()) === 'Version 4 of 4')
    await page.getByRole('button', { name: 'Play' }).waitFor()
  })
)

t.test('a moment leads to the version that was then', (t) =>
  visit(t, { browser, url }, async ({ page, open }) => {
    await open(`${path}?version=1`)
    await page.getByLabel('Moment (UTC)').fill('2099-01-01T00:00:00')
    await page.getByRole('button', { name: 'Go there' }).click()
    await page.waitForURL('**/time?version=4')
    await page.getByLabel('Moment (UTC)').fill('2001-01-01T00:00:00')
    await page.getByRole('button', { name: 'Go there' }).click()
    t.match(await page.getByRole('alert').innerText(), /NO_STATE_YET/)
  })
)

t.test('any two versions are compared side by side', (t) =>
  visit(t, { browser, url }, async ({ page, open }) => {
    await open(`${path}?version=4&compare=1..3`)
    const both = page.getByRole('table', { name: 'Both states' })
    t.match(await page.getByText(/fields differ/).innerText(), /^3 fields differ\.$/)
    t.match(await both.innerText(), /attributes\.plan.*"free".*"pro"/s)
    t.match(await both.innerText(), /fullName.*null.*"Ada Lovelace"/s)
    await page.getByLabel('Other version').fill('1')
    await page.getByText('Nothing differs between the two.').waitFor()
    t.match(page.url(), /compare=1\.\.1/)
    await page.getByLabel('Also what is the same').check()
    t.strictSame(await both.locator('thead th').allTextContents(), ['Field', 'Version 1', 'Version 1'])
    t.strictSame(await both.getByRole('row', { name: 'username' }).locator('td').allTextContents(), ['"ada"', '"ada"'])
    await page.getByLabel('Other version').fill('5')
    await page.getByText('Expected a whole number from 1 to 4.').waitFor()
    await page.getByRole('button', { name: 'Close the comparison' }).click()
    await both.waitFor({ state: 'detached' })
  })
)

t.test('a snapshot is taken, and shown with what it is good for', (t) =>
  visit(t, { browser, url }, async ({ page, open }) => {
    await open(path)
    await page.getByText('There are no snapshots yet.').waitFor()
    await page.getByRole('button', { name: 'Take a snapshot' }).click()
    await page.getByText('A snapshot of version 4 was taken.').waitFor()
    const row = page.getByRole('table', { name: 'Snapshots' }).locator('tbody tr')
    t.match(await row.innerText(), /4.*usable.*manual/s)
    await page.getByRole('button', { name: 'Take a snapshot' }).click()
    await page.getByText('There is one of version 4.').waitFor()
    t.equal((await service.get(`/users/${ada}/snapshots`)).data.snapshots.length, 1)
    await service.database.run(`UPDATE user_snapshots SET fingerprint = 'older rules'`)
    await open(path)
    t.match(await row.innerText(), /stale/)
  })
)

/** Counts requests for states and events in the page itself, from when they are sent until their answers begin. */
const COUNTING = `
  const counts = { asked: 0, now: 0, most: 0 }
  const { fetch } = window
  window.counts = counts
  window.fetch = (request) => {
    if (!/[/](state[?]version=|events[/])/.test(request.url)) return fetch(request)
    counts.asked++
    counts.most = Math.max(counts.most, ++counts.now)
    return fetch(request).finally(() => counts.now--)
  }`

t.test(
  'of a user of 50,000 events the slider asks for little, one thing at a time, and ends where it was left',
  async (t) => {
    const long = await longUser(service, 50_000)
    await visit(t, { browser, url }, async ({ page, open }) => {
      await page.addInitScript(COUNTING)
      const counts = async () => (await page.evaluate('counts')) as { asked: number; most: number }
      await open(`/ui/users/${long}/time?version=50000`)
      await page.getByText('"Name 50000"').first().waitFor()
      const before = await counts()
      const MOVES = 100
      const box = (await page.getByLabel('Version', { exact: true }).boundingBox())!
      const y = box.y + box.height / 2
      await page.mouse.move(box.x + box.width - 8, y)
      await page.mouse.down()
      await page.mouse.move(box.x + box.width / 4, y, { steps: MOVES })
      await page.mouse.up()
      const [, version] = /^Version (\d+) of 50000$/.exec(await page.getByText(/^Version \d+ of 50000$/).innerText())!
      t.ok(Number(version) > 10_000 && Number(version) < 15_000, `version ${version}`)
      await page.getByText(`"Name ${version}"`).first().waitFor()
      await page.getByText('The event that made it so').waitFor()
      const { asked, most } = await counts()
      t.ok(asked - before.asked < MOVES, `${asked - before.asked} requests for ${MOVES} moves`)
      t.equal(most, 1, 'one at a time')
    })
  }
)

t.test('who may not see events or take snapshots sees the rest, and who may not see states is told', async (t) => {
  const guarded = await testService(t, { env: GUARDED })
  await guarded.append(ada, [userCreated('ada'), ...updates(1)], { headers: bearing(ADMIN_KEY) })
  const address = await listen(guarded)
  const enter = async (scopes: Parameters<typeof keyOf>[1], look: (text: string) => void) => {
    const { authorization } = await keyOf(guarded, scopes)
    await visit(t, { browser, url: address }, async ({ page, open }) => {
      await open(path)
      await signIn(page, authorization.replace('Bearer ', ''))
      await page.getByRole('heading', { name: 'Time machine' }).waitFor()
      await settled(page)
      look(await page.locator('main').innerText())
    })
  }
  await enter(['state:read'], (text) => {
    t.match(text, /"ada"/)
    t.match(text, /sign in with a key that has the scope snapshots:admin/)
    t.notMatch(text, /The event that made it so/)
  })
  await enter(['events:read'], (text) => t.match(text, /Your credentials cannot read states.*state:read/s))
})

t.test('a user who is not there is said not to be', (t) =>
  visit(t, { browser, url }, async ({ page, open }) => {
    await open(`/ui/users/${newUserId()}/time`)
    t.match(await page.getByRole('alert').innerText(), /USER_NOT_FOUND/)
  })
)

t.test('in both themes, wide and narrow', async (t) => {
  for (const theme of ['light', 'dark'] as const)
    for (const width of [1280, 390])
      await visit(t, { browser, url, theme, width }, async ({ page, open }) => {
        await open(`${path}?version=3&compare=1..3`)
        await page.getByText(/fields differ/).waitFor()
        await page.getByText('The event that made it so').waitFor()
        await isAccessible(t, page, `the time machine, ${theme}, ${width} px`)
      })
})
