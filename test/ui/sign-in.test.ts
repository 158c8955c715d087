/** Who gets in, and what they then see. */
import t from 'tap'
import { ADMIN_KEY, bearing, GUARDED, keyOf } from '../support/access.js'
import { isAccessible, openBrowser, settled, signIn, visit } from '../support/browser.js'
import { newUserId, userCreated } from '../support/events.js'
import { listen, testService } from '../support/service.js'

const service = await testService(t, { env: GUARDED, background: true })
const url = await listen(service)
const browser = await openBrowser(t)
const keyWith = async (...scopes: Parameters<typeof keyOf>[1]) =>
  (await keyOf(service, scopes)).authorization.replace('Bearer ', '')

t.test('a key lets in, is kept in memory alone, and signing out ends it', (t) =>
  visit(t, { browser, url }, async ({ page, open }) => {
    await open('/ui/users')
    t.ok(await page.getByRole('heading', { name: 'Sign in' }).isVisible())
    t.equal(await page.evaluate('document.activeElement.type'), 'password', 'ready to type')
    await signIn(page, ADMIN_KEY)
    await page.getByRole('heading', { name: 'Users' }).waitFor()
    await settled(page)
    t.ok(await page.getByText('bootstrap').isVisible(), 'the name of the key')
    const stored = await page.evaluate('JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie])')
    t.equal(stored, '[{},{},""]')
    await page.getByRole('button', { name: 'Sign out' }).click()
    await page.getByRole('heading', { name: 'Sign in' }).waitFor()
    t.equal(await page.getByLabel('API key').inputValue(), '', 'it is gone')

    await signIn(page, ADMIN_KEY)
    await page.getByRole('heading', { name: 'Users' }).waitFor()
    await page.reload()
    await page.getByRole('heading', { name: 'Sign in' }).waitFor()
    t.match(page.url(), '/ui/users', 'the address stays')
  })
)

t.test('a key that is not taken is said to be wrong', (t) =>
  visit(t, { browser, url }, async ({ page, open }) => {
    await open('/ui')
    for (const [key, answer] of [
      ['ues_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA', 'The service does not know this key'],
      ['schlüssel', 'A key has only letters, digits and signs of ASCII'],
      ['', 'Paste a key first']
    ] as const) {
      await signIn(page, key)
      await page.getByText(answer).waitFor()
      t.equal(await page.getByLabel('API key').getAttribute('aria-invalid'), 'true', answer)
    }
  })
)

t.test('a key that is revoked meanwhile leads back to signing in, with the reason', (t) =>
  visit(t, { browser, url }, async ({ page, open }) => {
    const { data } = await service.post(
      '/admin/api-keys',
      { name: 'brief', scopes: ['state:read'] },
      bearing(ADMIN_KEY)
    )
    await open('/ui/users')
    await signIn(page, data.key)
    await page.getByRole('heading', { name: 'Users' }).waitFor()
    await service.ask({ method: 'DELETE', url: `/admin/api-keys/${data.id}`, headers: bearing(ADMIN_KEY) })
    await page.getByLabel('Search').fill('ada')
    await page.getByText('does not take these credentials any more').waitFor()
    t.ok(await page.getByRole('heading', { name: 'Sign in' }).isVisible())
  })
)

t.test('scopes decide what can be gone to', async (t) => {
  for (const { scopes, entries } of [
    { scopes: ['state:read'] as const, entries: ['Users'] },
    { scopes: ['events:write'] as const, entries: [] }
  ]) {
    const key = await keyWith(...scopes)
    await visit(t, { browser, url }, async ({ page, open }) => {
      await open('/ui')
      await signIn(page, key)
      await page.getByRole('navigation', { name: 'Pages' }).waitFor()
      await settled(page)
      t.strictSame(
        (await page.getByRole('navigation', { name: 'Pages' }).getByRole('link').allInnerTexts()).map((text) =>
          text.trim()
        ),
        entries
      )
    })
  }
})

t.test('who may not see a page is told what is missing', async (t) => {
  const key = await keyWith('events:write')
  await visit(t, { browser, url }, async ({ page, open }) => {
    await open('/ui/users?q=ada')
    await signIn(page, key)
    await page.getByText('Your credentials cannot read users.').waitFor()
    t.match(await page.locator('main').innerText(), /takes the scope state:read, and you have events:write/)
    await page.getByRole('button', { name: 'Use another key' }).click()
    await signIn(page, ADMIN_KEY)
    await page.getByRole('heading', { name: 'Users' }).waitFor()
    t.equal(await page.getByLabel('Search').inputValue(), 'ada', 'the link is followed after all')
    await settled(page)
  })
  await visit(t, { browser, url }, async ({ page, open }) => {
    await open('/ui')
    await signIn(page, key)
    await page.getByText('Your credentials show none of the pages.').waitFor()
  })
})

t.test('a tenant can be acted for by who may, and by nobody else', async (t) => {
  const tenantId = newUserId()
  await service.append(newUserId(), [userCreated('of-another-tenant')], {
    headers: { ...bearing(ADMIN_KEY), 'x-tenant-id': tenantId }
  })
  await visit(t, { browser, url }, async ({ page, open }) => {
    await open('/ui/users')
    await signIn(page, ADMIN_KEY)
    await page.getByRole('button', { name: 'bootstrap' }).click()
    await page.getByLabel('Act for tenant').fill('nobody')
    await page.getByRole('button', { name: 'Act for this tenant' }).click()
    await page.getByText('A tenant is named by a UUID').waitFor()
    await isAccessible(t, page, 'the dialog')
    await page.getByLabel('Act for tenant').fill(tenantId)
    await page.getByRole('button', { name: 'Act for this tenant' }).click()
    await page.getByRole('link', { name: 'of-another-tenant' }).waitFor()
    await page.getByRole('button', { name: 'bootstrap' }).click()
    await page.getByRole('button', { name: 'Back to your own' }).click()
    await page.getByText('There are no users yet').waitFor()
    await page.getByRole('button', { name: 'bootstrap' }).click()
    await page.keyboard.press('Escape')
    await page.getByRole('dialog').waitFor({ state: 'detached' })
  })
  const own = await keyWith('state:read')
  await visit(t, { browser, url }, async ({ page, open }) => {
    await open('/ui/users')
    await signIn(page, own)
    await page.getByRole('button', { name: 'test' }).click()
    await page.getByRole('dialog').waitFor()
    t.equal(await page.getByLabel('Act for tenant').count(), 0)
  })
})

t.test('where nobody has to say who they are, nobody is asked', async (t) => {
  const free = await testService(t, { background: true })
  await visit(t, { browser, url: await listen(free) }, async ({ page, open }) => {
    await open('/ui')
    await page.getByRole('heading', { name: 'Users' }).waitFor()
    t.match(page.url(), /\/ui\/users$/, 'the beginning is the first page')
    t.equal(await page.getByRole('button', { name: 'Sign out' }).count(), 0)
  })
})

t.test('the form is for everybody, in both themes and on a phone', async (t) => {
  for (const theme of ['light', 'dark'] as const)
    for (const width of [1280, 390])
      await visit(t, { browser, url, theme, width }, async ({ page, open }) => {
        await open('/ui')
        await isAccessible(t, page, `signing in, ${theme}, ${width} px`)
        await signIn(page, 'wrong')
        await page.getByText('The service does not know this key').waitFor()
        await isAccessible(t, page, `a wrong key, ${theme}, ${width} px`)
      })
})
