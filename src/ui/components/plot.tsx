/** Lines over time, drawn on a canvas. It says nothing to readers of screens: chart.tsx, which has it, does. */
import { useEffect, useRef } from 'preact/hooks'
import uPlot from 'uplot'

/** A colour of ui.css, and its ground. */
export type LineTone = 'accent' | 'info' | 'good' | 'warn' | 'bad'

export type Line = {
  label: string
  tone: LineTone
  /** one for each moment; null where there is none */
  values: readonly (number | null)[]
  /** so that lines differ by more than their colour */
  dashed?: boolean
  /** the ground below it is filled */
  filled?: boolean
}

export type PlotProps = {
  /** moments in seconds of Unix time, ascending */
  seconds: readonly number[]
  lines: readonly Line[]
  /** how numbers at the axis are written */
  format: (value: number) => string
  /** told the index of the moment that is pointed at, or null */
  onPoint: (index: number | null) => void
}

const HEIGHT = 150
const AXIS_FONT = '11px system-ui, sans-serif'
/** Room for `1,000 ms`. */
const Y_AXIS_WIDTH = 54
const TICKS_SECONDS = [10, 30, 60, 120, 300, 600]

export function Plot({ seconds, lines, format, onPoint }: PlotProps) {
  const place = useRef<HTMLDivElement>(null)
  const plot = useRef<uPlot | null>(null)
  const latest = useRef({ format, onPoint })
  latest.current = { format, onPoint }
  const kinds = JSON.stringify(lines.map(({ label, tone, dashed, filled }) => ({ label, tone, dashed, filled })))

  useEffect(() => {
    const element = place.current!
    const colours = createColours(element)
    const made = new uPlot(
      {
        width: element.clientWidth,
        height: HEIGHT,
        legend: { show: false },
        cursor: { y: false, drag: { x: false, y: false }, points: { size: 6 } },
        scales: {
          x: { time: false, range: (_plot, from, to) => [from, to] },
          y: { range: (_plot, _low, high) => [0, high > 0 ? high * 1.15 : 1] }
        },
        axes: [
          {
            ...axisOf(colours),
            size: 26,
            splits: (_plot, _axis, from, to) => ticksOf(from, to),
            values: (plot, ticks) => ticks.map((tick) => agoOf(plot.scales.x!.max! - tick))
          },
          {
            ...axisOf(colours),
            size: Y_AXIS_WIDTH,
            space: 36,
            values: (_plot, ticks) => ticks.map((tick) => latest.current.format(tick))
          }
        ],
        series: [{}, ...(JSON.parse(kinds) as Omit<Line, 'values'>[]).map((line) => seriesOf(line, colours))],
        hooks: { setCursor: [({ cursor }) => latest.current.onPoint(cursor.idx ?? null)] }
      },
      undefined,
      element
    )
    plot.current = made
    const fit = new ResizeObserver(() => made.setSize({ width: element.clientWidth, height: HEIGHT }))
    fit.observe(element)
    const repaint = () => {
      colours.read()
      made.redraw(false)
    }
    const theme = new MutationObserver(repaint)
    theme.observe(document.documentElement, { attributes: true, attributeFilter: ['data-theme'] })
    const system = matchMedia('(prefers-color-scheme: dark)')
    system.addEventListener('change', repaint)
    return () => {
      fit.disconnect()
      theme.disconnect()
      system.removeEventListener('change', repaint)
      made.destroy()
    }
  }, [kinds])

  // After every drawing: a plot that was made anew has no data.
  useEffect(() => plot.current?.setData([seconds, ...lines.map(({ values }) => values)] as uPlot.AlignedData))

  return <div ref={place} class="plot" aria-hidden="true" />
}

type Colours = ReturnType<typeof createColours>

/** What the variables of ui.css are now: a canvas does not know them. */
function createColours(element: HTMLElement) {
  let known = new Map<string, string>()
  const read = () => {
    known = new Map()
  }
  return {
    read,
    of(variable: string): string {
      if (!known.has(variable)) {
        element.style.color = `var(--${variable})`
        known.set(variable, getComputedStyle(element).color)
        element.style.color = ''
      }
      return known.get(variable)!
    }
  }
}

const axisOf = (colours: Colours): uPlot.Axis => ({
  font: AXIS_FONT,
  stroke: () => colours.of('text-soft'),
  grid: { stroke: () => colours.of('line'), width: 1 },
  ticks: { show: false }
})

const seriesOf = ({ label, tone, dashed, filled }: Omit<Line, 'values'>, colours: Colours): uPlot.Series => ({
  label,
  width: 1.75,
  stroke: () => colours.of(tone),
  // Of what stands alone there is no line.
  points: { size: 5, show: () => false, filter: (plot, index) => aloneIn(plot.data[index]!) },
  ...(dashed && { dash: [5, 4] }),
  ...(filled && { fill: () => colours.of(`${tone}-ground`) })
})

/** Indexes of values that have none beside them. */
function aloneIn(values: ArrayLike<number | null | undefined>): number[] {
  const isThere = (i: number) => values[i] !== null && values[i] !== undefined
  return Array.from(values, (_, i) => i).filter((i) => isThere(i) && !isThere(i - 1) && !isThere(i + 1))
}

/** Moments at round distances from the newest, five or so. */
function ticksOf(from: number, to: number): number[] {
  const step = TICKS_SECONDS.find((each) => (to - from) / each <= 5) ?? to - from
  const ticks: number[] = []
  for (let at = to; at > from && step > 0; at -= step) ticks.unshift(at)
  return ticks
}

const agoOf = (seconds: number): string => {
  if (seconds === 0) return 'now'
  return seconds % 60 === 0 ? `−${seconds / 60} min` : `−${seconds} s`
}
