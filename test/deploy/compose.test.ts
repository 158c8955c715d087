/** deploy/compose.yaml and what it mounts. There is no Docker to run it here: this holds what can be read off. */
import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import t from 'tap'
import { settings } from '../../src/config.js'
import { DASHBOARDS, DEPLOY, PROMETHEUS, yamlOf } from '../support/deploy.js'

type Container = {
  image?: string
  build?: string
  profiles?: string[]
  environment?: Record<string, string | number>
  volumes?: string[]
  ports?: string[]
  depends_on?: string[] | Record<string, object>
}

const compose = yamlOf(`${DEPLOY}compose.yaml`) as {
  services: Record<string, Container>
  volumes: Record<string, null>
}
const containers = Object.entries(compose.services)
const mountsOf = ({ volumes = [] }: Container) =>
  volumes.map((volume) => {
    const [source = '', target = '', mode = 'rw'] = volume.split(':')
    return { source, target, mode }
  })

t.test('every path that is mounted exists and can only be read, and every volume is declared', async (t) => {
  const mounts = containers.flatMap(([, container]) => mountsOf(container))
  const paths = mounts.filter(({ source }) => source.startsWith('.'))
  t.ok(paths.length >= 3)
  for (const { source, mode } of paths) {
    t.ok(existsSync(resolve(DEPLOY, source)), source)
    t.equal(mode, 'ro', source)
  }
  const volumes = mounts.filter(({ source }) => !source.startsWith('.')).map(({ source }) => source)
  t.strictSame(volumes.sort(), Object.keys(compose.volumes).sort())
  for (const [, { build }] of containers) if (build) t.ok(existsSync(resolve(DEPLOY, build, 'Dockerfile')))
})

t.test('the service and its database start alone; what watches them is asked for', async (t) => {
  const profiles = Object.fromEntries(containers.map(([name, { profiles: asked = [] }]) => [name, asked]))
  t.strictSame(profiles, {
    'user-event-store': [],
    postgres: [],
    prometheus: ['monitoring'],
    grafana: ['monitoring']
  })
  for (const [name, { image, ports = [], depends_on: needs = {} }] of containers) {
    if (image) t.match(image, /:v?\d/, `${name} has a version`)
    for (const port of ports) t.match(port, /^127\.0\.0\.1:\d+:\d+$/, `${name} is published on this machine only`)
    for (const other of Array.isArray(needs) ? needs : Object.keys(needs)) t.ok(compose.services[other], other)
  }
  const published = containers.flatMap(([, { ports = [] }]) => ports.map((port) => port.split(':')[1]))
  t.equal(new Set(published).size, published.length, 'no port twice')
})

t.test('the settings of the service are settings, and Prometheus scrapes where it serves metrics', async (t) => {
  const { environment } = compose.services['user-event-store']!
  for (const name of Object.keys(environment!)) t.ok(name in settings.properties, name)
  const { scrape_configs: scrapes } = yamlOf(`${PROMETHEUS}prometheus.yml`)
  t.strictSame(scrapes[0].static_configs, [{ targets: [`user-event-store:${environment!.METRICS_PORT}`] }])
  t.equal(scrapes[0].job_name, 'user-event-store')
  const [mount] = mountsOf(compose.services.prometheus!)
  t.same([resolve(DEPLOY, mount!.source), mount!.target], [resolve(PROMETHEUS), '/etc/prometheus'])
})

t.test('Grafana finds Prometheus and the dashboards', async (t) => {
  const mounts = mountsOf(compose.services.grafana!)
  const provisioning = mounts.find(({ target }) => target === '/etc/grafana/provisioning')!
  const folder = resolve(DEPLOY, provisioning.source)
  const { apiVersion, datasources } = yamlOf(`${folder}/datasources/prometheus.yml`)
  t.equal(apiVersion, 1)
  const { hostname, port } = new URL(datasources[0].url)
  t.match(datasources, [{ type: 'prometheus', isDefault: true }])
  t.ok(compose.services[hostname], hostname)
  t.ok(compose.services[hostname]!.ports![0]!.endsWith(`:${port}`))
  const { global } = yamlOf(`${PROMETHEUS}prometheus.yml`)
  t.equal(datasources[0].jsonData.timeInterval, global.scrape_interval)

  const { providers } = yamlOf(`${folder}/dashboards/user-event-store.yml`)
  const { path } = providers[0].options
  const mounted = mounts.find(({ target }) => target === path)
  t.equal(resolve(DEPLOY, mounted!.source), resolve(DASHBOARDS))
})
