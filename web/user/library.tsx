import './library.css'
import { Kbd, Skeleton, TextInput } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'
import { type KeyboardEvent, useEffect, useRef, useState } from 'react'
import { ApplicationCard, launchTarget } from './application-card.tsx'
import { type Application, groupApplications, searchApplications } from './applications.ts'
import { applicationsKey, fetchApplications, fetchMe, isSignedOut, meKey } from './queries.ts'
import { Trouble } from './trouble.tsx'

/** The applications this user may open. */
export function Library() {
  const me = useQuery({ queryKey: meKey, queryFn: fetchMe })
  const applications = useQuery({ queryKey: applicationsKey, queryFn: fetchApplications })
  const [typed, setTyped] = useState('')
  const search = useRef<HTMLInputElement>(null)
  useSlashKey(search)

  const all = applications.data ?? []
  const found = searchApplications(all, typed)
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key === 'Escape') setTyped('')
    const first = event.key === 'Enter' ? firstShown(found, typed) : undefined
    if (first !== undefined) open(first)
  }
  return (
    <>
      <div className="page-head">
        <h1>My applications</h1>
        {all.length > 0 && (
          <TextInput
            ref={search}
            className="search"
            type="search"
            aria-label="Search applications"
            placeholder="Search"
            value={typed}
            onChange={event => setTyped(event.currentTarget.value)}
            onKeyDown={onKeyDown}
            rightSection={typed === '' ? <Kbd aria-hidden>/</Kbd> : undefined}
            rightSectionPointerEvents="none"
            autoComplete="off"
          />
        )}
      </div>
      <p className="visually-hidden" role="status">
        {typed === '' ? '' : `${found.length} of ${all.length} applications`}
      </p>
      {applications.isPending && <Loading />}
      {applications.isError && !isSignedOut(applications.error) && (
        <Trouble error={applications.error} retry={() => void applications.refetch()} />
      )}
      {applications.isSuccess && all.length === 0 && <Empty administrator={me.data?.is_superuser === true} />}
      {all.length > 0 && found.length === 0 && (
        <p className="quiet">
          Nothing here is called “{typed.trim()}”. Press Escape to see everything again.
        </p>
      )}
      {typed.trim() === '' ? <Groups applications={all} /> : <Cards applications={found} />}
    </>
  )
}

function Groups({ applications }: { applications: Application[] }) {
  return groupApplications(applications).map(group => (
    <section key={group.name} aria-label={group.name || 'Applications'}>
      {group.name !== '' && <h2>{group.name}</h2>}
      <Cards applications={group.applications} />
    </section>
  ))
}

function Cards({ applications }: { applications: Application[] }) {
  return (
    <ul className="cards">
      {applications.map(application => (
        <li key={application.pk}>
          <ApplicationCard application={application} />
        </li>
      ))}
    </ul>
  )
}

function Loading() {
  return (
    <div className="cards" role="status" aria-label="Loading your applications">
      {[1, 2, 3, 4].map(number => (
        <Skeleton key={number} height={86} radius="md" />
      ))}
    </div>
  )
}

function Empty({ administrator }: { administrator: boolean }) {
  return (
    <div className="empty">
      <svg viewBox="0 0 120 96" width="120" height="96" aria-hidden="true" focusable="false">
        <path
          className="empty-wall"
          d="M4 92h112M4 68h34M82 68h34M4 44h34M82 44h34M22 92V68M98 92V68M14 68V44M106 68V44"
        />
        <path className="empty-door" d="M44 92V46a16 16 0 0 1 32 0v46" />
      </svg>
      <h2>No applications yet</h2>
      <p className="quiet">
        {administrator
          ? 'Create an application with a launch URL, or bind yourself to one, and it appears here.'
          : 'When somebody gives you access to an application, it appears here. Ask your administrator if one is missing.'}
      </p>
    </div>
  )
}

/** The first card in the order shown. */
function firstShown(found: Application[], typed: string): Application | undefined {
  return typed.trim() === '' ? undefined : found[0]
}

function open(application: Application) {
  const target = launchTarget(application)
  if (target === undefined) return
  if (application.open_in_new_tab) window.open(target, '_blank', 'noopener,noreferrer')
  else location.assign(target)
}

/** `/` moves to the search from anywhere but a field. */
function useSlashKey(search: { current: HTMLInputElement | null }) {
  useEffect(() => {
    const onKey = (event: globalThis.KeyboardEvent) => {
      const typing =
        event.target instanceof HTMLElement && event.target.closest('input, textarea, select') !== null
      if (event.key !== '/' || typing || event.ctrlKey || event.metaKey || event.altKey) return
      event.preventDefault()
      search.current?.focus()
    }
    addEventListener('keydown', onKey)
    return () => removeEventListener('keydown', onKey)
  }, [search])
}
