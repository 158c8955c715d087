/** Pictures of one line, all of one set; they say nothing that the words beside them do not. */
import type { IconNode } from 'lucide'
import { h } from 'preact'

/** `size` in px. */
export function Icon({ of: node, size = 16 }: { of: IconNode; size?: number }) {
  return (
    <svg
      class="icon"
      width={size}
      height={size}
      viewBox="0 0 24 24"
      fill="none"
      stroke="currentColor"
      stroke-width="2"
      stroke-linecap="round"
      stroke-linejoin="round"
      aria-hidden="true"
    >
      {node.map(([tag, attributes], i) => h(tag, { ...attributes, key: i }))}
    </svg>
  )
}
