/**
 * Writes what the service is made of, as CycloneDX, to standard output: all packages of the lock file but those for development
 * alone. That is not what `npm sbom --omit dev` lists: it leaves out packages of the service that packages for development use too.
 */
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const BYTES_MAX = 64 * 1024 * 1024
const ARGUMENTS = ['sbom', '--sbom-format', 'cyclonedx', '--sbom-type', 'application', '--package-lock-only']

type Component = { 'bom-ref': string; properties?: { name: string; value: string }[] }
type Bom = { components: Component[]; dependencies: { ref: string; dependsOn: string[] }[] }

const isForDevelopment = ({ properties = [] }: Component): boolean =>
  properties.some(({ name, value }) => name === 'cdx:npm:package:development' && value === 'true')

const cwd = fileURLToPath(new URL('../../', import.meta.url))
const { stdout } = await promisify(execFile)('npm', ARGUMENTS, { cwd, maxBuffer: BYTES_MAX })
const bom = JSON.parse(stdout) as Bom
const left = new Set(bom.components.filter(isForDevelopment).map((component) => component['bom-ref']))
const runs = (ref: string): boolean => !left.has(ref)
console.log(
  JSON.stringify(
    {
      ...bom,
      components: bom.components.filter((component) => runs(component['bom-ref'])),
      dependencies: bom.dependencies
        .filter(({ ref }) => runs(ref))
        .map(({ ref, dependsOn }) => ({ ref, dependsOn: dependsOn.filter(runs) }))
    },
    null,
    2
  )
)
