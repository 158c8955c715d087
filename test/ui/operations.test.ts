/** Projections, event types, API keys and the archive. */
import { mkdirSync } from 'node:fs'
import t from 'tap'
import { ADMIN_KEY, bearing, GUARDED, keyOf } from '../support/access.js'
import { isAccessible, openBrowser, settled, signIn, visit } from '../support/browser.js'
import { listen, testService } from '../support/service.js'
import { until } from '../support/wait.js'

const service = await testService(t, { background: true, env: GUARDED })
const admin = bearing(ADMIN_KEY)
const url = await listen(service)
const browser = await openBrowser(t)
/** Screenshots are written to this directory when it is set. */
const shots = process.env.UI_SHOTS
if (shots) mkdirSync(shots, { recursive: true })

type Filled = { name: string; filledAt: string }
const projections = async () => (await service.get('/admin/projections', admin)).data.projections as Filled[]

t.test('a rebuild is started, and takes over', async (t) => {
  await until(async () => (await projections()).length > 0, { what: 'a projection' })
  const [{ name, filledAt }] = (await projections()) as [Filled]
  await visit(t, { browser, url }, async ({ page, open }) => {
    await open('/ui/projections')
    await signIn(page, ADMIN_KEY)
    await page.getByRole('heading', { name: 'What holds it up' }).waitFor()
    await page.getByRole('button', { name: `Rebuild ${name}` }).click()
    await page.getByRole('button', { name: 'Start the rebuild' }).click()
    await page.getByRole('dialog').waitFor({ state: 'detached' })
    await until(async () => (await projections()).some((each) => each.name === name && each.filledAt !== filledAt), {
      what: 'the new tables serve'
    })
    await page.getByRole('button', { name: `Rebuild ${name}`, disabled: false }).waitFor()
  })
})

t.test('an event type is shown with its schema', (t) =>
  visit(t, { browser, url }, async ({ page, open }) => {
    await open('/ui/event-types')
    await signIn(page, ADMIN_KEY)
    await page.getByRole('link', { name: 'UserCreated', exact: true }).click()
    await page.waitForURL('**/ui/event-types/UserCreated')
    await page.getByRole('heading', { name: 'Version 1' }).waitFor()
    t.match(await page.getByRole('region', { name: 'the schema of version 1' }).innerText(), /username/)
  })
)

t.test('a key is made, shown once, copied, and revoked', (t) =>
  visit(t, { browser, url }, async ({ page, open }) => {
    await open('/ui/api-keys')
    await signIn(page, ADMIN_KEY)
    await page.getByRole('button', { name: 'New key' }).click()
    await page.getByRole('button', { name: 'Make the key' }).click()
    await page.getByText('Say who uses it.').waitFor()
    await page.getByLabel('Name').fill('billing')
    await page.getByLabel('state:read').check()
    await page.getByRole('button', { name: 'Make the key' }).click()
    await page.getByText('never again').waitFor()
    await page.getByRole('button', { name: 'Copy the key' }).click()
    const key = (await page.evaluate('navigator.clipboard.readText()')) as string
    t.match(key, /^ues_/)
    t.strictSame((await service.get('/me', bearing(key))).data.scopes, ['state:read'])
    await page.getByRole('button', { name: 'I have it' }).click()
    t.equal(await page.getByText(key).count(), 0, 'it is gone')
    await page.getByRole('button', { name: 'Revoke billing' }).click()
    t.equal((await service.get('/me', bearing(key))).statusCode, 200, 'not before it is confirmed')
    await page.getByRole('button', { name: 'Revoke the key' }).click()
    await page.getByText('revoked').waitFor()
    await until(async () => (await service.get('/me', bearing(key))).statusCode === 401, { what: 'it is refused' })
  })
)

t.test('a key may expire, at a moment to come', (t) =>
  visit(t, { browser, url }, async ({ page, open }) => {
    await open('/ui/api-keys')
    await signIn(page, ADMIN_KEY)
    await page.getByRole('button', { name: 'New key' }).click()
    await page.getByLabel('Name').fill('for a year')
    await page.getByLabel('state:read').check()
    const expiry = page.getByLabel('Expires (UTC)')
    const make = page.getByRole('button', { name: 'Make the key' })
    for (const passed of ['2001-01-01T00:00', new Date().toISOString().slice(0, 16)]) {
      await expiry.fill(passed)
      await make.click()
      await page.getByText('Give a moment to come.').waitFor()
    }
    await expiry.fill('')
    await expiry.pressSequentially('31122098')
    await make.click()
    await page.getByText('Give a date and a time').waitFor()
    const made = async () => (await service.get('/admin/api-keys', admin)).data.keys as { name: string }[]
    t.notOk(
      (await made()).find(({ name }) => name === 'for a year'),
      'nothing was asked for'
    )
    await expiry.fill('2098-12-31T08:30')
    await make.click()
    await page.getByRole('button', { name: 'I have it' }).click()
    const row = page.getByRole('table', { name: 'API keys' }).getByRole('row', { name: 'for a year' })
    t.match(await row.innerText(), /2098-12-31 08:30:00\.000 UTC/)
    t.match(
      (await made()).find(({ name }) => name === 'for a year'),
      { expiresAt: '2098-12-31T08:30:00.000Z' }
    )
  })
)

t.test('a dry run of the archive is asked for, and counts', (t) =>
  visit(t, { browser, url }, async ({ page, open }) => {
    await open('/ui/archive')
    await signIn(page, ADMIN_KEY)
    await page.getByText('There was no run yet.').waitFor()
    await page.getByRole('button', { name: 'Dry run' }).click()
    for (const wrong of ['', '-1', '1.5', '36501']) {
      await page.getByLabel('Older than').fill(wrong)
      await page.getByRole('button', { name: 'Start the dry run' }).click()
      await page.getByText('DAYS_INVALID').waitFor()
    }
    t.strictSame((await service.get('/admin/archive', admin)).data.runs, [], 'nothing was asked for')
    await page.getByLabel('Older than').fill('36500')
    await page.getByRole('button', { name: 'Start the dry run' }).click()
    await page.getByRole('table', { name: 'Runs of the archive' }).getByText('done').waitFor()
    const [run] = (await service.get('/admin/archive', admin)).data.runs
    t.match(run, { dryRun: true, status: 'done' })
  })
)

t.test('who may not is told what is missing', async (t) => {
  const key = (await keyOf(service, ['state:read'])).authorization.replace('Bearer ', '')
  for (const [path, what] of [
    ['projections', 'see projections'],
    ['event-types', 'see event types'],
    ['api-keys', 'see API keys'],
    ['archive', 'see the archive']
  ])
    await visit(t, { browser, url }, async ({ page, open }) => {
      await open(`/ui/${path}`)
      await signIn(page, key)
      await page.getByText(`Your credentials cannot ${what}.`).waitFor()
    })
})

t.test('in both themes, wide and narrow', async (t) => {
  for (const theme of ['light', 'dark'] as const)
    for (const width of [1280, 390])
      await visit(t, { browser, url, theme, width }, async ({ page, open }) => {
        for (const path of ['projections', 'event-types', 'event-types/UserCreated', 'api-keys', 'archive']) {
          await open(`/ui/${path}`)
          await signIn(page, ADMIN_KEY)
          await page.locator('.card').last().waitFor()
          await settled(page)
          await isAccessible(t, page, `${path}, ${theme}, ${width} px`)
          if (shots)
            await page.screenshot({ path: `${shots}/${path.replace('/', '-')}-${theme}-${width}.png`, fullPage: true })
        }
      })
})
