/** A word that tells how something is. The colour repeats what the word says. */
import type { ComponentChildren } from 'preact'

export type Tone = 'neutral' | 'good' | 'warn' | 'bad' | 'info'

export function Badge({ tone = 'neutral', children }: { tone?: Tone; children: ComponentChildren }) {
  return <span class={`badge ${tone}`}>{children}</span>
}

const STATUS_TONES: Record<string, Tone> = { active: 'good', inactive: 'neutral', suspended: 'warn', deleted: 'bad' }

/** The status of a user. */
export const StatusBadge = ({ status }: { status: string }) => (
  <Badge tone={STATUS_TONES[status] ?? 'neutral'}>{status}</Badge>
)
