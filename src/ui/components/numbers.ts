/** Numbers as they are shown. */

const MIB = 1024 * 1024

/** `1,234,567` */
export const grouped = (count: number): string => count.toLocaleString('en')

/** `1.5 MiB` */
export const mebibytes = (bytes: number): string =>
  `${(bytes / MIB).toLocaleString('en', { maximumFractionDigits: 1 })} MiB`

/** `0.04`, `1.5`, `12`: two digits, or all of a whole number. */
export const brief = (value: number): string =>
  value.toLocaleString('en', value >= 10 ? { maximumFractionDigits: 0 } : { maximumSignificantDigits: 2 })
