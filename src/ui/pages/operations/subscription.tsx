/** What the pages of subscriptions share. */
import type { AnswerOf } from '../../api/client.js'
import { Badge, type Tone } from '../../components/badge.js'

export type Subscription = AnswerOf<'/admin/subscriptions'>['subscriptions'][number]
/** A name is unique within a scope. */
export type Named = Pick<Subscription, 'name' | 'scope'>

const TONES: Record<Subscription['state'], Tone> = {
  new: 'info',
  active: 'good',
  paused: 'neutral',
  failing: 'bad',
  stopped: 'bad'
}

export const SubscriptionState = ({ state }: Pick<Subscription, 'state'>) => <Badge tone={TONES[state]}>{state}</Badge>

/** Where the page of a subscription is. */
export const subscriptionPath = ({ name, scope }: Named): string =>
  `/ui/subscriptions/${encodeURIComponent(name)}${scope === 'global' ? '?scope=global' : ''}`

/** Counts end at this; there may be more. */
const COUNTED_MAX = 10_000
export const counted = (count: number): string =>
  count >= COUNTED_MAX ? `${COUNTED_MAX.toLocaleString('en')} or more` : count.toLocaleString('en')

/** What `/admin/subscriptions/{name}…` takes. */
export const addressed = ({ name, scope }: Named) => ({ path: { name }, query: { scope } })
