/** The direction of imports, read from the source: a request flows down from http to the database, and nothing points up. */
import { readdir, readFile } from 'node:fs/promises'
import { basename, join, posix } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import ts from 'typescript'

type Import = {
  from: string
  /** path below src/, or the name of a package */
  to: string
  ours: boolean
  typeOnly: boolean
}

const SRC = fileURLToPath(new URL('../src/', import.meta.url))
const files = (await readdir(SRC, { recursive: true })).filter((file) => /\.tsx?$/.test(file)).sort()
const code = new Map(
  await Promise.all(files.map(async (file) => [file, await readFile(join(SRC, file), 'utf8')] as const))
)
const imports = [...code].flatMap(([file, text]) => importsOf(file, text))

function importsOf(from: string, text: string): Import[] {
  const found: Import[] = []
  function note(specifier: ts.Node | undefined, typeOnly: boolean): void {
    if (!specifier || !ts.isStringLiteral(specifier)) return
    const ours = specifier.text.startsWith('.')
    found.push({
      from,
      to: ours ? fileOf(posix.join(posix.dirname(from), specifier.text)) : specifier.text,
      ours,
      typeOnly
    })
  }
  function visit(node: ts.Node): void {
    if (ts.isImportDeclaration(node)) note(node.moduleSpecifier, isTypeOnly(node.importClause))
    else if (ts.isExportDeclaration(node)) note(node.moduleSpecifier, node.isTypeOnly)
    else if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument)) note(node.argument.literal, true)
    else if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword)
      note(node.arguments[0], false)
    ts.forEachChild(node, visit)
  }
  visit(ts.createSourceFile(from, text, ts.ScriptTarget.Latest, true))
  return found
}

/** The file that is meant by the name that it will have when it is compiled. */
function fileOf(compiled: string): string {
  const names = ['.ts', '.tsx', '.d.ts'].map((end) => compiled.replace(/\.js$/, end))
  return names.find((name) => code.has(name)) ?? names[0]!
}

function isTypeOnly(clause: ts.ImportClause | undefined): boolean {
  if (!clause || clause.isTypeOnly) return clause !== undefined
  const names = clause.namedBindings
  return (
    !clause.name && names !== undefined && ts.isNamedImports(names) && names.elements.every((name) => name.isTypeOnly)
  )
}

/** The folder that a file is in, or the file itself at the top. */
const layerOf = (file: string): string => file.split('/')[0]!

/** What the code of each layer may import, as folders or single files; and of what it may use the types alone. */
const arrows: Record<string, { values: string[]; types?: string[] }> = {
  domain: { values: ['domain'] },
  db: { values: ['db'], types: ['domain'] },
  store: { values: ['store', 'db', 'domain'] },
  // A service that needs another one is given it. What a failure of the database means is said in one place.
  // What traces nothing is a tracer as well, and needs no building. Functions that are no services: walking the log, what the workers of a subscription share, and the parts of an import.
  services: {
    values: [
      'store',
      'domain',
      'db/pg-error.ts',
      'observe/tracing.ts',
      'services/log-reader.ts',
      'services/sender.ts',
      'services/import-batch.ts',
      'services/import-refusals.ts'
    ],
    types: ['services', 'db', 'observe']
  },
  observe: { values: ['observe', 'domain'] },
  edge: { values: ['edge'], types: ['domain'] },
  http: { values: ['http', 'domain', 'observe', 'db/pg-error.ts'], types: ['services'] },
  'loop.ts': { values: [] },
  'config.ts': { values: [] },
  'app.ts': { values: ['http', 'domain'], types: ['services', 'observe'] },
  'background.ts': { values: ['loop.ts', 'services', 'store'], types: ['db', 'domain', 'observe'] },
  'projecting.ts': { values: ['loop.ts', 'services', 'store'], types: ['db', 'domain', 'observe'] },
  'delivery.ts': { values: ['domain', 'loop.ts', 'services', 'store'], types: ['db', 'observe'] },
  'start-checks.ts': { values: ['db', 'services', 'start-error.ts'], types: ['config.ts', 'observe', 'store'] },
  'compose.ts': {
    values: [
      'app.ts',
      'background.ts',
      'config.ts',
      'delivery.ts',
      'loop.ts',
      'optional-parts.ts',
      'projecting.ts',
      'start-checks.ts',
      'domain',
      'db',
      'store',
      'services',
      'observe',
      'edge',
      'http'
    ]
  },
  'optional-parts.ts': { values: ['config.ts', 'edge', 'observe', 'start-error.ts'] },
  'start-error.ts': { values: [] },
  'main.ts': { values: ['serve.ts', 'start-error.ts', 'config.ts', 'db'] },
  'serve.ts': { values: ['compose.ts', 'config.ts', 'db', 'observe/log.ts'] },
  // The pages run in browsers: they know the API by its contract, and nothing of the service.
  ui: { values: ['ui'] },
  cli: { values: ['cli', 'app.ts', 'serve.ts', 'compose.ts', 'config.ts', 'domain', 'db', 'store', 'services', 'edge'] }
}

/** Single exceptions, each with its reason. */
const allowances = new Map([
  ['config.ts > domain/api-key.ts', 'what a key may look like is said in one place'],
  ['config.ts > store/statistics.ts', 'the largest METRICS_TOP_AGGREGATES is what the table of largest users keeps'],
  ['edge/redis-cache.ts > domain/user.ts', 'what comes out of a cache is checked by the rule that checks snapshots'],
  ['edge/jwt.ts > domain/access.ts', 'a token that is refused gets the answer of a key that is refused'],
  ['edge/jwt.ts > domain/errors.ts', 'that keys cannot be had is said where it is found out'],
  ['edge/jwt.ts > domain/json.ts', 'a claim that is given twice is found by the rule that finds it in bodies'],
  ['edge/jwt.ts > domain/token-claims.ts', 'a token is accepted when its claims make a principal, and not before'],
  ['edge/partition-files.ts > domain/lines.ts', 'a stream is cut into lines in one place'],
  ['edge/message.ts > domain/sink.ts', 'where the trace of an event stands is known in one place'],
  ['edge/open-sink.ts > domain/webhook-url.ts', 'a URL is refused by the rule that refuses a connection'],
  ['edge/webhook-client.ts > domain/webhook-url.ts', 'a connection is refused by the rule that refuses a URL'],
  ['edge/webhook-signature.ts > domain/subscription.ts', 'a key is read as it is written'],
  ['edge/webhook-sink.ts > domain/cloud-event.ts', 'what an event looks like outside is one function'],
  ['http/routes/events.ts > services/events.ts', 'the limits of the route are those of the service'],
  ['http/routes/replay.ts > services/effects.ts', 'the limits of the route are those of the service'],
  ['http/routes/replay.ts > services/diff.ts', 'a service that is one function over another needs no building']
])

/** Where a package that ties code to a technology may be used. */
const technologies: [RegExp, string[]][] = [
  [/^postgres$/, ['db']],
  [/^drizzle-orm/, ['db', 'store']],
  [/^(jose|redis|undici|amqplib|@nats-io\/.*|@platformatic\/kafka)$/, ['edge']],
  [/^@?fastify/, ['http', 'app.ts', 'compose.ts', 'cli']],
  [/^@opentelemetry\//, ['observe']],
  [/^prom-client$/, ['observe', 'http', 'app.ts', 'compose.ts', 'cli']],
  [/^pino$/, ['serve.ts', 'cli']],
  [/^(preact(\/.*)?|preact-iso|lucide|openapi-fetch|uplot)$/, ['ui']],
  [/^(vite|openapi-typescript)$/, ['ui', 'cli']]
]

const edge = ({ from, to }: Import): string => `${from} > ${to}`
const within = (file: string, places: string[]): boolean =>
  places.some((place) => file === place || file.startsWith(`${place}/`))

t.test('imports follow the arrows between the layers', async (t) => {
  t.ok(imports.length > 150, 'imports are found')
  const wrong = imports.filter(({ from, to, ours, typeOnly }) => {
    const { values, types = [] } = arrows[layerOf(from)] ?? { values: [] }
    return ours && !within(to, typeOnly ? [...values, ...types] : values)
  })
  t.strictSame(
    wrong.map(edge).filter((name) => !allowances.has(name)),
    []
  )
  t.strictSame(
    [...allowances.keys()].filter((name) => !wrong.some((each) => edge(each) === name)),
    [],
    'no allowance is left over'
  )
  t.strictSame(
    [...new Set(files.map(layerOf))].filter((layer) => !arrows[layer]),
    [],
    'every layer has its arrows'
  )
})

t.test(
  'the domain is pure: schemas, patterns and patches, and of Node only hashing and the syntax of addresses; no clock, no chance, no environment',
  async (t) => {
    const packages = imports.filter(({ from, ours }) => layerOf(from) === 'domain' && !ours).map(({ to }) => to)
    t.strictSame([...new Set(packages)].filter((name) => !name.startsWith('@sinclair/typebox')).sort(), [
      'ajv-formats',
      'ajv/dist/2020.js',
      'fast-json-patch',
      'ipaddr.js',
      'node:crypto',
      'node:net',
      're2js'
    ])
    for (const [file, text] of code) {
      if (layerOf(file) !== 'domain') continue
      t.notMatch(
        text,
        /import \{(?! (createHash|createHmac, createSecretKey, timingSafeEqual) \}).*\} from 'node:crypto'|import \{(?! isIP \}).*\} from 'node:net'/,
        `${file} takes no more of Node`
      )
      t.notMatch(
        text,
        /Date\.now|new Date\(\)|Math\.random|performance\.|process\.|console\.|fetch\(|\bawait\b/,
        `${file} is pure`
      )
    }
  }
)

t.test('packages that tie code to a technology stay in their layers', async (t) => {
  const wrong = imports.filter(({ from, to, ours }) => {
    const technology = technologies.find(([name]) => name.test(to))
    return !ours && technology && !technology[1].includes(layerOf(from))
  })
  t.strictSame(wrong.map(edge), [])
})

t.test('no file imports itself, over however many others', async (t) => {
  const next = new Map(
    files.map((file) => [file, imports.filter(({ from, ours }) => ours && from === file).map(({ to }) => to)])
  )
  const done = new Set<string>()
  const cycles: string[] = []
  function visit(file: string, path: string[]): void {
    if (path.includes(file)) cycles.push([...path.slice(path.indexOf(file)), file].join(' > '))
    if (done.has(file) || path.includes(file)) return
    for (const other of next.get(file) ?? []) visit(other, [...path, file])
    done.add(file)
  }
  for (const file of files) visit(file, [])
  t.strictSame(cycles, [])
})

t.test('every import is of a file that is there, and there are no barrels', async (t) => {
  t.strictSame(imports.filter(({ to, ours }) => ours && !code.has(to)).map(edge), [])
  t.strictSame(
    files.filter((file) => basename(file) === 'index.ts'),
    []
  )
})

t.test('the environment is read at the entries only', async (t) => {
  const readers = files.filter((file) => /process\.env|process\[/.test(code.get(file)!))
  const allowed = ['main.ts', 'cli/main.ts']
  t.strictSame(
    readers.filter((file) => !allowed.includes(file)),
    []
  )
})

t.test('no client-side transactions', async (t) => {
  const BEGIN = /\.(?:begin|reserve|savepoint|transaction)\s*[(<`]|['"`]\s*(?:BEGIN|START TRANSACTION|COMMIT)\b\s*;?/
  t.strictSame(
    files.filter((file) => BEGIN.test(code.get(file)!)),
    []
  )
})
