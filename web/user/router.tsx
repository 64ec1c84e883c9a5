import {
  createHashHistory,
  createRootRoute,
  createRoute,
  createRouter,
  Navigate,
} from '@tanstack/react-router'
import type { PageData } from '../../src/wire/page.ts'
import { Frame } from './frame.tsx'
import { Library } from './library.tsx'
import { Sessions } from './sessions.tsx'
import { Trouble } from './trouble.tsx'

/** The library's pages. They live in the hash, so that the server needs one address only. */
export function createUserRouter(page: PageData) {
  const root = createRootRoute({
    component: () => <Frame page={page} />,
    notFoundComponent: () => <Navigate to="/" replace />,
  })
  const library = createRoute({ getParentRoute: () => root, path: '/', component: Library })
  const sessions = createRoute({ getParentRoute: () => root, path: '/sessions', component: Sessions })
  return createRouter({
    routeTree: root.addChildren([library, sessions]),
    history: createHashHistory(),
    defaultErrorComponent: ({ error, reset }) => <Trouble error={error} retry={reset} />,
  })
}

declare module '@tanstack/react-router' {
  interface Register {
    router: ReturnType<typeof createUserRouter>
  }
}
