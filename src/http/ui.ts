/**
 * The pages for people at /ui: files that `npm run build` makes of src/ui, and one document that every other path below /ui
 * answers with, so that each page has an address. They hold no data: those come from the API, which asks who looks.
 */
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import files from '@fastify/static'
import type { FastifyInstance } from 'fastify'
import { sendProblem } from './errors.js'

/** The same seen from src/http and from dist/http. */
const ROOT = fileURLToPath(new URL('../../dist/ui/', import.meta.url))
const DOCUMENT = 'index.html'

/** The pages run their own files and ask this service, nothing else; styles and scripts inside a page do not count. */
const policy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' data:",
  "connect-src 'self'",
  "frame-ancestors 'none'",
  "base-uri 'none'",
  "form-action 'none'"
].join('; ')

const hidden = { schema: { hide: true } }

/** To be called after the hooks that all routes have. Where `root` holds no build, every path says how to make one. */
export async function registerUi(app: FastifyInstance, root = ROOT): Promise<void> {
  if (!existsSync(`${root}${DOCUMENT}`)) {
    const detail = 'The pages are not built. Run npm run build and start the service again.'
    for (const url of ['/ui', '/ui/*'])
      app.get(url, hidden, (request, reply) => sendProblem(reply, { code: 'ROUTE_NOT_FOUND', detail }, request.url))
    return
  }
  await app.register(async (app) => {
    await app.register(files, {
      root,
      serve: false,
      cacheControl: false,
      // Only of files that are there: an answer that there is none is nobody's to keep.
      setHeaders(reply, path) {
        // What a file is called says what is in it. Which files there are, the document says, and is asked each time.
        const kept = path.endsWith(DOCUMENT) ? 'no-cache' : 'public, max-age=31536000, immutable'
        reply.headers({ 'content-security-policy': policy, 'cache-control': kept })
      }
    })
    app.get('/ui', hidden, (_request, reply) => reply.sendFile(DOCUMENT))
    app.get('/ui/*', hidden, (_request, reply) => reply.sendFile(DOCUMENT))
    app.get<{ Params: { '*': string } }>('/ui/assets/*', hidden, ({ params }, reply) =>
      reply.sendFile(`assets/${params['*']}`)
    )
  })
}
