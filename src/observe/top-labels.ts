/**
 * Counts per value of a label that has no bound of its own (users, tenants), in a bounded number of series.
 *
 * At most `capacity` values are shown by name, everything else is counted under `_other`. Three promises hold at all
 * times: the sum over all series is exact, per part too; a series never falls while it exists; memory depends on the
 * capacity and the number of parts, not on the number of values seen.
 *
 * Values that are not shown compete in a space-saving sketch (Metwally, Agrawal, El Abbadi, 2005): when it is full, a
 * new value takes the slot with the smallest estimate and inherits that estimate, so `rank` may be too large, but
 * `sure`, what was added while the value held its slot, never is. A value is shown once its sure count beats the
 * smallest shown one by a quarter. A million one-time values are sure of 1 each and displace nobody, and since every
 * swap raises a shown slot by a quarter, there are at most capacity * log(total) / log(1.25) swaps ever.
 */

/** The label under which everything without a series of its own is counted. */
export const otherLabel = '_other'

/** One series: the label value or `_other`, the part it was added with (`''` when none was given), and its count. */
export type TopLabelsEntry = {
  label: string
  part: string
  count: number
}

export type TopLabels = ReturnType<typeof createTopLabels>

const hiddenPerShown = 8
const promotionFactor = 1.25

type Counts = Map<string, number>

type Slot = {
  label: string | undefined
  /** What was certainly added for this label. */
  sure: number
  /** The heap key: `sure` when shown, the sketch's estimate (at least `sure`) when hidden. */
  rank: number
  /** Index in its heap. */
  at: number
  /** Count by part since the label was shown; absent while hidden. */
  counts: Counts | undefined
}

/**
 * Creates an empty structure that shows at most `capacity` (0 or more) labels by name; 0 shows only `_other`.
 * The same sequence of adds always leads to the same entries. An add costs O(log capacity).
 */
export function createTopLabels(capacity: number) {
  // Both heaps are full of empty slots from the start, so that a new label always takes the root of one of them.
  const shown = createSlots(capacity, () => new Map())
  const hidden = createSlots(capacity * hiddenPerShown, () => undefined)
  const slots = new Map<string, Slot>()
  const other: Counts = new Map()

  function claim(label: string): Slot | undefined {
    const slot = shown[0]?.rank === 0 ? shown[0] : hidden[0]
    if (!slot) return undefined
    if (slot.label !== undefined) slots.delete(slot.label)
    slot.label = label
    slot.sure = 0
    slots.set(label, slot)
    return slot
  }

  function weigh(slot: Slot, n: number): void {
    slot.sure += n
    slot.rank += n
    sink(slot.counts ? shown : hidden, slot.at)
    if (!slot.counts && slot.sure > shown[0]!.rank * promotionFactor) swap(slot, shown[0]!)
  }

  /** Shows `riser` in the place of `faller`, whose counts move to `_other`. */
  function swap(riser: Slot, faller: Slot): void {
    for (const [part, count] of faller.counts!) addTo(other, part, count)
    faller.counts!.clear()
    riser.counts = faller.counts
    faller.counts = undefined
    // The faller also inherits the riser's estimate: its hidden heap stays in order and its total stays exact.
    faller.rank = riser.rank
    riser.rank = riser.sure
    hidden[riser.at] = faller
    faller.at = riser.at
    shown[0] = riser
    sink(shown, 0)
  }

  return {
    /** Counts `n` (1 or more) for `label`; `part` splits the count further and is kept when it moves to `_other`. */
    add(label: string, n = 1, part = ''): void {
      const slot = slots.get(label) ?? claim(label)
      if (slot) weigh(slot, n)
      addTo(slot?.counts ?? other, part, n)
    },

    /** All series, in no particular order. `_other` appears once something was counted there. */
    entries(): TopLabelsEntry[] {
      const named = shown.flatMap(({ label, counts }) => (label === undefined ? [] : toEntries(label, counts!)))
      return [...named, ...toEntries(otherLabel, other)]
    }
  }
}

function createSlots(length: number, createCounts: () => Counts | undefined): Slot[] {
  return Array.from({ length }, (_, at) => ({ label: undefined, sure: 0, rank: 0, at, counts: createCounts() }))
}

/** Restores the order of a binary min-heap after the rank at index `at` has grown. */
function sink(heap: Slot[], at: number): void {
  const slot = heap[at]!
  for (;;) {
    const child = smallerChild(heap, at)
    if (!child || child.rank >= slot.rank) break
    const childAt = child.at
    heap[at] = child
    child.at = at
    at = childAt
  }
  heap[at] = slot
  slot.at = at
}

function smallerChild(heap: Slot[], at: number): Slot | undefined {
  const left = heap[2 * at + 1]
  const right = heap[2 * at + 2]
  return left && right && right.rank < left.rank ? right : left
}

function addTo(counts: Counts, part: string, n: number): void {
  counts.set(part, (counts.get(part) ?? 0) + n)
}

function toEntries(label: string, counts: Counts): TopLabelsEntry[] {
  return Array.from(counts, ([part, count]) => ({ label, part, count }))
}
