/** What keeps the service from starting, in a sentence that says all that the operator needs. */
export class StartError extends Error {
  override name = 'StartError'
}
