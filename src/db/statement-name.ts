/** What a statement is called by those who watch the database: what it does to what, and no value of it. */

/** Names that are remembered: texts are few, but for those that Drizzle makes of lists. */
const KNOWN_MAX = 1000

/** Where FROM names no table. */
const NO_PLACE = /\b(?:extract|substring|trim)\s*\([^)]*\)|\bDISTINCT\s+FROM\b/gi

const known = new Map<string, string>()

/** Such as `SELECT append_events`: the verb, and the first table or function that is named. */
export function statementName(text: string): string {
  let name = known.get(text)
  if (name === undefined) {
    name = nameOf(text)
    if (known.size >= KNOWN_MAX) known.clear()
    known.set(text, name)
  }
  return name
}

function nameOf(text: string): string {
  const verb = /\b(SELECT|INSERT|UPDATE|DELETE)\b/i.exec(text)?.[1]?.toUpperCase() ?? 'STATEMENT'
  const place = /\b(?:FROM|INTO|UPDATE)\s+"?([a-z_]\w*)"?/i.exec(text.replace(NO_PLACE, ''))?.[1]
  return place === undefined ? verb : `${verb} ${place}`
}
