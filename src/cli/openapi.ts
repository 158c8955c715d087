/**
 * Writes the committed contracts from the code: openapi/openapi.yaml, what may be asked of the service, and
 * openapi/asyncapi.yaml, what it delivers. With `--check` compares instead and fails when one differs. Needs no database:
 * only the routes that show the two are called.
 */
import { readFile, writeFile } from 'node:fs/promises'
import { Registry } from 'prom-client'
import { buildApp, type Services } from '../app.js'
import { loadConfig } from '../config.js'
import { createCursors } from '../domain/cursor.js'

const FOLDER = new URL('../../openapi/', import.meta.url)
const NAMES = ['openapi.yaml', 'asyncapi.yaml']

async function generate(): Promise<string[]> {
  const config = loadConfig({})
  const app = await buildApp({
    services: {} as Services,
    cursors: createCursors('none'),
    fingerprintOf: () => '',
    register: new Registry(),
    instance: '',
    bodyBytesMax: config.BODY_BYTES_MAX,
    requestTimeoutMs: config.REQUEST_TIMEOUT_MS,
    streams: { max: 1, perClientMax: 1 },
    exports: { max: 1, perClientMax: 1 },
    docs: true,
    ui: false,
    metrics: false,
    logger: false
  })
  const answers = await Promise.all(NAMES.map((name) => app.inject(`/${name}`)))
  await app.close()
  return answers.map(({ body }) => body)
}

for (const [i, document] of (await generate()).entries()) {
  const name = NAMES[i]!
  const file = new URL(name, FOLDER)
  if (!process.argv.includes('--check')) {
    await writeFile(file, document)
    console.log(`Wrote openapi/${name}.`)
  } else if ((await readFile(file, 'utf8').catch(() => '')) === document) {
    console.log(`openapi/${name} is what the code says.`)
  } else {
    console.error(`openapi/${name} is not what the code says. Run npm run openapi and commit the result.`)
    process.exitCode = 1
  }
}
