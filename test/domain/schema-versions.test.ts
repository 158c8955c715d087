/**
 * Stored events are read for ever by the schema version they were stored under, so a version never changes: what must be
 * otherwise is a new version. The manifest schema-versions.json holds, for each version of each built-in type, a hash of its
 * schema and one of its upcaster's code. UPDATE_SCHEMA_VERSIONS=1 node --import tsx test/domain/schema-versions.test.ts
 * adds the versions that are new.
 */
import { readFile, writeFile } from 'node:fs/promises'
import { Type } from '@sinclair/typebox'
import t from 'tap'
import { builtInTypes } from '../../src/domain/catalog.js'
import type { EventTypeVersion } from '../../src/domain/event-type.js'
import { fileOfType, hashOf } from '../support/source-code.js'
import { upcastersIn } from '../support/upcaster-code.js'

type Entry = { schema: string; upcast: string | null }
/** By type and version, as `UserCreated.v1`. */
type Manifest = Record<string, Entry>

const DOMAIN = new URL('../../src/domain/', import.meta.url)
const MANIFEST = new URL('schema-versions.json', import.meta.url)

/** Descriptions do not count; all else that a schema says does. */
const hashOfSchema = (schema: EventTypeVersion['schema']): string =>
  hashOf([
    JSON.stringify(schema, (key, value) => (key === 'description' && typeof value === 'string' ? undefined : value))
  ])

async function readCode(): Promise<Manifest> {
  const manifest: Manifest = {}
  for (const { name, versions } of builtInTypes) {
    const upcasters = upcastersIn(await readFile(new URL(fileOfType(name), DOMAIN), 'utf8'))
    for (const [i, { schema }] of versions.entries()) {
      const upcast = upcasters[i] ? hashOf(upcasters[i]) : null
      manifest[`${name}.v${i + 1}`] = { schema: hashOfSchema(schema), upcast }
    }
  }
  return manifest
}

const readManifest = async (): Promise<Manifest> => JSON.parse(await readFile(MANIFEST, 'utf8').catch(() => '{}'))

/** Versions that are known and are now otherwise, or gone. */
const changed = (known: Manifest, code: Manifest): string[] =>
  Object.keys(known).filter(
    (name) => known[name]!.schema !== code[name]?.schema || known[name]!.upcast !== code[name].upcast
  )

const WHAT_TO_DO = `
Events are stored under this version, or may be: leave it as it was, and append a new version with an upcaster to the
type. Then run this file with UPDATE_SCHEMA_VERSIONS=1. If every stored event is read as before, as after a change of
names or of the order of fields, or if the version was never released, run it with UPDATE_SCHEMA_VERSIONS=same-effect.`

async function update(how: string): Promise<void> {
  const code = await readCode()
  const names = changed(await readManifest(), code)
  if (names.length > 0 && how !== 'same-effect') throw new Error(`${names.join(', ')} changed.${WHAT_TO_DO}`)
  await writeFile(MANIFEST, `${JSON.stringify(code, null, 2)}\n`)
}

const how = process.env.UPDATE_SCHEMA_VERSIONS
if (how) await update(how)

t.test('no version of a schema, and no upcaster, changes once it is there', async (t) => {
  const [known, code] = [await readManifest(), await readCode()]
  t.strictSame(changed(known, code), [], `they are those that the manifest knows${WHAT_TO_DO}`)
  t.strictSame(
    known,
    code,
    'the manifest is up to date; if only this fails, run this file with UPDATE_SCHEMA_VERSIONS=1'
  )
})

t.test('the upcasters that are hashed are those that run', async (t) => {
  for (const { name, versions } of builtInTypes) {
    const upcasters = upcastersIn(await readFile(new URL(fileOfType(name), DOMAIN), 'utf8'))
    const present = versions.map(({ upcast }) => upcast !== undefined)
    t.strictSame(
      upcasters.map((code) => code !== null),
      present,
      name
    )
  }
})

t.test('what changed is a known version that is otherwise or gone, not one that is new', async (t) => {
  const one = { schema: 'x', upcast: null }
  const two = { schema: 'y', upcast: 'z' }
  const known = { 'A.v1': one, 'A.v2': two }
  t.strictSame(changed(known, known), [])
  t.strictSame(changed(known, { ...known, 'A.v3': two, 'B.v1': one }), [])
  t.strictSame(changed(known, { ...known, 'A.v1': { ...one, schema: 'w' } }), ['A.v1'])
  t.strictSame(changed(known, { ...known, 'A.v2': { ...two, upcast: 'w' } }), ['A.v2'])
  t.strictSame(changed(known, { 'A.v1': one }), ['A.v2'])
})

t.test('a description is no part of a schema, all else is', async (t) => {
  const schemaOf = (options: object) =>
    Type.Object({ description: Type.String(options) }, { additionalProperties: false })
  const plain = hashOfSchema(schemaOf({}))
  t.equal(hashOfSchema(schemaOf({ description: 'what it is' })), plain)
  for (const options of [{ maxLength: 5 }, { format: 'ip' }, { pattern: '.' }])
    t.not(hashOfSchema(schemaOf(options)), plain, JSON.stringify(options))
  t.not(hashOfSchema(Type.Object({}, { additionalProperties: false })), plain, 'a property named description counts')
  t.not(hashOfSchema(Type.Object(schemaOf({}).properties)), plain)
})

t.test('the code of an upcaster is its own and what it calls in its file', async (t) => {
  const fileOf = (more: string, upcast: string, other = '1') => `
    import { isIP } from 'node:net'
    import { word } from './fields.js'
    const half = (n: number) => n / 2
    ${more}
    const unused = ${other}
    export const type = { versions: [{ schema: a }, { schema: b, upcast: ${upcast} }, { schema: c, upcast: (d) => d }] }`
  const codeOf = (...parts: [string, string, string?]) => upcastersIn(fileOf(...parts))[1]
  const helper = 'const lift = (d) => ({ a: half(d.word) })'
  const code = codeOf(helper, 'lift')
  t.strictSame(upcastersIn(fileOf(helper, 'lift'))[0], null, 'version 1 has none')
  t.strictSame(codeOf(helper, 'lift', '2'), code, 'what it does not use does not count')
  t.strictSame(codeOf(`/** Says so. */ ${helper}`, 'lift // so'), code, 'nor do comments')
  t.strictSame(codeOf(helper, '(d) => ({ word: d.word })')?.includes('half'), false, 'a field is not what has its name')
  t.notSame(codeOf('const lift = (d) => ({ a: half(d.other) })', 'lift'), code)
  t.notSame(codeOf(helper.replace('half', '2 * half'), 'lift'), code)
  t.ok(code?.includes('/'), 'what its helper calls counts as well')
  t.notMatch(codeOf(helper, '({ half }) => half')?.join(' '), 'n / 2', 'nor is a parameter')
  t.throws(() => codeOf('', '(d) => word(d)'), /word, which is imported from another file/)
  t.ok(codeOf('', '(d) => ({ family: isIP(d.ip) })'), 'what Node has may be used')
})
