/** Schemas of values that several event types carry. */
import { type Static, type TObject, type TSchema, Type } from '@sinclair/typebox'
import type { FoldEvent } from '../event.js'

export const username = Type.String({ minLength: 1, maxLength: 100 })
export const email = Type.String({ pattern: '^[^\\s@]+@[^\\s@]+$', maxLength: 254 })
export const fullName = Type.String({ minLength: 1, maxLength: 200 })
export const phone = Type.String({ minLength: 1, maxLength: 50 })
export const avatar = Type.String({ minLength: 1, maxLength: 2048, description: 'address of a picture' })
export const reason = Type.String({ minLength: 1, maxLength: 1000 })
export const actor = Type.String({
  minLength: 1,
  maxLength: 100,
  description: 'who did it: a user id or the name of a service'
})
export const roleIds = Type.Array(Type.String({ minLength: 1, maxLength: 100 }), { maxItems: 1000, uniqueItems: true })
export const moment = Type.String({ format: 'date-time', description: 'RFC 3339' })
export const ipAddress = Type.String({ format: 'ip', description: 'IPv4 or IPv6 address' })
export const attributes = Type.Record(Type.String(), Type.Unknown(), { description: "the client's own fields" })

export const nullable = <T extends TSchema>(schema: T) => Type.Union([schema, Type.Null()])

/** eventData as the type that its schema describes; it was checked when it was appended. */
export const dataOf = <T extends TObject>(_schema: T, event: FoldEvent): Static<T> => event.eventData as Static<T>
