/** Which events near one have to do with it, as their metadata say. Pure. */

/** As much of an event as it takes. */
export type Linked = { id: string; version: number; metadata: Readonly<Record<string, unknown>> | null }

export type Related = {
  correlationId: string | null
  /** versions of others with the same correlation */
  correlated: number[]
  causationId: string | null
  /** version of the event that it names as its cause, if that is near */
  cause: number | null
  /** versions of those that name it as their cause */
  caused: number[]
}

export function relatedOf(event: Linked, near: readonly Linked[]): Related {
  const correlationId = textIn(event, 'correlationId')
  const causationId = textIn(event, 'causationId')
  const others = near.filter(({ version }) => version !== event.version)
  const versionsOf = (found: readonly Linked[]): number[] => found.map(({ version }) => version)
  return {
    correlationId,
    correlated: versionsOf(
      others.filter((each) => correlationId !== null && textIn(each, 'correlationId') === correlationId)
    ),
    causationId,
    cause: others.find(({ id }) => id === causationId?.toLowerCase())?.version ?? null,
    caused: versionsOf(others.filter((each) => textIn(each, 'causationId')?.toLowerCase() === event.id))
  }
}

function textIn({ metadata }: Linked, name: string): string | null {
  const value = metadata?.[name]
  return typeof value === 'string' && value !== '' ? value : null
}
