/**
 * Runs the tests: `npm test [-- files | folders]`. Brings a PostgreSQL (the server of TEST_DATABASE_URL if that is set, whose user
 * must be allowed to create databases; else an embedded one that lives as long as the run), makes a migrated template
 * database that every test file clones, and cleans up. Fails when a test did, or when there was none.
 */
import { randomBytes } from 'node:crypto'
import { mkdtemp, rm, statfs } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import postgres from 'postgres'
import { startEmbeddedPostgres } from '../../src/db/embedded/start.js'
import { migrate } from '../../src/db/migrate.js'
import { runFiles, testFiles } from './files.js'

const GiB = 1024 ** 3

/** Memory if there is plenty: making files is what cloning databases costs. */
async function scratchFolder(): Promise<string> {
  const memory = await statfs('/dev/shm').catch(() => null)
  return memory && memory.bavail * memory.bsize > 2 * GiB ? '/dev/shm' : tmpdir()
}

async function bringServer(): Promise<{ url: string; stop: () => Promise<void> }> {
  const given = process.env.TEST_DATABASE_URL
  if (given) return { url: given, stop: async () => {} }
  const dataDir = await mkdtemp(join(await scratchFolder(), 'user-event-store-test-'))
  const server = await startEmbeddedPostgres({ dataDir, settings: { max_connections: '300' } })
  return {
    url: server.url,
    async stop() {
      await server.stop()
      await rm(dataDir, { recursive: true, force: true })
    }
  }
}

async function withTemplate(serverUrl: string, work: (template: string) => Promise<number>): Promise<number> {
  const admin = postgres(serverUrl, { max: 1, onnotice: () => {} })
  const template = `ues_template_${randomBytes(6).toString('hex')}`
  await admin.unsafe(`CREATE DATABASE ${template}`)
  try {
    const url = new URL(serverUrl)
    url.pathname = `/${template}`
    await migrate(url.href)
    return await work(template)
  } finally {
    await admin.unsafe(`DROP DATABASE ${template} WITH (FORCE)`)
    await admin.end({ timeout: 5 })
  }
}

const server = await bringServer()
try {
  process.exitCode = await withTemplate(server.url, async (template) => {
    const asked = process.argv.slice(2).map((path) => path.replace(/\/$/, ''))
    const named = asked.filter((path) => path.endsWith('.ts'))
    const folders = asked.length === 0 ? ['test'] : asked.filter((path) => !named.includes(path))
    const files = [...named, ...(await testFiles(folders))]
    const env = { ...process.env, TEST_SERVER_URL: server.url, TEST_TEMPLATE: template }
    const { passed, failed } = await runFiles(files, env, { asked: named.length > 0 })
    console.log(`${passed} passed, ${failed} failed`)
    return failed > 0 || passed === 0 ? 1 : 0
  })
} finally {
  await server.stop()
}
