/** The catalog of event types, and one of them with all its versions. */
import { Shapes } from 'lucide'
import { type AnswerOf, answerOf } from '../../api/client.js'
import { useSession } from '../../api/session.js'
import { useLoaded } from '../../api/use-loaded.js'
import { Allowed } from '../../components/allowed.js'
import { Answer } from '../../components/answer.js'
import { Badge } from '../../components/badge.js'
import { Card } from '../../components/card.js'
import { Empty } from '../../components/empty.js'
import { JsonView } from '../../components/json-view.js'
import { Page } from '../../components/page.js'
import { RelativeTime } from '../../components/relative-time.js'
import { type Column, Table } from '../../components/table.js'

type Catalog = AnswerOf<'/event-types'>
type Listed = Catalog['eventTypes'][number]
type Details = AnswerOf<'/event-types/{type}'>

export const EventTypesPage = () => (
  <Page title="Event types" lead="What can happen to a user, and what the data of each event look like.">
    <Allowed scopes={['events:read']} what="see event types">
      <TypeList />
    </Allowed>
  </Page>
)

function TypeList() {
  const { api } = useSession()
  const found = useLoaded('event types', (signal) => answerOf<Catalog>(api.GET('/event-types', { signal })))
  return (
    <Card flush>
      <Answer of={found} what="event types">
        {({ eventTypes }) =>
          eventTypes.length === 0 ? (
            <Empty icon={Shapes} title="There are no event types." />
          ) : (
            <Table caption="Event types" columns={columns} rows={eventTypes} keyOf={({ eventType }) => eventType} />
          )
        }
      </Answer>
    </Card>
  )
}

const columns: readonly Column<Listed>[] = [
  {
    name: 'Event type',
    cell: ({ eventType }) => (
      <a class="strong breakable" href={`/ui/event-types/${encodeURIComponent(eventType)}`}>
        {eventType}
      </a>
    )
  },
  { name: 'Summary', cell: ({ summary }) => <span class="breakable">{summary || '–'}</span> },
  {
    name: 'Of',
    cell: ({ scope }) => (
      <span class="badges">
        <Badge>{scope}</Badge>
      </span>
    )
  },
  { name: 'Versions', cell: ({ versions }) => versions, number: true }
]

export const EventTypePage = ({ type }: { type: string }) => (
  <Page title={type} lead={<a href="/ui/event-types">All event types</a>}>
    <Allowed scopes={['events:read']} what="see event types">
      <TypeDetails type={type} />
    </Allowed>
  </Page>
)

function TypeDetails({ type }: { type: string }) {
  const { api } = useSession()
  const found = useLoaded(type, (signal) =>
    answerOf<Details>(api.GET('/event-types/{type}', { params: { path: { type } }, signal }))
  )
  return (
    <Answer of={found} what="the event type">
      {({ summary, scope, personalData, example, history }) => (
        <>
          <Card title="About">
            <dl class="facts">
              <dt>Summary</dt>
              <dd>{summary || '–'}</dd>
              <dt>Of</dt>
              <dd>{scope}</dd>
              <dt>Personal data</dt>
              <dd>{personalData.join(', ') || 'none'}</dd>
            </dl>
          </Card>
          <Card title="Example">
            <JsonView value={example} label="the example" />
          </Card>
          {[...history].reverse().map(({ version, schema, createdAt, effect, upcast }) => (
            <Card
              key={version}
              title={`Version ${version}`}
              actions={createdAt && <RelativeTime at={createdAt} exact />}
            >
              <h3>Schema</h3>
              <JsonView value={schema} label={`the schema of version ${version}`} />
              {effect && (
                <>
                  <h3>Effect</h3>
                  <JsonView value={effect} label={`the effect of version ${version}`} />
                </>
              )}
              {upcast && (
                <>
                  <h3>Upcast</h3>
                  <JsonView value={upcast} label={`the upcast to version ${version}`} />
                </>
              )}
            </Card>
          ))}
        </>
      )}
    </Answer>
  )
}
