/** What an event says, in one line for people. Pure, and total: data may be of any version of any type. */

/** As much of an event as it takes. */
export type Told = { eventType: string; eventData: object; metadata: object | null }

type Data = Readonly<Record<string, unknown>>

/** Fields that are told one by one; of further ones, how many there are. */
const FIELDS_MAX = 3
/** Characters of a value. */
const VALUE_MAX = 60

const FIELD_NAMES: Data = { fullName: 'full name', email: 'e-mail', roleIds: 'roles' }
/** Who did it, in the data of the built-in types. */
const ACTOR_FIELDS = ['changedBy', 'deletedBy', 'unlockedBy', 'assignedBy']

const SENTENCES: Readonly<Record<string, (data: Data) => string>> = {
  UserCreated: ({ username, email, roleIds }) =>
    `Created as ${shown(username)}, ${shown(email)}${isFull(roleIds) ? ` with roles ${shown(roleIds.join(', '))}` : ''}`,
  UserUpdated: (data) => capital(listed(Object.entries(data).map(changeOf))) || 'Nothing changed',
  PasswordChanged: () => 'Password changed',
  UserDeleted: ({ reason }) => (reason === undefined ? 'Deleted' : `Deleted: ${shown(reason)}`),
  LoginInfoUpdated: ({ ipAddress }) => `Signed in from ${shown(addressOf(ipAddress))}`,
  AccountLocked: ({ reason, loginAttempts, lockedUntil }) =>
    `Locked until ${momentOf(lockedUntil)} after ${shown(loginAttempts)} attempts: ${shown(reason)}`,
  AccountUnlocked: () => 'Lock lifted',
  RolesAssigned: ({ roleIds }) => capital(rolesOf(roleIds))
}

/** `Full name set to Ada Lovelace; phone removed`. Of types that are not built in, the fields as they are. */
export function wordsOf({ eventType, eventData }: Told): string {
  const sentence = Object.hasOwn(SENTENCES, eventType) ? SENTENCES[eventType] : undefined
  if (sentence) return sentence(eventData as Data)
  return listed(Object.entries(eventData).map(([name, value]) => `${name}: ${shown(value)}`)) || eventType
}

/** Who did it: as the data say, else as the metadata do, else whose credentials it came with; null if nothing says so. */
export function actorOf({ eventData, metadata }: Told): string | null {
  const data = eventData as Data
  const { actor, userId, $principal } = (metadata ?? {}) as Data
  const said = [...ACTOR_FIELDS.map((field) => data[field]), actor, userId, $principal]
  return said.find((each): each is string => typeof each === 'string' && each !== '') ?? null
}

function changeOf([name, value]: [string, unknown]): string {
  if (name === 'attributes' && isObject(value)) return `attributes changed: ${Object.keys(value).join(', ')}`
  if (name === 'roleIds') return rolesOf(value)
  const called = String(FIELD_NAMES[name] ?? name)
  return value === null ? `${called} removed` : `${called} set to ${shown(value)}`
}

const rolesOf = (roleIds: unknown): string =>
  isFull(roleIds) ? `roles are now ${shown(roleIds.join(', '))}` : 'no roles any more'

function listed(parts: readonly string[]): string {
  const more = parts.length - FIELDS_MAX
  return [...parts.slice(0, FIELDS_MAX), ...(more > 0 ? [`${more} more`] : [])].join('; ')
}

function shown(value: unknown): string {
  const text = typeof value === 'string' ? value : (JSON.stringify(value) ?? '?')
  return text.length > VALUE_MAX ? `${text.slice(0, VALUE_MAX)}…` : text
}

/** Version 1 of a sign-in holds the address itself. */
const addressOf = (ipAddress: unknown): unknown => (isObject(ipAddress) ? ipAddress.address : ipAddress)

/** To the second: `2026-11-22 08:00:00 UTC`. What is no moment stays as it is. */
function momentOf(value: unknown): string {
  const at = new Date(typeof value === 'string' ? value : Number.NaN)
  return Number.isNaN(at.getTime()) ? shown(value) : `${at.toISOString().slice(0, 19).replace('T', ' ')} UTC`
}

const isObject = (value: unknown): value is Data => typeof value === 'object' && value !== null && !Array.isArray(value)

const isFull = (value: unknown): value is unknown[] => Array.isArray(value) && value.length > 0

const capital = (text: string): string => text.slice(0, 1).toUpperCase() + text.slice(1)
