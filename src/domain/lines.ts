/**
 * Cuts a stream of bytes into lines of UTF-8 text, a block of them at a time, and never holds more of a line than it may be
 * long. Lines are counted from 1; the last one needs no line feed.
 */

export type LineBlock = {
  /** number of the first line */
  first: number
  lines: string[]
  /** why the line after these cannot be read; the last block then */
  fault: string | null
}

const LINE_FEED = 10
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

export type LineCutter = ReturnType<typeof createLineCutter>

/** For one stream whose lines have at most `bytesMax` bytes each, without the line feed. After a block with a fault it is of no more use. */
export function createLineCutter(bytesMax: number) {
  let first = 1
  let rest: Uint8Array[] = []
  let restBytes = 0

  return {
    /** The lines that end in `chunk`, the next of the stream. */
    take(chunk: Uint8Array): LineBlock {
      const end = chunk.lastIndexOf(LINE_FEED)
      let block: LineBlock = { first, lines: [], fault: null }
      if (end >= 0) {
        block = blockOf(first, Buffer.concat([...rest, chunk.subarray(0, end)]), bytesMax)
        first += block.lines.length
        rest = []
        restBytes = 0
      }
      const tail = chunk.subarray(end + 1)
      rest.push(tail)
      restBytes += tail.length
      return restBytes > bytesMax && block.fault === null ? { ...block, fault: tooLong(bytesMax) } : block
    },

    /** What is left at the end of the stream. */
    end: (): LineBlock =>
      restBytes > 0 ? blockOf(first, Buffer.concat(rest), bytesMax) : { first, lines: [], fault: null }
  }
}

function blockOf(first: number, bytes: Buffer, bytesMax: number): LineBlock {
  const lines = textOf(bytes)?.split('\n')
  // A character takes at most three bytes for each of the units that length counts.
  const inOrder = lines && !lines.some((line) => line.length * 3 > bytesMax)
  return inOrder ? { first, lines, fault: null } : examined(first, bytes, bytesMax)
}

/** As above, line by line, up to the first that is too long or no UTF-8. */
function examined(first: number, bytes: Buffer, bytesMax: number): LineBlock {
  const lines: string[] = []
  for (let start = 0; start <= bytes.length; ) {
    const feed = bytes.indexOf(LINE_FEED, start)
    const line = bytes.subarray(start, feed === -1 ? bytes.length : feed)
    if (line.length > bytesMax) return { first, lines, fault: tooLong(bytesMax) }
    const text = textOf(line)
    if (text === null) return { first, lines, fault: 'it is not valid UTF-8' }
    lines.push(text)
    start += line.length + 1
  }
  return { first, lines, fault: null }
}

/** Null when the bytes are not UTF-8. */
function textOf(bytes: Uint8Array): string | null {
  try {
    return utf8.decode(bytes)
  } catch {
    return null
  }
}

const tooLong = (bytesMax: number): string => `it is longer than ${bytesMax} bytes`
