import { Button } from '@mantine/core'
import { errorFor, otherErrors, type StageProps } from './challenge.ts'
import { linkOf, startAgainUrl } from './leave.ts'
import { Account, ErrorSummary, formText, Heading, HiddenUsername, SecretField, StageForm } from './parts.tsx'

/** The password, on a page of its own. */
export function Password({ challenge, busy, submit }: StageProps) {
  const recovery = linkOf(challenge.recovery_url)
  return (
    <StageForm busy={busy} onAnswer={form => submit({ password: formText(form, 'password') })}>
      <Heading>{challenge.flow_info?.title || 'Enter your password'}</Heading>
      <Account challenge={challenge} leaveHref={startAgainUrl(challenge.flow_info)} />
      <ErrorSummary messages={otherErrors(challenge, ['password'])} />
      <HiddenUsername value={challenge.pending_user ?? ''} />
      <SecretField
        name="password"
        label="Password"
        autoComplete="current-password"
        required
        reveal={challenge.allow_show_password === true}
        challenge={challenge}
        error={errorFor(challenge, 'password')}
        first
      />
      <Button type="submit" fullWidth loading={busy}>
        Continue
      </Button>
      {recovery !== undefined && (
        <p className="links">
          <a href={recovery}>Forgot your password?</a>
        </p>
      )}
    </StageForm>
  )
}
