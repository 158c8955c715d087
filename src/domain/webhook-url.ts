/**
 * Where a webhook may go. Whoever may create a subscription chooses an address that this service then connects to from
 * inside its network, so only addresses of the public Internet are allowed unless a setting says otherwise. A URL shows
 * an address only when it holds one; a name is resolved for each connection, and what it resolves to is checked then.
 */
import { isIP } from 'node:net'
import ipaddr from 'ipaddr.js'

/**
 * Whether `address` (IPv4 or IPv6, without brackets) is one of the public Internet. Allowed is what is known to be
 * public: forms that carry an IPv4 address (mapped, NAT64, 6to4, Teredo) are not, whatever they carry.
 */
export function isPublicAddress(address: string): boolean {
  if (!ipaddr.isValid(address)) return false
  const parsed = ipaddr.parse(address)
  // Global unicast is 2000::/3 and nothing else (RFC 4291); the library takes what it has no name for as unicast.
  const global = parsed instanceof ipaddr.IPv4 || (parsed.parts[0]! & 0xe000) === 0x2000
  return global && parsed.range() === 'unicast'
}

/** The address that the host of a URL is written as, or null for a name. Other notations (0x7f.1) are undone by the URL parser. */
export function literalAddress(hostname: string): string | null {
  const bare = hostname.replace(/^\[(.*)\]$/, '$1')
  return isIP(bare) === 0 ? null : bare
}

/** Why a webhook cannot go to `url`, as a clause for a sentence; null when it can, as far as the URL tells. */
export function refuseWebhookUrl(url: string, { privateAddresses }: { privateAddresses: boolean }): string | null {
  if (!URL.canParse(url)) return 'it is no URL; give one such as https://example.com/events'
  const { protocol, username, password, hostname } = new URL(url)
  if (protocol !== 'https:' && protocol !== 'http:')
    return `it begins with ${protocol}; give one that begins with https:`
  // It would end in logs and in answers, and receivers know the sender by the signature.
  if (username || password) return 'it holds a user or a password; leave them out, requests are signed'
  const address = literalAddress(hostname)
  if (privateAddresses || address === null || isPublicAddress(address)) return null
  return privateAddressRefused(address)
}

export const privateAddressRefused = (address: string): string =>
  `${address} is not an address of the public Internet; WEBHOOK_PRIVATE_ADDRESSES=true would allow it`
