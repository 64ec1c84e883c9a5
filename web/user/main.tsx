import './user.css'
import { QueryCache, QueryClient, QueryClientProvider } from '@tanstack/react-query'
import { RouterProvider } from '@tanstack/react-router'
import { createRoot } from 'react-dom/client'
import { ApiError } from '../shared/api.ts'
import { readPage } from '../shared/page.ts'
import { Theme } from '../shared/theme.tsx'
import { goToSignIn, isSignedOut } from './queries.ts'
import { createUserRouter } from './router.tsx'

const page = readPage()
const client = new QueryClient({
  queryCache: new QueryCache({
    onError: error => {
      if (isSignedOut(error)) goToSignIn()
    },
  }),
  defaultOptions: {
    queries: {
      staleTime: 30_000,
      // What the server refused stays refused; only its absence is worth another try.
      retry: (count, error) =>
        count < 2 && (!(error instanceof ApiError) || error.status === 0 || error.status >= 500),
    },
  },
})
const router = createUserRouter(page)
const root = document.getElementById('root')
if (root !== null) {
  createRoot(root).render(
    <Theme page={page}>
      <QueryClientProvider client={client}>
        <RouterProvider router={router} />
      </QueryClientProvider>
    </Theme>,
  )
}
