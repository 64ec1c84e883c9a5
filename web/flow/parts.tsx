import { PasswordInput, TextInput } from '@mantine/core'
import { type FormEvent, type ReactNode, useEffect, useRef } from 'react'
import type { Challenge } from './challenge.ts'

/** The step's heading; it takes focus when the step has no field. */
export function Heading({ children }: { children: ReactNode }) {
  return (
    <h1 className="title" tabIndex={-1}>
      {children}
    </h1>
  )
}

/** What an operator needs to find the request in the log; nothing when there is no id. */
export function RequestId({ id }: { id: string }) {
  if (id === '') return null
  return (
    <p className="request-id">
      Request <code>{id}</code>
    </p>
  )
}

/** Messages that belong to no shown field; it takes focus when it appears. */
export function ErrorSummary({ messages }: { messages: string[] }) {
  if (messages.length === 0) return null
  return (
    <div className="errors" role="alert" tabIndex={-1} data-error-summary>
      {messages.map(message => (
        <p key={message}>{message}</p>
      ))}
    </div>
  )
}

/** Who is signing in, with a way out when it is somebody else. */
export function Account({ challenge, leaveHref }: { challenge: Challenge; leaveHref: string }) {
  const name = challenge.pending_user ?? ''
  if (name === '') return null
  const picture = challenge.pending_user_avatar ?? ''
  return (
    <div className="account">
      {picture === '' ? (
        <span className="account-initial" aria-hidden="true">
          {[...name][0]?.toUpperCase()}
        </span>
      ) : (
        <img src={picture} alt="" width={32} height={32} />
      )}
      <span className="account-name">{name}</span>
      <a href={leaveHref}>Not you?</a>
    </div>
  )
}

interface StageFormProps {
  busy: boolean
  /** form fields by name; called once per submit, never while an answer is on its way */
  onAnswer(fields: FormData): void
  children: ReactNode
}

/** A real form, so that password managers and the Enter key work as everywhere. The server judges, the browser does not. */
export function StageForm({ busy, onAnswer, children }: StageFormProps) {
  const onSubmit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault()
    if (!busy) onAnswer(new FormData(event.currentTarget))
  }
  return (
    <form className="stage" method="post" onSubmit={onSubmit} noValidate>
      {children}
    </form>
  )
}

interface SecretFieldProps {
  name: string
  label: string
  description?: string
  autoComplete: 'current-password' | 'new-password'
  error: string | undefined
  required: boolean
  /** takes focus when the step appears */
  first?: boolean
  /** offer a button that shows what was typed */
  reveal: boolean
  /** the challenge it belongs to; a new one with errors empties the field */
  challenge: Challenge
}

/** A password field. A refused password is emptied, so that typing starts afresh. */
export function SecretField({ reveal, challenge, first, ...field }: SecretFieldProps) {
  const input = useRef<HTMLInputElement>(null)
  useEffect(() => {
    if (challenge.response_errors !== undefined && input.current !== null) input.current.value = ''
  }, [challenge])
  const shared = { ...field, ref: input, withAsterisk: false, 'data-first': first || undefined }
  if (!reveal) return <TextInput {...shared} type="password" />
  return (
    <PasswordInput
      {...shared}
      aria-invalid={field.error !== undefined || undefined}
      visibilityToggleButtonProps={{ 'aria-label': 'Show or hide the password', tabIndex: 0 }}
    />
  )
}

/** Tells password managers whose password the next field asks for. */
export function HiddenUsername({ value }: { value: string }) {
  return (
    <input
      className="visually-hidden"
      type="text"
      name="username"
      autoComplete="username"
      value={value}
      readOnly
      tabIndex={-1}
      aria-hidden="true"
    />
  )
}

/** A text of a form; files and missing fields are empty. */
export function formText(fields: FormData, name: string): string {
  const value = fields.get(name)
  return typeof value === 'string' ? value : ''
}
