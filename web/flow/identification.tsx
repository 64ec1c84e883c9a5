import { Button, Checkbox, TextInput } from '@mantine/core'
import { useState } from 'react'
import { errorFor, listOf, otherErrors, type StageProps, textOf } from './challenge.ts'
import { linkOf } from './leave.ts'
import { ErrorSummary, formText, Heading, SecretField, StageForm } from './parts.tsx'
import { forgetUsername, rememberedUsername, rememberUsername } from './remember.ts'

/** Who are you? With the password on the same page when the stage says so. */
export function Identification({ challenge, busy, submit }: StageProps) {
  const withPassword = challenge.password_fields === true
  const offerRemember = challenge.enable_remember_me === true
  const [remembered] = useState(() => (offerRemember ? rememberedUsername() : ''))
  const known = textOf(challenge, 'pending_user_identifier') || remembered
  const application = textOf(challenge, 'application_pre')
  const fields = kindsOf(challenge.user_fields)

  const onAnswer = (form: FormData) => {
    const name = formText(form, 'uid_field').trim()
    if (offerRemember && form.has('remember')) rememberUsername(name)
    if (offerRemember && !form.has('remember')) forgetUsername()
    submit(withPassword ? { uid_field: name, password: formText(form, 'password') } : { uid_field: name })
  }
  return (
    <StageForm busy={busy} onAnswer={onAnswer}>
      <Heading>{challenge.flow_info?.title || 'Sign in'}</Heading>
      {application !== '' && (
        <p className="lead">
          to go on to <strong>{application}</strong>
        </p>
      )}
      <ErrorSummary messages={otherErrors(challenge, ['uid_field', 'password'])} />
      {fields.length > 0 && (
        <TextInput
          name="uid_field"
          label={labelFor(fields)}
          type={fields.length === 1 && fields[0] === 'email' ? 'email' : 'text'}
          autoComplete="username"
          autoCapitalize="none"
          autoCorrect="off"
          spellCheck={false}
          required
          withAsterisk={false}
          defaultValue={known}
          error={errorFor(challenge, 'uid_field')}
          data-first={withPassword && known !== '' ? undefined : true}
        />
      )}
      {withPassword && (
        <SecretField
          name="password"
          label="Password"
          autoComplete="current-password"
          required
          reveal={challenge.allow_show_password === true}
          challenge={challenge}
          error={errorFor(challenge, 'password')}
          first={known !== ''}
        />
      )}
      {offerRemember && (
        <Checkbox
          name="remember"
          label="Remember my user name on this device"
          defaultChecked={remembered !== ''}
        />
      )}
      {fields.length > 0 && (
        <Button type="submit" fullWidth loading={busy}>
          {textOf(challenge, 'primary_action') || 'Continue'}
        </Button>
      )}
      <Sources challenge={challenge} />
      <Links challenge={challenge} />
    </StageForm>
  )
}

/** Sign-in through somebody else, for sources that are a plain redirect. */
function Sources({ challenge }: { challenge: StageProps['challenge'] }) {
  const sources = listOf(challenge, 'sources').flatMap(source => {
    const next = source.challenge as { component?: unknown; to?: unknown } | undefined
    const href = next?.component === 'xak-flow-redirect' ? linkOf(next.to) : undefined
    return href !== undefined && typeof source.name === 'string' ? [{ name: source.name, href }] : []
  })
  if (sources.length === 0) return null
  return (
    <div className="actions">
      {sources.map(source => (
        <Button key={source.href} component="a" href={source.href} variant="default" fullWidth>
          Continue with {source.name}
        </Button>
      ))}
    </div>
  )
}

function Links({ challenge }: { challenge: StageProps['challenge'] }) {
  const recovery = linkOf(challenge.recovery_url)
  const enroll = linkOf(challenge.enroll_url)
  const passwordless = linkOf(challenge.passwordless_url)
  if (recovery === undefined && enroll === undefined && passwordless === undefined) return null
  return (
    <p className="links">
      {recovery !== undefined && <a href={recovery}>Forgot your password?</a>}
      {passwordless !== undefined && <a href={passwordless}>Use a security key</a>}
      {enroll !== undefined && <a href={enroll}>Create an account</a>}
    </p>
  )
}

function kindsOf(value: unknown): string[] {
  return Array.isArray(value) ? value.filter(kind => typeof kind === 'string') : []
}

function labelFor(kinds: string[]): string {
  const names = kinds.map(kind => (kind === 'email' ? 'email address' : kind === 'upn' ? 'UPN' : 'user name'))
  const text = names.length > 2 ? `${names.slice(0, -1).join(', ')} or ${names.at(-1)}` : names.join(' or ')
  return text.charAt(0).toUpperCase() + text.slice(1)
}
