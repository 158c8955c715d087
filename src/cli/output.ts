/**
 * What commands print: text for people, with colours on a terminal, or JSON for programs. What comes from a store may hold
 * anything, so control characters are shown and never sent to the terminal.
 */
import { once } from 'node:events'
import type { Readable, Writable } from 'node:stream'
import { styleText } from 'node:util'
import { type Progress, reportProgress } from './progress.js'

/** Where a command reads and prints. */
export type Io = {
  stdin: Readable
  stdout: Writable & { isTTY?: boolean }
  stderr: Writable & { isTTY?: boolean }
  /** Called by what would go on for ever: Ctrl-C aborts it from then on, instead of ending the process. */
  onInterrupt?: () => AbortSignal
}

export type Style = 'bold' | 'dim' | 'red' | 'green' | 'yellow' | 'cyan'

export type Cell = string | number | boolean | null | undefined
export type TableRow = Record<string, Cell>

export type Output = ReturnType<typeof createOutput>

export function createOutput(json: boolean, { stdout, stderr }: Pick<Io, 'stdout' | 'stderr'>) {
  /** `text` in a colour if stdout is a terminal and NO_COLOR is not set. */
  const styled = (style: Style, text: string): string => styleText(style, text, { stream: stdout })

  /** Waits until whoever reads it is ready for more. */
  async function line(text: string): Promise<void> {
    if (!stdout.write(`${text}\n`)) await once(stdout, 'drain')
  }

  return {
    json,
    styled,
    line,
    /** `value` as JSON with --json, else what `text` makes of it. */
    print: (value: unknown, text: () => string): Promise<void> => line(json ? JSON.stringify(value) : text()),
    /** A list as a table, or the sentence that there is nothing. */
    listed: (rows: readonly TableRow[], nothing: string): string =>
      rows.length === 0 ? nothing : table(rows, (head) => styled('bold', head)),
    /** What people shall know besides what was asked for: it does not get in the way of what stdout goes to. */
    note: (text: string): void => {
      stderr.write(`${text}\n`)
    },
    progress: (what: string, total: number | null): Progress => reportProgress(what, total, stderr)
  }
}

/** `value` on one line, nothing in it being a command to the terminal. */
export function plain(value: unknown): string {
  const text = typeof value === 'string' ? value : (JSON.stringify(value) ?? '')
  return text.replace(CONTROL, (sign) => `\\u${sign.charCodeAt(0).toString(16).padStart(4, '0')}`)
}
/** Those of Unicode that control, and those that turn the direction of text. */
const CONTROL = /[\p{Cc}\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu

/** Rows with one column for each field of the first, under its name; numbers stand on the right. */
export function table(rows: readonly TableRow[], styleOfHead = (text: string): string => text): string {
  const names = Object.keys(rows[0] ?? {})
  const cells = rows.map((row) => names.map((name) => shown(row[name])))
  const widths = names.map((name, i) => Math.max(name.length, ...cells.map((row) => row[i]!.length)))
  const onRight = names.map((name) => rows.every((row) => typeof row[name] === 'number'))
  const line = (row: string[]): string =>
    row
      .map((cell, i) => (onRight[i] ? cell.padStart(widths[i]!) : cell.padEnd(widths[i]!)))
      .join('  ')
      .trimEnd()
  return [styleOfHead(line(names)), ...cells.map(line)].join('\n')
}

const shown = (cell: Cell): string => (cell === null || cell === undefined ? '-' : plain(cell))
