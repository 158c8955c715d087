/** The route that shows the metrics of this process as JSON. */
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from '@sinclair/typebox'
import type { Registry } from 'prom-client'
import { readMetrics } from '../../observe/read-metrics.js'
import { instant, nullable, problems } from '../schemas.js'

/** More than there are. */
const NAMES_MAX = 200

const Metric = Type.Object({
  name: Type.String(),
  type: Type.String({ description: 'counter, gauge, histogram or summary' }),
  help: Type.String({ description: 'what it counts' }),
  values: Type.Array(
    Type.Object({
      labels: Type.Record(Type.String(), Type.String()),
      value: nullable(Type.Number({ description: 'null where there is no number' })),
      metricName: Type.String({
        description:
          'name of the series: that of the metric; of a histogram with `_bucket` (upper bound: label `le`), `_sum` or `_count`'
      })
    })
  )
})

export const metricsRoutes: FastifyPluginAsyncTypebox<{ register: Registry; instance: string }> = async (
  app,
  { register, instance }
) => {
  app.get(
    '/admin/metrics',
    {
      config: { scopes: ['events:admin', 'tenants:all'] },
      schema: {
        operationId: 'readMetrics',
        summary: 'Metrics of one instance',
        description:
          'What Prometheus gets of the instance that answers, as JSON. Counters and histograms begin at 0 when the process starts: two answers of the same `instance` give a rate. Labels name users and tenants.',
        tags: ['operations'],
        querystring: Type.Object(
          {
            name: Type.Optional(
              Type.Array(Type.String({ minLength: 1, maxLength: 200 }), {
                minItems: 1,
                maxItems: NAMES_MAX,
                description: 'only these metrics, as far as there are such; repeat it for several'
              })
            )
          },
          { additionalProperties: false }
        ),
        response: {
          200: Type.Object({
            instance: Type.String({ format: 'uuid', description: 'process that answers, as in /admin/status' }),
            at: instant('when they were read, by the clock of that process'),
            metrics: Type.Array(Metric)
          }),
          ...problems([])
        }
      }
    },
    async ({ query }) => {
      const metrics = await readMetrics(register, query.name)
      return { instance, at: new Date().toISOString(), metrics }
    }
  )
}
