/**
 * Writes openapi/openapi.yaml, the committed contract, from the routes; with `--check` compares instead and fails when
 * the two differ. Needs no database: the routes are declared, never called.
 */
import { readFile, writeFile } from 'node:fs/promises'
import { Registry } from 'prom-client'
import { buildApp, type Services } from '../app.js'
import { loadConfig } from '../config.js'

const FILE = new URL('../../openapi/openapi.yaml', import.meta.url)

async function generate(): Promise<string> {
  const config = loadConfig({})
  const app = await buildApp({
    services: {} as Services,
    fingerprintOf: () => '',
    register: new Registry(),
    bodyBytesMax: config.BODY_BYTES_MAX,
    requestTimeoutMs: config.REQUEST_TIMEOUT_MS,
    streams: { max: 1, perClientMax: 1 },
    logger: false
  })
  await app.ready()
  const document = app.swagger({ yaml: true })
  await app.close()
  return document
}

const document = await generate()
if (process.argv.includes('--check')) {
  const committed = await readFile(FILE, 'utf8').catch(() => '')
  if (committed === document) console.log('openapi/openapi.yaml is what the routes say.')
  else {
    console.error('openapi/openapi.yaml is not what the routes say. Run npm run openapi and commit the result.')
    process.exitCode = 1
  }
} else {
  await writeFile(FILE, document)
  console.log('Wrote openapi/openapi.yaml.')
}
