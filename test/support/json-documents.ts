/** Several JSON documents in a row, as `curl` prints them and as README shows them. */

/** Parses each document of `text`; they may stand on one line or many. */
export function parseDocuments(text: string): unknown[] {
  const documents: unknown[] = []
  let depth = 0
  let start = 0
  for (const { 0: token, index } of text.matchAll(/"(?:[^"\\]|\\.)*"|[{}[\]]/g)) {
    if (token === '{' || token === '[') {
      if (depth++ === 0) start = index
    } else if (token === '}' || token === ']') {
      if (--depth === 0) documents.push(JSON.parse(text.slice(start, index + 1)))
    }
  }
  return documents
}

/**
 * First place where `found` is not what `shown` says, or null. Objects may have more members than are shown, lists may
 * not, and the string `…` stands for anything that is there.
 */
export function findMismatch(found: unknown, shown: unknown, pointer = ''): string | null {
  if (shown === '…') return found === undefined ? `${pointer} is missing` : null
  if (typeof shown !== 'object' || shown === null)
    return found === shown ? null : `${pointer} is ${JSON.stringify(found)}`
  if (typeof found !== 'object' || found === null) return `${pointer} is ${JSON.stringify(found)}`
  if (Array.isArray(shown) && (found as unknown[]).length !== shown.length)
    return `${pointer} has ${(found as unknown[]).length} elements`
  for (const [key, value] of Object.entries(shown)) {
    const mismatch = findMismatch((found as Record<string, unknown>)[key], value, `${pointer}/${key}`)
    if (mismatch) return mismatch
  }
  return null
}
