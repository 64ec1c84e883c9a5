import './sessions.css'
import { Button, Skeleton } from '@mantine/core'
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import { useState } from 'react'
import {
  endSession,
  fetchMe,
  fetchSessions,
  goToSignIn,
  isSignedOut,
  meKey,
  type Session,
  sessionsKey,
} from './queries.ts'
import { Trouble } from './trouble.tsx'

/** Where this user is signed in, and the way to end any of it. */
export function Sessions() {
  const client = useQueryClient()
  const me = useQuery({ queryKey: meKey, queryFn: fetchMe })
  const user = me.data?.pk
  const sessions = useQuery({
    queryKey: sessionsKey,
    queryFn: () => fetchSessions(user ?? -1),
    enabled: user !== undefined,
  })
  const ending = useMutation({
    mutationFn: async (chosen: Session[]) => {
      for (const session of chosen) await endSession(session.uuid)
      return chosen.some(session => session.current)
    },
    onSuccess: endedMine => (endedMine ? goToSignIn() : undefined),
    onError: error => (isSignedOut(error) ? goToSignIn() : undefined),
    onSettled: () => client.invalidateQueries({ queryKey: sessionsKey }),
  })
  const others = (sessions.data ?? []).filter(session => !session.current)
  return (
    <>
      <div className="page-head">
        <h1>Sessions</h1>
        {others.length > 1 && (
          <Confirmed
            label="End all others"
            question="End all other sessions?"
            busy={ending.isPending}
            onConfirm={() => ending.mutate(others)}
          />
        )}
      </div>
      <p className="quiet">
        Every browser that is signed in with your account. End those you do not know; their applications close
        with them.
      </p>
      {ending.isError && !isSignedOut(ending.error) && <Trouble error={ending.error} />}
      {sessions.isPending && <Skeleton height={160} radius="md" />}
      {sessions.isError && !isSignedOut(sessions.error) && (
        <Trouble error={sessions.error} retry={() => void sessions.refetch()} />
      )}
      {sessions.isSuccess && (
        <ul className="sessions">
          {sessions.data.map(session => (
            <SessionRow
              key={session.uuid}
              session={session}
              busy={ending.isPending}
              onEnd={() => ending.mutate([session])}
            />
          ))}
        </ul>
      )}
    </>
  )
}

function SessionRow({ session, busy, onEnd }: { session: Session; busy: boolean; onEnd(): void }) {
  const place = [session.geo_ip?.city, session.geo_ip?.country].filter(Boolean).join(', ')
  return (
    <li>
      <div className="session-text">
        <span className="session-name">
          {nameOf(session)}
          {session.current && <span className="here">this one</span>}
        </span>
        <span className="quiet">{[session.last_ip, place].filter(Boolean).join(' · ')}</span>
        <span className="quiet">
          Last used <Moment iso={session.last_used} />, ends <Moment iso={session.expires} />
        </span>
      </div>
      <Confirmed
        label="End"
        accessibleLabel={`End session: ${nameOf(session)}, ${session.last_ip}`}
        question={session.current ? 'Sign yourself out here?' : 'End this session?'}
        busy={busy}
        onConfirm={onEnd}
      />
    </li>
  )
}

interface ConfirmedProps {
  label: string
  accessibleLabel?: string
  question: string
  busy: boolean
  onConfirm(): void
}

/** A button that asks once more, in its own place. Escape and “Keep” lead back. */
function Confirmed({ label, accessibleLabel, question, busy, onConfirm }: ConfirmedProps) {
  const [asking, setAsking] = useState(false)
  if (!asking) {
    return (
      <Button
        variant="default"
        size="compact-sm"
        disabled={busy}
        aria-label={accessibleLabel}
        onClick={() => setAsking(true)}
      >
        {label}
      </Button>
    )
  }
  return (
    <fieldset className="confirm" onKeyDown={event => event.key === 'Escape' && setAsking(false)}>
      <legend>{question}</legend>
      <Button
        className="danger"
        size="compact-sm"
        autoFocus
        loading={busy}
        onClick={() => {
          setAsking(false)
          onConfirm()
        }}
      >
        End
      </Button>
      <Button variant="default" size="compact-sm" onClick={() => setAsking(false)}>
        Keep
      </Button>
    </fieldset>
  )
}

function Moment({ iso }: { iso: string }) {
  const date = new Date(iso)
  if (Number.isNaN(date.getTime())) return <span>unknown</span>
  const text = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'short' }).format(date)
  return <time dateTime={iso}>{text}</time>
}

function nameOf(session: Session): string {
  const browser = session.user_agent?.user_agent?.family ?? ''
  const system = session.user_agent?.os?.family ?? ''
  if (browser === '' && system === '') return 'Unknown browser'
  return [browser || 'Unknown browser', system].filter(text => text !== '').join(' on ')
}
