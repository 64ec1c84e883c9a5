import { useCallback, useEffect, useRef, useState } from 'react'
import type { PageData } from '../../src/wire/page.ts'
import { ApiError } from '../shared/api.ts'
import { safeTarget } from '../shared/target.ts'
import type { Answer } from './challenge.ts'
import { Doorway } from './doorway.tsx'
import { fetchStep, type Step, sendAnswer } from './executor.ts'
import { Failure, type FailureProps } from './failure.tsx'
import { startAgainUrl } from './leave.ts'
import { stageFor } from './stages.tsx'

type View =
  | { kind: 'loading' }
  | { kind: 'step'; step: Step; turn: number }
  | { kind: 'leaving' }
  | { kind: 'failed'; failure: FailureProps }

/** The driver: get a challenge, show its element, send the answer, show what comes back, follow the last redirect. */
export function Flow({ page }: { page: PageData }) {
  const slug = page.flow?.slug ?? ''
  const [view, setView] = useState<View>({ kind: 'loading' })
  const [busy, setBusy] = useState(false)
  const [announcement, setAnnouncement] = useState('')
  const pending = useRef(false)
  const content = useRef<HTMLDivElement>(null)
  const lastStep = useRef<Step | null>(null)

  const run = useCallback(async (call: () => Promise<Step>) => {
    if (pending.current) return
    pending.current = true
    setBusy(true)
    try {
      const step = await call()
      lastStep.current = step
      setView(previous => viewOf(step, previous))
    } catch (error) {
      setView({ kind: 'failed', failure: failureOf(error) })
    } finally {
      pending.current = false
      setBusy(false)
    }
  }, [])

  const load = useCallback(() => void run(() => fetchStep(slug, location.search)), [run, slug])
  useEffect(load, [load])

  // The back button may bring this page back as it was, with an old challenge.
  useEffect(() => {
    const onShow = (event: PageTransitionEvent) => {
      if (event.persisted) load()
    }
    addEventListener('pageshow', onShow)
    return () => removeEventListener('pageshow', onShow)
  }, [load])

  useEffect(() => {
    if (view.kind === 'loading' || view.kind === 'leaving') return
    const heading = content.current?.querySelector('h1')?.textContent ?? ''
    document.title = [heading, page.brand.branding_title].filter(text => text !== '').join(' – ')
    setAnnouncement(heading)
    focusFirst(content.current)
  }, [view, page])

  const submit = (answer: Answer) => {
    const step = lastStep.current
    if (step !== null) void run(() => sendAnswer(slug, location.search, step, answer))
  }
  const info = lastStep.current?.challenge.flow_info
  return (
    <Doorway page={page} info={info} busy={busy || view.kind === 'loading' || view.kind === 'leaving'}>
      <div ref={content}>
        {view.kind === 'step' && <Stage key={view.turn} step={view.step} busy={busy} submit={submit} />}
        {view.kind === 'failed' && (
          <Failure retry={load} startAgain={startAgainUrl(info)} {...view.failure} />
        )}
        {view.kind === 'loading' && <p className="waiting">One moment…</p>}
        {view.kind === 'leaving' && <p className="waiting">Taking you there…</p>}
      </div>
      <div className="visually-hidden" role="status" aria-live="polite">
        {announcement}
      </div>
    </Doorway>
  )
}

function Stage({ step, busy, submit }: { step: Step; busy: boolean; submit(answer: Answer): void }) {
  const Element = stageFor(step.challenge.component)
  if (Element === undefined) {
    return (
      <Failure
        title="This step cannot be shown"
        message={`This page does not know the step “${step.challenge.component}”.`}
        requestId={step.requestId}
        startAgain={startAgainUrl(step.challenge.flow_info)}
      />
    )
  }
  return <Element challenge={step.challenge} requestId={step.requestId} busy={busy} submit={submit} />
}

/** The same challenge with new errors keeps its element, so that nothing typed is lost; another challenge gets a new one. */
function viewOf(step: Step, previous: View): View {
  const { challenge } = step
  if (challenge.component === 'xak-flow-redirect') return follow(step)
  const same =
    previous.kind === 'step' &&
    previous.step.challenge.component === challenge.component &&
    challenge.response_errors !== undefined
  const turn = previous.kind === 'step' ? previous.turn : 0
  return { kind: 'step', step, turn: same ? turn : turn + 1 }
}

function follow({ challenge, requestId }: Step): View {
  const to = typeof challenge.to === 'string' ? challenge.to : ''
  const target = safeTarget(to, location.origin, challenge.final_redirect === true)
  if (target === null) {
    const message = 'The address this sign-in leads to is not one a browser may be sent to.'
    return { kind: 'failed', failure: { title: 'This link cannot be followed', message, requestId } }
  }
  location.assign(target)
  return { kind: 'leaving' }
}

function failureOf(error: unknown): FailureProps {
  if (error instanceof ApiError) {
    const failure = { title: titleFor(error.status), message: error.message, requestId: error.requestId }
    // A refusal is most often an old CSRF cookie; only loading the page anew brings a fresh one.
    return error.status === 403 ? { ...failure, retry: () => location.reload() } : failure
  }
  return { title: 'Something went wrong', message: 'This page met an unexpected error.', requestId: '' }
}

function titleFor(status: number): string {
  if (status === 0) return 'No connection'
  if (status === 403) return 'Request refused'
  if (status === 404) return 'Not found'
  if (status === 429) return 'Slow down a little'
  return 'Something went wrong'
}

/** Errors first, then the first field to fill in, then the heading, so that a screen reader starts in the right place. */
function focusFirst(root: HTMLElement | null) {
  const target =
    root?.querySelector<HTMLElement>('[data-error-summary]') ??
    root?.querySelector<HTMLElement>('[aria-invalid="true"]') ??
    root?.querySelector<HTMLElement>('[data-first]') ??
    root?.querySelector<HTMLElement>(
      'input:not([type="hidden"]):not([tabindex="-1"]):not([readonly]), textarea, select',
    ) ??
    root?.querySelector<HTMLElement>('h1')
  target?.focus()
}
