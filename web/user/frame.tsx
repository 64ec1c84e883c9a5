import { Button } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'
import { Link, Outlet, useRouterState } from '@tanstack/react-router'
import { useEffect } from 'react'
import type { PageData } from '../../src/wire/page.ts'
import { BrandLogo } from '../shared/mark.tsx'
import { ThemeSwitch } from '../shared/theme-switch.tsx'
import { fetchMe, isSignedOut, meKey, signOutUrl } from './queries.ts'
import { Trouble } from './trouble.tsx'

/** What is on every page: the brand, the pages, the theme, who is signed in, and the way out. */
export function Frame({ page }: { page: PageData }) {
  const me = useQuery({ queryKey: meKey, queryFn: fetchMe })
  const path = useRouterState({ select: state => state.location.pathname })
  const brand = page.brand.branding_title
  useEffect(() => {
    document.title = `${path === '/sessions' ? 'Sessions' : 'My applications'} – ${brand}`
  }, [path, brand])
  return (
    <>
      <button type="button" className="skip" onClick={() => document.getElementById('main')?.focus()}>
        Skip to the content
      </button>
      <header className="top">
        <div className="top-inner">
          <Link className="home" to="/" activeProps={{}}>
            <BrandLogo brand={page.brand} size={34} />
            <span className="home-name">{brand}</span>
          </Link>
          <nav aria-label="Pages">
            <Link to="/" activeOptions={{ exact: true }}>
              Applications
            </Link>
            <Link to="/sessions">Sessions</Link>
          </nav>
          <div className="top-end">
            {me.data !== undefined && (
              <span className="who" title={me.data.email || me.data.username}>
                {me.data.name || me.data.username}
              </span>
            )}
            <ThemeSwitch />
            <Button component="a" href={signOutUrl} variant="default" size="compact-sm">
              Sign out
            </Button>
          </div>
        </div>
      </header>
      <main id="main" className="page" tabIndex={-1}>
        {me.isSuccess && <Outlet />}
        {me.isError && !isSignedOut(me.error) && <Trouble error={me.error} retry={() => void me.refetch()} />}
        {(me.isPending || isSignedOut(me.error)) && (
          <p className="quiet" role="status">
            One moment…
          </p>
        )}
      </main>
    </>
  )
}
