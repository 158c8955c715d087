/** The route that checks what is kept of a user against its events. */
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from '@sinclair/typebox'
import type { VerifyService } from '../../services/verify.js'
import { keyOf, noQuery, problems, tenantHeaders, userParams } from '../schemas.js'

const Compared = Type.Object({
  version: Type.Integer(),
  correct: Type.Boolean(),
  operations: Type.Array(Type.Object({}, { additionalProperties: true }), {
    description:
      'RFC 6902 operations that turn what was found into what the events say; one that replaces all of it where it is no state'
  })
})

export const verifyRoutes: FastifyPluginAsyncTypebox<{ verify: VerifyService }> = async (app, { verify }) => {
  app.post(
    '/admin/users/:userId/verify',
    {
      config: { scopes: ['state:read'], large: true },
      schema: {
        operationId: 'verifyUser',
        summary: 'Check state and snapshots of a user against its events',
        description: 'Folds all events anew and compares. Changes nothing.',
        tags: ['state'],
        params: userParams,
        headers: tenantHeaders,
        querystring: noQuery,
        response: {
          200: Type.Object({
            userId: Type.String({ format: 'uuid' }),
            version: Type.Integer({ description: 'up to which it was checked' }),
            correct: Type.Boolean({ description: 'whether everything is right' }),
            served: Compared,
            snapshots: Type.Array(Compared, {
              description: 'every snapshot under the rules of now, broken ones too, the oldest version first'
            })
          }),
          ...problems(['ARCHIVE_OFFLINE', 'USER_NOT_FOUND'], { body: true })
        }
      }
    },
    (request) => verify.verify(keyOf(request))
  )
}
