/** A waiting line in which tenants take turns: how many one has waiting does not matter to the others. */

/** Things that wait, each for a tenant; those of one tenant keep their order. */
export type Turns<T> = {
  /** Puts it at the end of its tenant's line. */
  add(tenantId: string, item: T): void
  /** Puts it at the front of its tenant's line. */
  addFirst(tenantId: string, item: T): void
  /**
   * Offers all that wait, one of each tenant in turn; what is taken leaves the line, all else keeps its place. Tenants of whom
   * something was taken come after the others the next time.
   */
  offer(take: (item: T) => boolean): void
  /** Takes out what waits shortest of a tenant and fits `which`; undefined if there is none. */
  dropLast(tenantId: string, which: (item: T) => boolean): T | undefined
  isEmpty(): boolean
}

export function createTurns<T>(): Turns<T> {
  /** No line is empty. */
  const lines = new Map<string, T[]>()

  function lineOf(tenantId: string): T[] {
    let line = lines.get(tenantId)
    if (!line) {
      line = []
      lines.set(tenantId, line)
    }
    return line
  }

  return {
    add: (tenantId, item) => void lineOf(tenantId).push(item),
    addFirst: (tenantId, item) => void lineOf(tenantId).unshift(item),

    offer(take) {
      const all = [...lines].map(([tenantId, line]) => ({ tenantId, line, left: [] as T[] }))
      for (let turn = 0, open = all; open.length > 0; turn++) {
        open = open.filter(({ line }) => turn < line.length)
        for (const { line, left } of open) if (!take(line[turn]!)) left.push(line[turn]!)
      }
      for (const { tenantId, line, left } of all) {
        if (left.length === line.length) continue
        lines.delete(tenantId)
        if (left.length > 0) lines.set(tenantId, left)
      }
    },

    dropLast(tenantId, which) {
      const line = lines.get(tenantId) ?? []
      const at = line.findLastIndex(which)
      if (at < 0) return undefined
      const [item] = line.splice(at, 1)
      if (line.length === 0) lines.delete(tenantId)
      return item
    },

    isEmpty: () => lines.size === 0
  }
}
