/** What an operator copies from deploy/: rules, their tests and dashboards, as far as tests look at them. */
import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { parse } from 'yaml'

export const DEPLOY = fileURLToPath(new URL('../../deploy/', import.meta.url))
export const PROMETHEUS = `${DEPLOY}prometheus/`
export const DASHBOARDS = `${DEPLOY}grafana/dashboards/`

export type Rule = {
  record?: string
  alert?: string
  expr: string
  for?: string
  labels?: Record<string, string>
  annotations?: Record<string, string>
}

export type Query = { expr: string; legendFormat: string; refId: string; datasource: object; instant: boolean }

export type Panel = {
  id: number
  type: string
  title: string
  description?: string
  datasource?: object
  gridPos: { x: number; y: number; w: number; h: number }
  fieldConfig?: { defaults: Record<string, any>; overrides: object[] }
  targets?: Query[]
}

export type Variable = { name: string; type: string; definition?: string; query: any; [more: string]: unknown }

export type Dashboard = {
  file: string
  uid: string
  title: string
  schemaVersion: number
  panels: Panel[]
  templating: { list: Variable[] }
  [more: string]: unknown
}

export const yamlOf = (path: string): any => parse(readFileSync(path, 'utf8'))

const namesIn = (folder: string, ending: string): string[] =>
  readdirSync(folder)
    .filter((name) => name.endsWith(ending))
    .sort()

export const ruleFiles = (): string[] => namesIn(PROMETHEUS, '.rules.yml').map((name) => PROMETHEUS + name)
export const ruleTestFiles = (): string[] => namesIn(PROMETHEUS, '.test.yml').map((name) => PROMETHEUS + name)

/** All recording rules and alerts. */
export const rules = (): Rule[] =>
  ruleFiles().flatMap((path) => (yamlOf(path).groups as { rules: Rule[] }[]).flatMap((group) => group.rules))

export const dashboards = (): Dashboard[] =>
  namesIn(DASHBOARDS, '.json').map((name) => ({
    file: name,
    ...JSON.parse(readFileSync(DASHBOARDS + name, 'utf8'))
  }))

/** `text` with the variables of Grafana replaced by values: `$job`, `${job}`. */
export const fillIn = (text: string, values: Record<string, string>): string =>
  text.replace(/\$(?:\{(\w+)\}|(\w+))/g, (all, braced, plain) => values[braced ?? plain] ?? all)

/** What an expression of PromQL reads: its selectors, such as `up{job="x"}`, and the labels by which it groups and matches. */
export function readsOf(expr: string): { selectors: string[]; labels: string[] } {
  const texts: string[] = []
  const labels: string[] = []
  const bare = expr
    .replace(/#.*$/gm, '')
    .replace(/"(?:[^"\\]|\\.)*"/g, (text) => `"${texts.push(text) - 1}"`)
    .replace(/\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)/g, (_all, list: string) => {
      labels.push(...list.split(',').map((label) => label.trim()))
      return ' '
    })
  const names = bare.matchAll(/(?<![\w.":])([a-zA-Z_:][\w:]*)(\{[^}]*\})?(?!\s*\()(?![\w:{])/g)
  const selectors = [...names].flatMap(([, name = '', matchers = '']) =>
    OPERATORS.has(name) ? [] : name + matchers.replace(/"(\d+)"/g, (_all, i) => texts[Number(i)]!)
  )
  return { selectors: [...new Set(selectors)], labels: [...new Set(labels.filter(Boolean))] }
}

const OPERATORS = new Set(['and', 'or', 'unless', 'bool', 'offset'])
