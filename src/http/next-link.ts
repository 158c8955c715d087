/** The `Link` header that leads to the next page (RFC 8288). */

/** The URL of the request with `parameter` set to the cursor of the next page. */
export function nextLink(url: string, parameter: string, cursor: string): string {
  const { pathname, searchParams } = new URL(url, 'http://service')
  searchParams.set(parameter, cursor)
  return `<${pathname}?${searchParams}>; rel="next"`
}
