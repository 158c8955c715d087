/**
 * Who looks at the pages. The key is held in the memory of this page and nowhere else, so that it ends with it: after a
 * reload it is asked for again. Where nobody has to say who they are, nobody is asked.
 */
import { type ComponentChildren, createContext } from 'preact'
import { useCallback, useContext, useEffect, useMemo, useState } from 'preact/hooks'
import { ErrorBox } from '../components/error-box.js'
import { Loading } from '../components/loading.js'
import { SignIn } from '../shell/sign-in.js'
import { ApiError } from './api-error.js'
import { type AnswerOf, type Api, answerOf, type Credentials, createApi } from './client.js'

export type Me = AnswerOf<'/me'>
export type Scope = Me['scopes'][number]

/** What it takes to see how the service itself is. */
export const OPERATOR: readonly Scope[] = ['events:admin', 'tenants:all']

export type Session = {
  me: Me
  api: Api
  /** whom requests act for if not the tenant of the key */
  actingFor: string | undefined
  /** Whether the credentials have all of `scopes`. */
  can(scopes: readonly Scope[]): boolean
  signOut(): void
  /** Has all requests act for a tenant, or again for that of the key. Throws ApiError and changes nothing if that is not allowed. */
  actFor(tenantId: string | undefined): Promise<void>
}

type Phase =
  | { at: 'asking' }
  | { at: 'failed'; error: unknown }
  | { at: 'outside'; notice: string | null }
  | { at: 'inside'; me: Me; credentials: Credentials }

const NOBODY: Credentials = { key: undefined, tenantId: undefined }

const Context = createContext<Session | null>(null)

/** The session of whoever is signed in; only inside SessionGate. */
export function useSession(): Session {
  const session = useContext(Context)
  if (!session) throw new Error('There is no SessionGate around this component.')
  return session
}

const readMe = (credentials: Credentials): Promise<Me> => answerOf(createApi(credentials).GET('/me'))

/** Shows `children` to whoever is let in, and a form to everybody else. */
export function SessionGate({ children }: { children: ComponentChildren }) {
  const [phase, setPhase] = useState<Phase>({ at: 'asking' })

  const enter = useCallback(async (credentials: Credentials) => {
    setPhase({ at: 'inside', me: await readMe(credentials), credentials })
  }, [])

  const begin = useCallback(() => {
    setPhase({ at: 'asking' })
    enter(NOBODY).catch((error: unknown) => {
      const asked = error instanceof ApiError && error.code === 'UNAUTHENTICATED'
      setPhase(asked ? { at: 'outside', notice: null } : { at: 'failed', error })
    })
  }, [enter])

  useEffect(begin, [begin])

  const session = useMemo((): Session | null => {
    if (phase.at !== 'inside') return null
    const { me, credentials } = phase
    const refused = () =>
      setPhase({ at: 'outside', notice: 'The service does not take these credentials any more. Sign in again.' })
    return {
      me,
      api: createApi(credentials, refused),
      actingFor: credentials.tenantId,
      can: (scopes) => scopes.every((scope) => me.scopes.includes(scope)),
      signOut: () => setPhase({ at: 'outside', notice: null }),
      actFor: (tenantId) => enter({ ...credentials, tenantId })
    }
  }, [phase, enter])

  switch (phase.at) {
    case 'asking':
      return <Loading what="Asking the service who you are" />
    case 'failed':
      return (
        <main class="alone">
          <ErrorBox error={phase.error} onRetry={begin} />
        </main>
      )
    case 'outside':
      return <SignIn notice={phase.notice} onKey={(key) => enter({ key, tenantId: undefined })} />
    case 'inside':
      return <Context.Provider value={session}>{children}</Context.Provider>
  }
}
