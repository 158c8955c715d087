/**
 * Builds the pages at /ui: types of the API out of openapi/openapi.yaml, and then src/ui into dist/ui. Does nothing when dist/ui
 * is newer than all that it is made of, so that a start does not wait for it.
 */
import { readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))
const SOURCES = ['src/ui', 'openapi/openapi.yaml', 'package-lock.json']
const BUILT = 'dist/ui/index.html'
const CONTRACT = 'src/ui/api/contract.d.ts'

/** When the file, or anything in the folder, was last written, or a file in it made or removed, in ms; -Infinity if there is none. */
async function changedAt(path: string): Promise<number> {
  const found = await stat(path).catch(() => null)
  if (!found) return Number.NEGATIVE_INFINITY
  const names = found.isDirectory() ? await readdir(path) : []
  return Math.max(found.mtimeMs, ...(await Promise.all(names.map((name) => changedAt(join(path, name))))))
}

async function writeContract(): Promise<void> {
  const { astToString, default: typesOf } = await import('openapi-typescript')
  const types = await typesOf(new URL('openapi/openapi.yaml', `file://${ROOT}`))
  const text = `// Made of openapi/openapi.yaml by npm run build.\n${astToString(types)}`
  const file = join(ROOT, CONTRACT)
  if ((await readFile(file, 'utf8').catch(() => '')) !== text) await writeFile(file, text)
}

const sources = await Promise.all(SOURCES.map((path) => changedAt(join(ROOT, path))))
if ((await changedAt(join(ROOT, BUILT))) <= Math.max(...sources)) {
  await writeContract()
  const { build } = await import('vite')
  await build({ root: join(ROOT, 'src/ui'), logLevel: 'warn' })
}
