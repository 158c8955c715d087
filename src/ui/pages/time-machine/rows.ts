/** A state as rows that can be compared: one for each value, named by the way to it. Objects are opened, lists are values. */

export type Rows = ReadonlyMap<string, string>

export function rowsOf(state: object): Rows {
  const rows = new Map<string, string>()
  function open(value: unknown, name: string): void {
    const entries = isObject(value) ? Object.entries(value) : []
    if (entries.length === 0) rows.set(name, JSON.stringify(value))
    for (const [key, each] of entries) open(each, name === '' ? key : `${name}.${key}`)
  }
  open(state, '')
  return rows
}

const isObject = (value: unknown): value is object =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** Names of the rows that differ, or are on one side only. Nothing differs from a state that is not there. */
export function differing(one: Rows | undefined, other: Rows | undefined): ReadonlySet<string> {
  if (!one || !other) return new Set()
  return new Set([...one.keys(), ...other.keys()].filter((name) => one.get(name) !== other.get(name)))
}
