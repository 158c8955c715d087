/** The data of an event: as they are shown now, beside how they were stored when that is not the same. */
import type { Event } from '../../api/client.js'
import { Card } from '../../components/card.js'
import { JsonView } from '../../components/json-view.js'
import { changedPointers } from './changed-pointers.js'

export function EventData({ stored, shown }: { stored: Event; shown: Event }) {
  if (stored.schemaVersion === shown.schemaVersion)
    return (
      <Card title="Data">
        <p class="fine">Shown as they were stored.</p>
        <JsonView value={stored.eventData} label="the data" />
      </Card>
    )
  const sides = [
    { title: 'As stored', event: stored, other: shown },
    { title: 'As shown now', event: shown, other: stored }
  ]
  return (
    <Card title="Data">
      <div class="pair">
        {sides.map(({ title, event, other }) => (
          <div key={title}>
            <h3>
              {title} <span class="beside">schema version {event.schemaVersion}</span>
            </h3>
            <JsonView
              value={event.eventData}
              label={`the data ${title.toLowerCase()}`}
              marked={new Set(changedPointers(event.eventData, other.eventData))}
            />
          </div>
        ))}
      </div>
    </Card>
  )
}
