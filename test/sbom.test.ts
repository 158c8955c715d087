/** `npm run sbom` lists what the service is made of, at the versions of the lock file. */
import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import t from 'tap'

type Locked = { version: string; dev?: boolean; devOptional?: boolean }

const ROOT = new URL('../', import.meta.url)
const { packages } = JSON.parse(readFileSync(new URL('package-lock.json', ROOT), 'utf8')) as {
  packages: Record<string, Locked>
}
const locked = Object.entries(packages).flatMap(([path, { version, dev, devOptional }]) =>
  path === '' || dev || devOptional ? [] : [`${path.replace(/.*node_modules\//, '')}@${version}`]
)

t.test('every package that can run is there at its locked version, and none for development alone', async (t) => {
  const { stdout } = await promisify(execFile)('npm', ['run', '--silent', 'sbom'], {
    cwd: fileURLToPath(ROOT),
    maxBuffer: 64 * 1024 * 1024
  })
  const bom = JSON.parse(stdout) as {
    bomFormat: string
    components: { name: string; version: string; 'bom-ref': string }[]
    dependencies: { ref: string; dependsOn: string[] }[]
  }
  t.equal(bom.bomFormat, 'CycloneDX')
  const listed = bom.components.map(({ name, version }) => `${name}@${version}`)
  t.ok(listed.includes(`fastify@${packages['node_modules/fastify']!.version}`))
  t.strictSame([...new Set(listed)].sort(), [...new Set(locked)].sort())

  const known = new Set(bom.components.map((component) => component['bom-ref']))
  for (const { ref, dependsOn } of bom.dependencies)
    for (const name of dependsOn) if (!known.has(name)) t.fail(`${ref} depends on ${name}, which is not listed`)
})
