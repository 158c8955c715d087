/** What of a JSON value is not the same in another one. */

/** JSON Pointers (RFC 6901) of what stands in `value` and not, or not so, in `other`. Objects are opened, lists are values. */
export function changedPointers(value: unknown, other: unknown, pointer = ''): string[] {
  if (!isObject(value) || !isObject(other)) return JSON.stringify(value) === JSON.stringify(other) ? [] : [pointer]
  return Object.entries(value).flatMap(([name, each]) => {
    const at = `${pointer}/${name.replaceAll('~', '~0').replaceAll('/', '~1')}`
    return Object.hasOwn(other, name) ? changedPointers(each, other[name], at) : [at]
  })
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
