/** Watching subscriptions, and mending what could not be delivered. */
import { mkdirSync } from 'node:fs'
import t, { type Test } from 'tap'
import { ADMIN_KEY, bearing, GUARDED, keyOf } from '../support/access.js'
import { isAccessible, openBrowser, settled, signIn, visit } from '../support/browser.js'
import { newUserId, userCreated } from '../support/events.js'
import { listen, testService } from '../support/service.js'
import { type Taker, testTaker } from '../support/taker.js'
import { until } from '../support/wait.js'

const PATH = '/admin/subscriptions'
/** Tries follow each other at once. */
const QUICK = { baseDelayMs: 10, factor: 1, jitter: 0, maxDelayMs: 10, maxAttempts: 2 }

const service = await testService(t, { background: true, env: { ...GUARDED, WEBHOOK_PRIVATE_ADDRESSES: 'true' } })
const admin = bearing(ADMIN_KEY)
const url = await listen(service)
const browser = await openBrowser(t)
/** Screenshots are written to this directory when it is set. */
const shots = process.env.UI_SHOTS
if (shots) mkdirSync(shots, { recursive: true })

const read = async (path: string) => (await service.get(path, admin)).data

/** A subscription whose receiver refuses the one event of one user, and what is owed of it. */
async function refused(t: Test, name: string, scope = 'tenant'): Promise<{ taker: Taker; userId: string }> {
  const taker = await testTaker(t)
  taker.answer = () => 422
  const userId = newUserId()
  const made = await service.post(
    `${PATH}?scope=${scope}`,
    { name, sink: { kind: 'webhook', url: taker.url }, start: 'now', retry: QUICK, deadLetters: 'wait' },
    admin
  )
  t.equal(made.statusCode, 201)
  t.equal((await service.append(userId, [userCreated(name)], { headers: admin })).statusCode, 201)
  await until(async () => (await read(`${PATH}/${name}?scope=${scope}`)).dead === 1, { what: 'a dead letter' })
  return { taker, userId }
}

t.test('a dead letter is seen with its error and content, retried, and delivered', async (t) => {
  const { taker, userId } = await refused(t, 'crm')
  await visit(t, { browser, url }, async ({ page, open }) => {
    await open('/ui/subscriptions')
    await signIn(page, ADMIN_KEY)
    await page.getByRole('link', { name: 'crm' }).click()
    const row = page.getByRole('table', { name: 'Owed events' }).getByRole('row').last()
    await row.getByText(userId).waitFor()
    t.match(await row.innerText(), /422/, 'what the receiver said')
    await row.getByRole('link', { name: userId }).click()
    await page.waitForURL(`**/ui/users/${userId}/events/1`)
    await page.getByRole('heading', { name: 'Created as crm' }).waitFor()
    await page.goBack()
    await row.getByRole('button', { name: 'Look' }).click()
    await page.getByRole('dialog').getByText('UserCreated').waitFor()
    await page.keyboard.press('Escape')
    taker.answer = () => 204
    await row.getByRole('button', { name: 'Retry' }).click()
    t.equal(taker.taken.length, 0, 'nothing is sent before it is confirmed')
    await page.getByRole('button', { name: 'Try again' }).click()
    await until(() => taker.taken.length === 1, { what: 'it arrives' })
    t.equal(taker.taken[0]!.subject, userId)
    await page.getByText('Nothing of this kind.').waitFor()
  })
  t.equal((await read(`${PATH}/crm`)).dead, 0)
})

t.test('a dead letter is discarded with a reason, of a subscription to all tenants', async (t) => {
  await refused(t, 'audit', 'global')
  await visit(t, { browser, url }, async ({ page, open }) => {
    await open('/ui/subscriptions/audit?scope=global')
    await signIn(page, ADMIN_KEY)
    await page.getByRole('button', { name: 'Discard all' }).click()
    await page.getByRole('dialog').getByRole('button', { name: 'Discard all' }).click()
    await page.getByText('Say why first.').waitFor()
    t.equal((await read(`${PATH}/audit?scope=global`)).dead, 1, 'not without a reason')
    await page.getByLabel('Reason').fill('a test account')
    await page.getByRole('dialog').getByRole('button', { name: 'Discard all' }).click()
    await page.getByText('Nothing of this kind.').waitFor()
    await page.getByLabel('Show').selectOption('Discarded')
    await page.getByText('a test account').waitFor()
    t.match(page.url(), /scope=global&status=discarded$/)
  })
  t.equal((await read(`${PATH}/audit?scope=global`)).dead, 0)
})

t.test('a list that is read again, because more is owed, leaves the focus where it was', async (t) => {
  await refused(t, 'growing')
  await visit(t, { browser, url }, async ({ page, open }) => {
    await open('/ui/subscriptions/growing')
    await signIn(page, ADMIN_KEY)
    await page.getByRole('button', { name: 'Discard all' }).focus()
    t.equal((await service.append(newUserId(), [userCreated('second')], { headers: admin })).statusCode, 201)
    await page.getByRole('table', { name: 'Owed events' }).locator('tbody tr').nth(1).waitFor()
    await page.keyboard.press('Enter')
    await page.getByRole('dialog', { name: 'Discard all dead letters?' }).waitFor()
  })
})

t.test('the end of a list that comes into sight while the list is read again is not forgotten', async (t) => {
  await refused(t, 'long')
  const refuseOne = () => service.append(newUserId(), [userCreated('more')], { headers: admin })
  await Promise.all(Array.from({ length: 59 }, refuseOne))
  await until(async () => (await read(`${PATH}/long`)).dead === 60, { what: '60 dead letters' })
  await visit(t, { browser, url }, async ({ page, open }) => {
    await open('/ui/subscriptions/long')
    await signIn(page, ADMIN_KEY)
    const rows = page.getByRole('table', { name: 'Owed events' }).locator('tbody tr')
    await rows.nth(49).waitFor()
    t.equal(await rows.count(), 50, 'a page, whose end is out of sight')
    let release = () => {}
    const held = new Promise<void>((resolve) => {
      release = resolve
    })
    await page.route(/\/long\/outbox\?/, async (route) => {
      await held
      await route.continue()
    })
    const again = page.waitForRequest(/\/long\/outbox\?/)
    await refuseOne()
    await again
    await page.getByText('Loading owed events').scrollIntoViewIfNeeded()
    // What is seen in a frame is told after it.
    await page.evaluate('new Promise((seen) => requestAnimationFrame(() => requestAnimationFrame(seen)))')
    release()
    await rows.nth(60).waitFor()
  })
})

t.test('a look at how it is that fails takes nothing away from who is answering a question', async (t) => {
  await refused(t, 'asked')
  await visit(t, { browser, url }, async ({ page, open }) => {
    await open('/ui/subscriptions/asked')
    await signIn(page, ADMIN_KEY)
    await page.getByRole('button', { name: 'Discard all' }).click()
    const dialog = page.getByRole('dialog')
    await dialog.getByLabel('Reason').fill('a test account')
    const look = /\/admin\/subscriptions\/asked\?/
    await page.route(look, (route) => route.abort())
    await page.getByText('The service does not answer').waitFor()
    await page.unroute(look)
    t.equal(await dialog.getByLabel('Reason').inputValue(), 'a test account')
    await dialog.getByRole('button', { name: 'Discard all' }).click()
    await page.getByText('Nothing of this kind.').waitFor()
    await page.getByText('The service does not answer').waitFor({ state: 'detached' })
  })
})

t.test('a subscription is paused and resumed', async (t) => {
  await refused(t, 'held')
  await visit(t, { browser, url }, async ({ page, open }) => {
    await open('/ui/subscriptions/held')
    await signIn(page, ADMIN_KEY)
    await page.getByRole('button', { name: 'Pause' }).click()
    await page.getByRole('button', { name: 'Cancel' }).click()
    t.not((await read(`${PATH}/held`)).state, 'paused', 'not before it is confirmed')
    await page.getByRole('button', { name: 'Pause' }).click()
    await page.getByRole('button', { name: 'Pause delivery' }).click()
    await page.getByRole('button', { name: 'Resume' }).waitFor()
    t.equal((await read(`${PATH}/held`)).state, 'paused')
    await page.getByRole('button', { name: 'Resume' }).click()
    await page.getByRole('button', { name: 'Resume delivery' }).click()
    await page.getByRole('button', { name: 'Pause' }).waitFor()
    t.not((await read(`${PATH}/held`)).state, 'paused')
  })
})

t.test('who may not see subscriptions is told what is missing; one that is not there is said not to be', async (t) => {
  const key = (await keyOf(service, ['state:read'])).authorization.replace('Bearer ', '')
  await visit(t, { browser, url }, async ({ page, open }) => {
    await open('/ui/subscriptions/held')
    await signIn(page, key)
    await page.getByText('Your credentials cannot see this subscription.').waitFor()
  })
  await visit(t, { browser, url }, async ({ page, open }) => {
    await open('/ui/subscriptions/nobody')
    await signIn(page, ADMIN_KEY)
    await page.getByText('SUBSCRIPTION_NOT_FOUND').waitFor()
  })
})

t.test('in both themes, wide and narrow', async (t) => {
  await refused(t, 'looked-at')
  for (const theme of ['light', 'dark'] as const)
    for (const width of [1280, 390])
      await visit(t, { browser, url, theme, width }, async ({ page, open }) => {
        for (const path of ['subscriptions', 'subscriptions/looked-at']) {
          await open(`/ui/${path}`)
          await signIn(page, ADMIN_KEY)
          await page.getByRole('table').last().waitFor()
          await settled(page)
          await isAccessible(t, page, `${path}, ${theme}, ${width} px`)
          if (shots)
            await page.screenshot({ path: `${shots}/${path.replace('/', '-')}-${theme}-${width}.png`, fullPage: true })
        }
      })
})
