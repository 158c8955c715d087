/** JSON as a tree that opens and closes, with the values coloured by kind. */
import { Check, Copy } from 'lucide'
import type { ComponentChildren } from 'preact'
import { useState } from 'preact/hooks'
import { Button } from './button.js'
import { Icon } from './icon.js'

/** Levels that are open at first. */
const OPEN_LEVELS = 3

/** `marked`: JSON Pointers (RFC 6901) of values to be highlighted. `label` names the value to readers of screens. */
export function JsonView({
  value,
  label,
  marked = new Set()
}: {
  value: unknown
  label: string
  marked?: ReadonlySet<string>
}) {
  return (
    <div class="json">
      <CopyButton text={JSON.stringify(value, null, 2)} what={label} />
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keyboard */}
      <section class="json-tree" aria-label={label} tabIndex={0}>
        <Value value={value} pointer="" level={0} marked={marked} />
      </section>
    </div>
  )
}

type Placed = { value: unknown; pointer: string; level: number; marked: ReadonlySet<string> }

function Value({ value, pointer, level, marked }: Placed) {
  if (typeof value !== 'object' || value === null) return <Scalar value={value} />
  const entries = Object.entries(value)
  const [open, close] = Array.isArray(value) ? ['[', ']'] : ['{', '}']
  if (entries.length === 0) return <span class="json-mark">{open + close}</span>
  const rows = (
    <ul>
      {entries.map(([name, each]) => {
        const at = `${pointer}/${name.replaceAll('~', '~0').replaceAll('/', '~1')}`
        return (
          <li key={name} class={marked.has(at) ? 'marked' : undefined}>
            {!Array.isArray(value) && <span class="json-name">{name}: </span>}
            <Value value={each} pointer={at} level={level + 1} marked={marked} />
          </li>
        )
      })}
    </ul>
  )
  if (level === 0) return rows
  return (
    <details open={level < OPEN_LEVELS}>
      <summary>
        <span class="json-mark">
          {open} {entries.length} {close}
        </span>
      </summary>
      {rows}
    </details>
  )
}

function Scalar({ value }: { value: unknown }) {
  return <span class={`json-${value === null ? 'null' : typeof value}`}>{JSON.stringify(value)}</span>
}

/** Copies a text, and says that it did. A picture alone unless there are words to stand beside it. */
export function CopyButton({ text, what, children }: { text: string; what: string; children?: ComponentChildren }) {
  const [copied, setCopied] = useState(false)
  const copy = async () => {
    await navigator.clipboard.writeText(text)
    setCopied(true)
    setTimeout(() => setCopied(false), 2000)
  }
  return (
    <Button
      kind={children ? 'plain' : 'quiet'}
      onClick={copy}
      aria-label={children ? undefined : `Copy ${what}`}
      title={`Copy ${what}`}
    >
      <Icon of={copied ? Check : Copy} size={14} />
      {children}
      <span class="unseen" role="status">
        {copied ? 'Copied' : ''}
      </span>
    </Button>
  )
}
