/** Parts that only some settings ask for. Their libraries are loaded only then. */
import { type Config, tracesUrlOf } from './config.js'
import type { JwtVerifier } from './edge/jwt.js'
import type { RedisCache } from './edge/redis-cache.js'
import type { RedisCounter } from './edge/redis-counter.js'
import type { Metrics } from './observe/metrics.js'
import { type Tracer, untraced } from './observe/tracing.js'
import { StartError } from './start-error.js'

/** What instances share in Redis. The client is loaded only where there is one. Throws StartError when `url` is no address. */
export async function openShared(
  url: string | undefined,
  onTrouble: Metrics['cacheTrouble']
): Promise<{ cache: RedisCache; counter: RedisCounter } | null> {
  if (url === undefined) return null
  const { openRedisCache } = await import('./edge/redis-cache.js')
  const { openRedisCounter } = await import('./edge/redis-counter.js')
  try {
    return { cache: openRedisCache({ url, onTrouble }), counter: openRedisCounter({ url }) }
  } catch (cause) {
    throw new StartError('REDIS_URL is no address of a Redis: expected redis://user:password@host:port/number.', {
      cause
    })
  }
}

/** The library is loaded only where tokens are used; null where they are not. Throws StartError when JWT_PUBLIC_KEY is no key. */
export async function openJwtVerifierOf(
  config: Config,
  log: { onRefused(reason: string): void; onKeysTrouble(reason: string): void }
): Promise<JwtVerifier | null> {
  const { JWT_JWKS_URL: url, JWT_PUBLIC_KEY: publicKey, JWT_ISSUER: issuer, JWT_AUDIENCE: audience } = config
  const keys = url !== undefined ? { url } : publicKey !== undefined ? { publicKey } : null
  if (!keys || issuer === undefined || audience === undefined) return null
  const { openJwtVerifier } = await import('./edge/jwt.js')
  const claims = {
    tenant: config.JWT_TENANT_CLAIM,
    scope: config.JWT_SCOPE_CLAIM,
    scopePrefix: config.JWT_SCOPE_PREFIX ?? ''
  }
  try {
    return openJwtVerifier({ keys, issuer, audience, clockSkewS: config.JWT_CLOCK_SKEW_S, claims, ...log })
  } catch (cause) {
    throw new StartError(
      `JWT_PUBLIC_KEY is no key that tokens can be verified with: expected PEM of a public key (SPKI) or a certificate (X.509), or a JWK as JSON; ${(cause as Error).message}.`,
      { cause }
    )
  }
}

/**
 * OpenTelemetry is loaded only where traces have somewhere to go. `onTrouble` is told when they begin not to arrive, with a reason that
 * holds nothing of them.
 */
export async function openTracerOf(
  config: Config,
  about: { version: string; instance: string; onTrouble: (reason: string) => void }
): Promise<Tracer> {
  const url = tracesUrlOf(config)
  if (url === null) return untraced
  const { openOpenTelemetry } = await import('./observe/open-telemetry.js')
  return openOpenTelemetry({ url, serviceName: config.OTEL_SERVICE_NAME, ...about })
}
