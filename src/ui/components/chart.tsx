/**
 * Numbers over time: what they are and how they stand in words, lines, and a table for whoever does not see lines or point at
 * them.
 */
import { useState } from 'preact/hooks'
import { type Line, Plot } from './plot.js'

export type { Line } from './plot.js'

/** Rows of the table: moments at equal distances, the newest first. */
const ROWS_MAX = 12

export function Chart({
  title,
  summary,
  seconds,
  lines,
  format
}: {
  title: string
  /** how it is now, as a sentence */
  summary: string
  /** moments in seconds of Unix time, ascending */
  seconds: readonly number[]
  lines: readonly Line[]
  format: (value: number) => string
}) {
  const [pointed, setPointed] = useState<number | null>(null)
  const [open, setOpen] = useState(false)
  const at = pointed !== null && pointed < seconds.length ? pointed : null
  const write = (value: number | null | undefined): string => (value == null ? '–' : format(value))
  return (
    <figure class="chart">
      <figcaption>
        <span class="chart-title">{title}</span>
        <span class="chart-summary">{summary}</span>
      </figcaption>
      <Plot seconds={seconds} lines={lines} format={format} onPoint={setPointed} />
      <div class="chart-foot">
        <ul class="chart-key">
          {lines.map(({ label, tone, dashed, values }) => (
            <li key={label}>
              <span class={`swatch ${tone}${dashed ? ' dashed' : ''}`} aria-hidden="true" />
              {label} <span class="chart-value">{at === null ? '' : write(values[at])}</span>
            </li>
          ))}
          {at !== null && <li class="soft">{agoOf(seconds.at(-1)! - seconds[at]!)}</li>}
        </ul>
        <details onToggle={(event) => setOpen(event.currentTarget.open)}>
          <summary>
            Numbers<span class="unseen"> of {title}</span>
          </summary>
          {open && <Numbers title={title} seconds={seconds} lines={lines} write={write} />}
        </details>
      </div>
    </figure>
  )
}

function Numbers({
  title,
  seconds,
  lines,
  write
}: {
  title: string
  seconds: readonly number[]
  lines: readonly Line[]
  write: (value: number | null | undefined) => string
}) {
  const step = Math.max(1, Math.ceil(seconds.length / ROWS_MAX))
  const rows = seconds.map((_, i) => i).filter((i) => (seconds.length - 1 - i) % step === 0)
  return (
    <table class="numbers-table">
      <caption class="unseen">{title}</caption>
      <thead>
        <tr>
          <th scope="col">When</th>
          {lines.map(({ label }) => (
            <th key={label} scope="col">
              {label}
            </th>
          ))}
        </tr>
      </thead>
      <tbody>
        {rows.reverse().map((i) => (
          <tr key={i}>
            <th scope="row">{agoOf(seconds.at(-1)! - seconds[i]!)}</th>
            {lines.map(({ label, values }) => (
              <td key={label}>{write(values[i])}</td>
            ))}
          </tr>
        ))}
      </tbody>
    </table>
  )
}

function agoOf(seconds: number): string {
  if (seconds < 1) return 'now'
  const [minutes, rest] = [Math.floor(seconds / 60), Math.round(seconds % 60)]
  return `${[minutes > 0 && `${minutes} min`, rest > 0 && `${rest} s`].filter(Boolean).join(' ')} ago`
}
