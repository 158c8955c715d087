/** One event on the timeline. */
import { Camera } from 'lucide'
import type { Event } from '../../api/client.js'
import { Badge } from '../../components/badge.js'
import { Icon } from '../../components/icon.js'
import { RelativeTime } from '../../components/relative-time.js'
import { eventPath, timePath } from '../user-id.js'
import { Actor } from './actor.js'
import { signOf } from './event-icons.js'
import { actorOf, wordsOf } from './event-words.js'

/** `snapshots` are those of its version. */
export function TimelineEvent({
  userId,
  event,
  snapshots
}: {
  userId: string
  event: Event
  snapshots: readonly { id: string; usable: boolean }[]
}) {
  const { version, eventType, createdAt, archived } = event
  const { icon, tone } = signOf(eventType)
  const actor = actorOf(event)
  return (
    <li class="timeline-event">
      <span class={`timeline-sign ${tone}`}>
        <Icon of={icon} />
      </span>
      <div class="timeline-told">
        <a class="strong breakable" href={eventPath(userId, version)}>
          {wordsOf(event)}
        </a>
        <p class="timeline-facts">
          <Badge>{eventType}</Badge>
          <span>version {version}</span>
          {actor !== null && (
            <span>
              by <Actor of={actor} />
            </span>
          )}
          {archived && <Badge>archived</Badge>}
          {snapshots.map(({ id, usable }) => (
            <a key={id} href={timePath(userId, version)}>
              <Badge tone={usable ? 'good' : 'warn'}>
                <Icon of={Camera} size={12} /> snapshot, {usable ? 'usable' : 'stale'}
              </Badge>
            </a>
          ))}
        </p>
      </div>
      <RelativeTime at={createdAt} exact />
    </li>
  )
}
