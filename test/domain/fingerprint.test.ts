/**
 * A change of the code that folds must show in the fingerprint, or old snapshots would give wrong states. The manifest
 * reducer-code.json holds, for each file that shapes the state, the version that the code declares and a hash of the
 * code. It is written by UPDATE_REDUCER_CODE=1 node --import tsx test/domain/fingerprint.test.ts
 */
import { readdir, readFile, writeFile } from 'node:fs/promises'
import t from 'tap'
import { builtInTypes } from '../../src/domain/catalog.js'
import { STATE_VERSION } from '../../src/domain/user.js'
import { fileOfType, hashOf, parseCode, tokensOf } from '../support/source-code.js'

/** What the states of all types come from: the fold, the rules of a state, and how registered types are lifted and applied. */
const SHARED = ['catalog.ts', 'custom-type.ts', 'effect.ts', 'patch.ts', 'replay.ts', 'user.ts']

type Manifest = Record<string, { version: number; hash: string }>

const DOMAIN = new URL('../../src/domain/', import.meta.url)
const MANIFEST = new URL('reducer-code.json', import.meta.url)

const hashOfCode = (code: string): string => hashOf(tokensOf(parseCode(code)))

/** The version that the code of a file declares: its type's effectVersion, or STATE_VERSION for what all types share. */
function versionOf(file: string): number {
  return builtInTypes.find(({ name }) => fileOfType(name) === file)?.effectVersion ?? STATE_VERSION
}

async function readCode(): Promise<Manifest> {
  const files = [
    ...SHARED,
    ...(await readdir(new URL('event-types/', DOMAIN))).map((file) => `event-types/${file}`)
  ].sort()
  return Object.fromEntries(
    await Promise.all(
      files.map(async (file) => {
        const code = await readFile(new URL(file, DOMAIN), 'utf8')
        return [file, { version: versionOf(file), hash: hashOfCode(code) }] as const
      })
    )
  )
}

const readManifest = async (): Promise<Manifest> => JSON.parse(await readFile(MANIFEST, 'utf8').catch(() => '{}'))

/** Files whose code changed while the version they declare did not. */
const silentChanges = (known: Manifest, code: Manifest): string[] =>
  Object.keys(code).filter(
    (file) => known[file]?.version === code[file]!.version && known[file].hash !== code[file]!.hash
  )

const WHAT_TO_DO = `
If the change gives another state for the same events, raise effectVersion of the type (STATE_VERSION for what
all types share), and run this file with UPDATE_REDUCER_CODE=1. If every history still folds to the same state, as after a
change of names or descriptions, run it with UPDATE_REDUCER_CODE=same-effect.`

async function update(how: string): Promise<void> {
  const code = await readCode()
  const silent = silentChanges(await readManifest(), code)
  if (silent.length > 0 && how !== 'same-effect') throw new Error(`${silent.join(', ')} changed.${WHAT_TO_DO}`)
  await writeFile(MANIFEST, `${JSON.stringify(code, null, 2)}\n`)
}

const how = process.env.UPDATE_REDUCER_CODE
if (how) await update(how)

t.test('code that shapes the state changes only together with the version it declares', async (t) => {
  const [known, code] = [await readManifest(), await readCode()]
  t.strictSame(silentChanges(known, code), [], `the code is the one that the manifest knows${WHAT_TO_DO}`)
  t.strictSame(known, code, 'the manifest is up to date; if only this fails, run this file with UPDATE_REDUCER_CODE=1')
})

t.test(
  'nothing that shapes a state is left out: all that the shared files use of the domain is watched, or shapes none',
  async (t) => {
    // Types, the names of things, what is checked before an event is stored, and what makes up examples.
    const none = ['errors', 'event', 'event-schema', 'event-type', 'formats', 'type-samples'].map(
      (name) => `${name}.ts`
    )
    const watched = Object.keys(await readCode())
    for (const file of SHARED) {
      const code = await readFile(new URL(file, DOMAIN), 'utf8')
      const used = [...code.matchAll(/from '\.\/(.+)\.js'/g)].map(([, name]) => `${name}.ts`)
      t.strictSame(
        used.filter((name) => ![...watched, ...none].includes(name)),
        [],
        file
      )
    }
  }
)

t.test('every event type has a file of its own, named after it', async (t) => {
  const files = Object.keys(await readCode()).filter((file) => ![...SHARED, 'event-types/fields.ts'].includes(file))
  t.strictSame(files.sort(), builtInTypes.map(({ name }) => fileOfType(name)).sort())
})

t.test('comments and white space are not code, all else is', async (t) => {
  const code = "/** Adds. */\nexport const f = (a: number) => a + `// ` + '/* */' // says so\n"
  t.equal(hashOfCode(code), hashOfCode("export const f=(a:number)=>\n  a+`// `/* so */+'/* */'"))
  for (const other of ["a + `/ ` + '/* */'", "a + `// ` + '/**/'", "b + `// ` + '/* */'", "a + `//  ` + '/* */'"]) {
    t.not(hashOfCode(code), hashOfCode(`export const f = (a: number) => ${other}`), other)
  }
})

t.test('a silent change is one of the hash alone', async (t) => {
  const known = { a: { version: 1, hash: 'x' }, b: { version: 1, hash: 'y' } }
  t.strictSame(silentChanges(known, known), [])
  t.strictSame(silentChanges(known, { ...known, a: { version: 1, hash: 'z' } }), ['a'])
  t.strictSame(silentChanges(known, { ...known, a: { version: 2, hash: 'z' }, c: { version: 1, hash: 'w' } }), [])
})
