/** Finding users. */
import t from 'tap'
import { DEFAULT_TENANT } from '../../src/domain/event.js'
import { isAccessible, openBrowser, scrollUntil, settled, visit } from '../support/browser.js'
import { manyUsers } from '../support/directory.js'
import { newUserId, userCreated, userDeleted } from '../support/events.js'
import { listen, testService } from '../support/service.js'
import { until } from '../support/wait.js'

const service = await testService(t, { background: true })
const url = await listen(service)
const browser = await openBrowser(t)
const ada = newUserId()
const gone = newUserId()
await service.append(ada, [userCreated('ada', { fullName: 'Ada Lovelace' })])
await service.append(gone, [userCreated('charles'), userDeleted()])
await until(async () => (await service.get('/users?atLeast=3')).statusCode === 200, { what: 'the read model' })
await service.database.run(manyUsers(DEFAULT_TENANT, 1, 160))

t.test('a search finds a user and leads to the page of the user', (t) =>
  visit(t, { browser, url }, async ({ page, open }) => {
    await open('/ui/users')
    await page.keyboard.press('/')
    await page.keyboard.type('lovelace')
    await page.waitForURL('**/ui/users?q=lovelace')
    const link = page.getByRole('link', { name: 'Ada Lovelace' })
    await link.waitFor()
    await until(async () => (await page.getByRole('row').count()) === 2, { what: 'one row and the head' })
    t.match(await page.getByRole('row').last().innerText(), /ada@example\.com/)
    await link.click()
    await page.waitForURL(`**/ui/users/${ada}`)
    await page.goBack()
    t.equal(await page.getByLabel('Search').inputValue(), 'lovelace')
    await link.waitFor()
  })
)

t.test('what is typed stays as it is while the search follows, and goes when the address says so', (t) =>
  visit(t, { browser, url }, async ({ page, open }) => {
    await open('/ui/users')
    const field = page.getByLabel('Search')
    await field.focus()
    await page.keyboard.type('ada ')
    await page.waitForURL('**/ui/users?q=ada')
    await page.getByRole('link', { name: 'Ada Lovelace' }).waitFor()
    t.equal(await field.inputValue(), 'ada ', 'a name goes on after a space')
    await page.keyboard.type('lovelace')
    await page.waitForURL('**/ui/users?q=ada+lovelace')
    t.equal(await field.inputValue(), 'ada lovelace')
    await page.getByRole('link', { name: 'Users', exact: true }).click()
    await page.waitForURL('**/ui/users')
    await until(async () => (await field.inputValue()) === '', { what: 'an empty field' })
  })
)

t.test('a filter that is chosen before the search follows what is typed stays', (t) =>
  visit(t, { browser, url }, async ({ page, open }) => {
    await open('/ui/users')
    await page.getByLabel('Search').focus()
    await page.keyboard.type('charles')
    await page.getByLabel('deleted').check()
    await page.waitForURL('**/ui/users?*q=charles*')
    await page.getByRole('link', { name: 'charles' }).waitFor()
    t.match(new URL(page.url()).search, /status=deleted/)
  })
)

t.test('an id that is pasted leads to its user at once', (t) =>
  visit(t, { browser, url }, async ({ page, open }) => {
    await open('/ui/users')
    await page.evaluate(`navigator.clipboard.writeText('  ${ada.toUpperCase()} ')`)
    await page.getByLabel('Search').focus()
    await page.keyboard.press('Control+V')
    await page.waitForURL(`**/ui/users/${ada}`)
    t.ok(await page.locator('main').getByText(ada).first().isVisible())
  })
)

t.test('status and order stand in the address, and a link shows what its sender saw', (t) =>
  visit(t, { browser, url }, async ({ page, open }) => {
    await open('/ui/users')
    t.equal(await page.getByRole('link', { name: 'charles' }).count(), 0)
    await page.getByLabel('deleted').check()
    await page.getByLabel('Order').selectOption('Username A to Z')
    await page.getByRole('link', { name: 'charles' }).waitFor()
    const there = page.url()
    t.match(there, /\?status=deleted&sort=username\+asc$/)
    await page.goto(there)
    await page.getByRole('link', { name: 'charles' }).waitFor()
    t.ok(await page.getByLabel('deleted').isChecked())
    t.match(await page.locator('tbody').getByRole('row').first().innerText(), /charles/)
  })
)

t.test('further pages come as one scrolls', (t) =>
  visit(t, { browser, url }, async ({ page, open }) => {
    await open('/ui/users?sort=createdAt+asc')
    const rows = page.locator('tbody').getByRole('row')
    const shown = (await service.get('/users?limit=1000')).data.users.length
    t.ok(shown > 150, `${shown} users`)
    t.ok((await rows.count()) < shown)
    await scrollUntil(page, rows, shown)
    t.equal(await page.getByRole('button', { name: 'More users' }).count(), 0)
  })
)

t.test('nothing found, and nothing there, say what to do', async (t) => {
  await visit(t, { browser, url }, async ({ page, open }) => {
    await open('/ui/users?q=nobodyatall')
    t.match(await page.locator('main').innerText(), /No user is like this/)
  })
  const empty = await testService(t, { background: true })
  await visit(t, { browser, url: await listen(empty) }, async ({ page, open }) => {
    await until(async () => (await empty.get('/users')).statusCode === 200)
    await open('/ui/users')
    t.match(await page.locator('main').innerText(), /There are no users yet.*A user begins with a UserCreated event/s)
  })
})

t.test('an error of the API says what happened and can be tried again', async (t) => {
  // No projection runs here.
  const late = await testService(t)
  await visit(t, { browser, url: await listen(late) }, async ({ page, open }) => {
    await open('/ui/users')
    const alert = page.getByRole('alert')
    t.match(await alert.innerText(), /PROJECTION_BEHIND/)
    await isAccessible(t, page, 'an error')
    late.service.start()
    await until(async () => (await late.get('/users')).statusCode === 200)
    await page.getByRole('button', { name: 'Try again' }).click()
    await page.getByText('There are no users yet').waitFor()
  })
})

t.test('a service that does not answer is said not to', (t) =>
  visit(t, { browser, url }, async ({ page, open }) => {
    await open('/ui/users')
    await page.route('**/users?**', (route) => route.abort())
    await page.getByLabel('Search').fill('ada')
    await page.getByText('The service does not answer').waitFor()
    await page.unroute('**/users?**')
    await page.getByRole('button', { name: 'Try again' }).click()
    await page.getByRole('link', { name: 'Ada Lovelace' }).waitFor()
  })
)

t.test('an address that is none says so', (t) =>
  visit(t, { browser, url }, async ({ page, open }) => {
    await open('/ui/nowhere')
    t.match(await page.locator('main').innerText(), /There is no such page/)
    await page.getByRole('link', { name: 'To the beginning' }).click()
    await page.waitForURL('**/ui/users')
  })
)

t.test('the theme can be chosen, and is as chosen the next time', (t) =>
  visit(t, { browser, url, theme: 'light' }, async ({ page, open }) => {
    await open('/ui/users')
    const ground = () => page.evaluate('getComputedStyle(document.body).backgroundColor')
    const light = await ground()
    await page.getByRole('button', { name: 'Dark theme' }).click()
    const dark = await ground()
    t.not(dark, light)
    await page.reload()
    await settled(page)
    t.equal(await ground(), dark)
    await page.getByRole('button', { name: 'Light theme' }).click()
    t.equal(await ground(), light)
  })
)

t.test('in both themes, wide and narrow', async (t) => {
  for (const theme of ['light', 'dark'] as const)
    for (const width of [1280, 390])
      await visit(t, { browser, url, theme, width }, async ({ page, open }) => {
        await open('/ui/users?status=active&status=deleted')
        await isAccessible(t, page, `users, ${theme}, ${width} px`)
        await open('/ui/users?q=nobodyatall')
        await isAccessible(t, page, `no users, ${theme}, ${width} px`)
      })
})
