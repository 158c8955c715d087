/** How the files of the pages at /ui are served. What is in them, test/ui says. */
import t from 'tap'
import { GUARDED } from '../support/access.js'
import { refused } from '../support/problem.js'
import { testService } from '../support/service.js'

const POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"

const { get, ask } = await testService(t, { env: GUARDED })
const page = await get('/ui')
const assets = [...page.body.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, url]) => url!)

t.test('the document is the same at every address below /ui, without credentials', async (t) => {
  for (const url of [
    '/ui',
    '/ui/',
    '/ui/users',
    '/ui/users/5b2f3c9e-8d0a-4f6e-9a57-2f4f1c0f7a11/events/1?x=1',
    '/ui/no/such/page'
  ]) {
    const { statusCode, headers, body } = await get(url)
    t.equal(statusCode, 200, url)
    t.equal(body, page.body)
    t.match(headers, {
      'content-type': 'text/html; charset=utf-8',
      'content-security-policy': POLICY,
      'cache-control': 'no-cache',
      'x-content-type-options': 'nosniff',
      'referrer-policy': 'no-referrer',
      'cross-origin-resource-policy': 'same-origin',
      'x-request-id': /./
    })
  }
  t.equal((await get('/ui', { 'if-none-match': String(page.headers.etag) })).statusCode, 304)
  t.equal((await ask({ method: 'HEAD', url: '/ui/users' })).statusCode, 200)
})

t.test('it has nothing in it that its policy forbids, and asks nobody else', async (t) => {
  t.notMatch(page.body, /<style|\sstyle=|\son\w+=|https?:/i)
  for (const [script] of page.body.matchAll(/<script[^>]*>[^<]*/g)) t.match(script, / src="[^"]+">$/)
  t.ok(assets.length >= 3, `${assets.length} files`)
  for (const url of assets) t.match(url, /^\/ui\/assets\/[\w-]+-[\w-]{8}\.(js|css|svg)$/)
})

t.test('what it links to is kept for ever', async (t) => {
  for (const url of assets) {
    const { statusCode, headers } = await get(url)
    t.equal(statusCode, 200, url)
    t.match(headers, {
      'content-type': /^(text\/javascript|text\/css|application\/javascript|image\/svg\+xml)/,
      'cache-control': 'public, max-age=31536000, immutable',
      'content-security-policy': POLICY
    })
  }
})

t.test('a file that is not there is no page, is kept by nobody, and nothing else is served', async (t) => {
  for (const url of [
    '/ui/assets/index-00000000.js',
    '/ui/assets/',
    '/ui/assets/..%2findex.html',
    '/ui/assets/..%2f..%2fmain.js',
    '/ui/assets/%2e%2e/%2e%2e/main.js'
  ]) {
    const answer = await get(url)
    t.notMatch(answer.body, 'import', url)
    if (answer.statusCode === 200) t.equal(answer.body, page.body)
    else {
      t.match(answer.statusCode, /^40[034]$/)
      t.equal(answer.headers['cache-control'], 'no-store')
    }
  }
  refused(t, await get('/ui/assets/index-00000000.js'), '404 ROUTE_NOT_FOUND')
  refused(t, await get('/uix'), '404 ROUTE_NOT_FOUND')
})

t.test('other methods are refused as everywhere', async (t) => {
  for (const url of ['/ui', '/ui/users', assets[0]!]) {
    const answer = await ask({ method: 'POST', url, payload: {} })
    refused(t, answer, '405 METHOD_NOT_ALLOWED')
    t.equal(answer.headers.allow, 'GET, HEAD')
  }
})

t.test('with UI=false there is nothing', async (t) => {
  const without = await testService(t, { env: { UI: 'false' } })
  for (const url of ['/ui', '/ui/', '/ui/users', assets[0]!]) refused(t, await without.get(url), '404 ROUTE_NOT_FOUND')
})

t.test('pages are served also where metrics have a port of their own, and there not', async (t) => {
  const { get, service } = await testService(t, { env: { METRICS_PORT: '0' } })
  t.equal((await get('/ui')).statusCode, 200)
  t.equal((await service.metricsApp!.inject('/ui')).statusCode, 404)
})
