/** How far long work is: on a terminal one line that is written over, elsewhere nothing. */

const EVERY_MS = 200

/** Counts up to `total`; `what` says what is done with each, in the past tense. */
export function reportProgress(what: string, total: number): { add(count: number): void; end(): void } {
  const startedAt = performance.now()
  let done = 0
  let shownAt = 0
  function show(): void {
    const seconds = (performance.now() - startedAt) / 1000
    const rate = done / seconds
    const left = rate > 0 ? Math.ceil((total - done) / rate) : 0
    process.stderr.write(`\r${done} of ${total} ${what}, ${Math.round(rate)} a second, ${left} s left   `)
  }
  return {
    add(count) {
      done += count
      if (!process.stderr.isTTY || performance.now() - shownAt < EVERY_MS) return
      shownAt = performance.now()
      show()
    },
    end() {
      if (!process.stderr.isTTY) return
      show()
      process.stderr.write('\n')
    }
  }
}
