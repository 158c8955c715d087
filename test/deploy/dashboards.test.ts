/** The dashboards of deploy/grafana, as Grafana would read them: complete, explained, and for any data source. */
import t from 'tap'
import { dashboards, fillIn, type Panel, rules } from '../support/deploy.js'

/** Panels that Grafana 12 has and has not deprecated. */
const PANELS = ['row', 'stat', 'timeseries']
/** Units of Grafana that are used. */
const UNITS = ['short', 's', 'bytes', 'percentunit', 'ops', 'reqps']
const DATASOURCE = { type: 'prometheus', uid: `\${datasource}` }
/** What Grafana fills in by itself. */
const BUILT_IN = ['__rate_interval', '__field', '__url_time_range']

const boards = dashboards()
const shown = (panel: Panel): boolean => panel.type !== 'row'

t.strictSame(
  boards.map(({ file, uid, schemaVersion }) => [file, uid, schemaVersion]),
  [
    ['operators.json', 'user-event-store-operators', 41],
    ['subscription.json', 'user-event-store-subscription', 41]
  ],
  'identities that links rely on, in the form of Grafana 12'
)

for (const board of boards) {
  const { panels, templating } = board
  t.test(`${board.file}: each panel is of a kind that stays, explains itself and has a unit`, async (t) => {
    t.notOk('id' in board, 'the database of a Grafana gives the id')
    t.equal(new Set(panels.map(({ id }) => id)).size, panels.length, 'ids are unique')
    for (const { type, title, description, fieldConfig, datasource } of panels) {
      t.ok(PANELS.includes(type), `${title}: ${type}`)
      if (type === 'row') continue
      t.match(description, /^.{10,}\.$/s, title)
      t.ok(UNITS.includes(fieldConfig!.defaults.unit), `${title}: ${fieldConfig!.defaults.unit}`)
      t.strictSame(datasource, DATASOURCE, title)
      const values = (fieldConfig!.defaults.thresholds.steps as { value: number | null }[]).map(({ value }) => value)
      t.equal(values[0], null, title)
      t.strictSame(
        values.slice(1),
        values.slice(1).sort((a, b) => a! - b!),
        `${title}: thresholds rise`
      )
    }
  })

  t.test(`${board.file}: no panel lies on another one, and none sticks out`, async (t) => {
    const taken = new Map<string, string>()
    for (const { title, gridPos } of panels) {
      t.ok(gridPos.x >= 0 && gridPos.x + gridPos.w <= 24, title)
      for (let x = gridPos.x; x < gridPos.x + gridPos.w; x++)
        for (let y = gridPos.y; y < gridPos.y + gridPos.h; y++) {
          const place = `${x},${y}`
          if (taken.has(place)) return t.fail(`${title} lies on ${taken.get(place)}`)
          taken.set(place, title)
        }
    }
  })

  t.test(
    `${board.file}: queries go to the chosen data source and job, over the interval that Grafana gives`,
    async (t) => {
      const names = templating.list.map(({ name }) => name)
      t.match(templating.list[0], { name: 'datasource', type: 'datasource', query: 'prometheus' })
      for (const variable of templating.list.slice(1)) {
        t.match(variable, { type: 'query', datasource: DATASOURCE, refresh: 2 })
        t.equal(variable.query.query, variable.definition)
      }
      for (const { title, targets } of panels.filter(shown)) {
        t.ok(targets!.length > 0, title)
        t.equal(new Set(targets!.map(({ refId }) => refId)).size, targets!.length, title)
        for (const { expr, datasource } of targets!) {
          t.strictSame(datasource, DATASOURCE, title)
          for (const [range] of expr.matchAll(/(?<=rate\([^[]*)\[[^\]]*\]/g)) t.equal(range, '[$__rate_interval]', expr)
          if (!expr.includes('event_store:disk_budget:bytes')) t.match(expr, /job="\$job"/, title)
        }
      }
      const values = Object.fromEntries([...names, ...BUILT_IN].map((name) => [name, '']))
      const texts = JSON.stringify(board).replace(/\$\{__field\.labels\.subscription\}|\$\{\w+:queryparam\}/g, '')
      t.notMatch(fillIn(texts, values), /\$(?!__all)/, 'every variable is declared')
      for (const name of names) t.match(JSON.stringify(panels), new RegExp(`\\$\\{?${name}`), `${name} is used`)
    }
  )

  t.test(`${board.file}: bars are those of the alerts`, async (t) => {
    const bars = rules().flatMap(({ alert, expr }) => (alert ? [expr.replaceAll(/\s+/g, ' ')] : []))
    for (const { title, targets, fieldConfig, description } of panels.filter(shown)) {
      if (!/alert/.test(description!)) continue
      const top = fieldConfig!.defaults.thresholds.steps.at(-1).value as number
      const metric =
        /\b(job:[\w:]+|event_store_save_duration_seconds|event_replay_duration_seconds|event_subscription_lag_seconds|event_archive_last_run_timestamp_seconds|nodejs_eventloop_lag_p99_seconds)/.exec(
          targets![0]!.expr
        )![1]!
      const rule = bars.find((expr) => expr.includes(metric))
      t.ok(rule, `${title}: there is an alert on ${metric}`)
      const [, bar = ''] = /> ([\d. *]+)/.exec(rule!.slice(rule!.indexOf(metric)))!
      t.equal(
        top,
        bar.split('*').reduce((product, factor) => product * Number(factor), 1),
        title
      )
    }
  })
}
