/** API keys for tests, and the operations of the contract with what they need. */
import type { FastifyInstance } from 'fastify'
import type { Scope } from '../../src/domain/access.js'
import type { TestService } from './service.js'

/** Key of the operator: all scopes, default tenant. */
export const ADMIN_KEY = 'test-admin-key-0123456789-abcdefghij'
export const GUARDED = { BOOTSTRAP_ADMIN_KEY: ADMIN_KEY }

export const bearing = (key: string): Record<string, string> => ({ authorization: `Bearer ${key}` })

/** Makes a key as the operator, for a tenant, and returns the headers that carry it. */
export async function keyOf(
  { post }: TestService,
  scopes: readonly Scope[],
  { tenantId, name = 'test' }: { tenantId?: string; name?: string } = {}
): Promise<{ authorization: string }> {
  const headers = { ...bearing(ADMIN_KEY), ...(tenantId ? { 'x-tenant-id': tenantId } : {}) }
  const { data, statusCode } = await post('/admin/api-keys', { name, scopes }, headers)
  if (statusCode !== 201) throw new Error(JSON.stringify(data))
  return { authorization: `Bearer ${data.key}` }
}

export type Operation = { method: 'GET' | 'POST' | 'PUT' | 'DELETE'; path: string; id: string; scopes: Scope[] | null }

type Described = { operationId: string; security?: { credentials: Scope[] }[] }

/** All operations of the contract; `scopes` is null where nothing is needed. */
export function operationsOf(app: FastifyInstance): Operation[] {
  const { paths } = app.swagger() as unknown as { paths: Record<string, Record<string, Described>> }
  return Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, { operationId, security }]) => ({
      method: method.toUpperCase() as Operation['method'],
      path,
      id: operationId,
      scopes: security?.[0]?.credentials ?? null
    }))
  )
}
