/** What this is. */

export const Brand = () => (
  <span class="brand">
    <svg width={24} height={24} viewBox="0 0 32 32" aria-hidden="true">
      <rect class="brand-ground" width={32} height={32} rx={8} />
      <path class="brand-lines" d="M9 8v16M15 10h9M15 16h6M15 22h9" />
      <circle class="brand-dots" cx={9} cy={10} r={3} />
      <circle class="brand-dots" cx={9} cy={22} r={3} />
    </svg>
    user-event-store
  </span>
)
