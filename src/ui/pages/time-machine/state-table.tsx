/** States as tables: one with what it was before, or two side by side. */
import { Badge } from '../../components/badge.js'
import type { Rows } from './rows.js'

/** `old` shows what a changed value was. */
export function StateTable({
  rows,
  old,
  changed
}: {
  rows: Rows
  old: Rows | undefined
  changed: ReadonlySet<string>
}) {
  const gone = [...changed].filter((name) => !rows.has(name))
  return (
    <table class="table states">
      <caption class="unseen">The state</caption>
      <thead>
        <tr>
          <th scope="col">Field</th>
          <th scope="col">Value</th>
        </tr>
      </thead>
      <tbody>
        {[...rows.keys(), ...gone].map((name) => (
          <tr key={name} class={changed.has(name) ? 'changed' : undefined}>
            <th scope="row" class="mono">
              {name} {changed.has(name) && <Badge tone="info">{rows.has(name) ? 'changed' : 'removed'}</Badge>}
            </th>
            <td data-name="Value" class="mono">
              <span class="breakable">
                {changed.has(name) && <del class="soft">{old?.get(name) ?? 'not there'}</del>} {rows.get(name)}
              </span>
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  )
}

/** Two sides may have one label, and never one `key`. */
export type Side = { key: string; label: string; rows: Rows }

export function ComparedStates({
  names,
  sides,
  changed
}: {
  names: readonly string[]
  sides: readonly Side[]
  changed: ReadonlySet<string>
}) {
  return (
    <table class="table states">
      <caption class="unseen">Both states</caption>
      <thead>
        <tr>
          <th scope="col">Field</th>
          {sides.map(({ key, label }) => (
            <th key={key} scope="col">
              {label}
            </th>
          ))}
        </tr>
      </thead>
      <tbody>
        {names.map((name) => (
          <tr key={name} class={changed.has(name) ? 'changed' : undefined}>
            <th scope="row" class="mono">
              {name} {changed.has(name) && <Badge tone="info">differs</Badge>}
            </th>
            {sides.map(({ key, label, rows }) => (
              <td key={key} data-name={label} class="mono">
                <span class="breakable">{rows.get(name) ?? <span class="soft">not there</span>}</span>
              </td>
            ))}
          </tr>
        ))}
      </tbody>
    </table>
  )
}
