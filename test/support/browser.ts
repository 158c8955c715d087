/**
 * A browser for tests of the pages at /ui: Chromium of the system, one for a test file. Whatever a page writes to the console as an
 * error (what the content policy forbids is one), throws, or cannot load fails the test that opened it.
 */
import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { promisify } from 'node:util'
import { type Browser, chromium, type Locator, type Page } from 'playwright-core'
import type { Test } from 'tap'
import type { Owner } from './server.js'
import { until } from './wait.js'

export type Visit = {
  page: Page
  /** Opens an address of the service, such as `/ui/users`, and waits until nothing is loading any more. */
  open(path: string): Promise<void>
}

export type Look = {
  /** px */
  width?: number
  theme?: 'light' | 'dark'
}

const HEIGHT = 800
const WAIT_MS = 60_000
const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')

/** Closed when the test ends. Fails when there is no Chromium. */
export async function openBrowser(t: Owner): Promise<Browser> {
  const { stdout } = await promisify(execFile)('sh', ['-c', 'command -v chromium']).catch((cause: Error) => {
    throw new Error('There is no chromium to test with. Install it: apt-get install chromium.', { cause })
  })
  const browser = await chromium.launch({ executablePath: stdout.trim(), args: ['--no-sandbox'] })
  t.teardown(() => browser.close())
  return browser
}

/** Runs `work` with a page of its own, with nothing stored, and claims that nothing in it went wrong. */
export async function visit(
  t: Test,
  { browser, url, width = 1280, theme = 'light' }: { browser: Browser; url: string } & Look,
  work: (visit: Visit) => Promise<void>
): Promise<void> {
  const context = await browser.newContext({
    viewport: { width, height: HEIGHT },
    colorScheme: theme,
    reducedMotion: 'reduce',
    locale: 'en-GB',
    timezoneId: 'UTC',
    permissions: ['clipboard-read', 'clipboard-write']
  })
  const troubles: string[] = []
  try {
    const page = await context.newPage()
    page.setDefaultTimeout(WAIT_MS)
    page.on('pageerror', (err) => troubles.push(`thrown: ${err.stack ?? err.message}`))
    page.on('console', (message) => {
      // The browser notes every answer that is no success. Those of the API are the page's to deal with.
      const ofApi = message.text().startsWith('Failed to load resource') && !/\/ui(\/|$)/.test(message.location().url)
      if (['error', 'warning'].includes(message.type()) && !ofApi) troubles.push(`console: ${message.text()}`)
    })
    await work({
      page,
      async open(path) {
        await page.goto(url + path)
        await settled(page)
      }
    })
  } finally {
    await context.close()
  }
  t.strictSame(troubles, [], 'nothing went wrong in the page')
}

/** Resolves when nothing is loading any more. */
export async function settled(page: Page): Promise<void> {
  await page.locator('h1').first().waitFor()
  await page.locator('.loading').first().waitFor({ state: 'detached' })
}

/** Scrolls down until a list has `count` items. Throws what the page says went wrong, or how many came, when they do not. */
export async function scrollUntil(page: Page, items: Locator, count: number): Promise<void> {
  let shown = 0
  const isShown = async () => {
    await page.mouse.wheel(0, 20_000)
    for (const said of await page.getByRole('alert').allInnerTexts()) throw new Error(`The page says: ${said}`)
    shown = await items.count()
    return shown === count
  }
  await until(isShown, { what: `${count} items`, everyMs: 50 }).catch((cause: Error) => {
    throw new Error(`${shown} of ${count} items came by scrolling. ${cause.message}`, { cause })
  })
}

/** Signs in on the page that asks for a key. */
export async function signIn(page: Page, key: string): Promise<void> {
  await page.getByLabel('API key').fill(key)
  await page.getByRole('button', { name: 'Sign in' }).click()
}

type Finding = { id: string; impact: string; nodes: { html: string; failureSummary: string }[] }

/** Claims that axe finds nothing serious or critical in what is shown, and that nothing is wider than the window. */
export async function isAccessible(t: Test, page: Page, what: string): Promise<void> {
  // Both are run from outside of the page, where its content policy does not count.
  await page.evaluate(axe)
  const found = (await page.evaluate('axe.run().then(({ violations }) => violations)')) as Finding[]
  const grave = found.filter(({ impact }) => impact === 'serious' || impact === 'critical')
  t.strictSame(
    grave.flatMap(({ id, nodes }) => nodes.map(({ html, failureSummary }) => `${id}: ${html}\n${failureSummary}`)),
    [],
    `axe has nothing against ${what}`
  )
  const [inner, outer] = (await page.evaluate('[document.documentElement.scrollWidth, window.innerWidth]')) as number[]
  t.ok(inner! <= outer!, `${what} fits ${outer} px (${inner})`)
}
