/** The slider itself, with a mark where there is a snapshot. */

export function Track({
  version,
  head,
  ticks,
  onVersion
}: {
  version: number
  head: number
  ticks: readonly { version: number; usable: boolean }[]
  onVersion: (version: number) => void
}) {
  const at = (each: number): number => (head === 1 ? 0 : ((each - 1) / (head - 1)) * 1000)
  return (
    <div class="track">
      <input
        type="range"
        min={1}
        max={head}
        value={version}
        aria-label="Version"
        onInput={(event) => onVersion(Number(event.currentTarget.value))}
      />
      <svg class="track-ticks" viewBox="0 0 1000 8" preserveAspectRatio="none" aria-hidden="true">
        {ticks.map((tick) => (
          <rect
            key={tick.version}
            class={tick.usable ? 'usable' : 'stale'}
            x={at(tick.version) - 2}
            y={0}
            width={4}
            height={8}
          />
        ))}
      </svg>
    </div>
  )
}
