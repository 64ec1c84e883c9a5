import { ApiError, callApi } from '../shared/api.ts'
import type { Application } from './applications.ts'

export interface Me {
  pk: number
  username: string
  name: string
  email: string
  avatar: string
  is_superuser: boolean
}

/** The fields of `GET /api/v3/core/authenticated_sessions/` the page reads. */
export interface Session {
  uuid: string
  current: boolean
  user: number
  user_agent?: {
    device?: { family?: string }
    os?: { family?: string }
    user_agent?: { family?: string; major?: string | null }
  }
  geo_ip: { city?: string; country?: string } | null
  last_ip: string
  last_used: string
  expires: string
}

export const meKey = ['me'] as const
export const applicationsKey = ['applications'] as const
export const sessionsKey = ['sessions'] as const

/** Who is signed in. @throws ApiError */
export async function fetchMe(): Promise<Me> {
  const { body } = await callApi('GET', '/api/v3/core/users/me/')
  return (body as { user: Me }).user
}

/** All applications the user may open and that have an address. @throws ApiError */
export function fetchApplications(): Promise<Application[]> {
  return fetchAll<Application>('/api/v3/core/applications/?only_with_launch_url=true')
}

/** The user's own sessions; an administrator's list holds everybody's, hence the filter. @throws ApiError */
export async function fetchSessions(user: number): Promise<Session[]> {
  const sessions = await fetchAll<Session>('/api/v3/core/authenticated_sessions/')
  return sessions
    .filter(session => session.user === user)
    .sort((a, b) => Number(b.current) - Number(a.current) || b.last_used.localeCompare(a.last_used))
}

/** Ends one session. @throws ApiError, except when it is gone already */
export async function endSession(uuid: string): Promise<void> {
  try {
    await callApi('DELETE', `/api/v3/core/authenticated_sessions/${encodeURIComponent(uuid)}/`)
  } catch (error) {
    if (!(error instanceof ApiError) || error.status !== 404) throw error
  }
}

/** Whether an error means that nobody is signed in. */
export function isSignedOut(error: unknown): boolean {
  return error instanceof ApiError && error.code === 'not_authenticated'
}

/** Opens the sign-in page, which leads back here. */
export function goToSignIn(): void {
  const next = location.pathname + location.search + location.hash
  location.assign(`/flows/-/default/authentication/?next=${encodeURIComponent(next)}`)
}

export const signOutUrl = '/flows/-/default/invalidation/'

async function fetchAll<Row>(path: string): Promise<Row[]> {
  const rows: Row[] = []
  for (let page = 1; page > 0; ) {
    const separator = path.includes('?') ? '&' : '?'
    const { body } = await callApi(
      'GET',
      `${path}${separator}page_size=100${page > 1 ? `&page=${page}` : ''}`,
    )
    const envelope = body as { pagination?: { next?: number }; results: Row[] }
    rows.push(...envelope.results)
    const next = envelope.pagination?.next ?? 0
    page = next > page ? next : 0
  }
  return rows
}
