// Which lane of the database pool a request goes in: what the admin interface lists may fill the general one, never the one people sign in by.
import type { Lane } from '../pg/lane.ts'

/** API paths that are part of signing in, or that every page asks for. */
const ofLogin = [
  '/api/v3/flows/executor/',
  '/api/v3/root/',
  '/api/v3/core/brands/current/',
  '/api/v3/core/users/me/',
]

/** @param url path and query of the request */
export function laneOf(url: string): Lane {
  if (!url.startsWith('/api/')) return 'login'
  return ofLogin.some(path => url.startsWith(path)) ? 'login' : 'general'
}
