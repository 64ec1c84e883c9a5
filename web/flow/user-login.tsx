import { Button } from '@mantine/core'
import { otherErrors, type StageProps } from './challenge.ts'
import { startAgainUrl } from './leave.ts'
import { Account, ErrorSummary, Heading, StageForm } from './parts.tsx'

/** Stay signed in? Asked only where the server offers it. */
export function UserLogin({ challenge, busy, submit }: StageProps) {
  return (
    <StageForm busy={busy} onAnswer={() => submit({ remember_me: true })}>
      <Heading>Stay signed in?</Heading>
      <Account challenge={challenge} leaveHref={startAgainUrl(challenge.flow_info)} />
      <ErrorSummary messages={otherErrors(challenge, [])} />
      <p className="lead">Choose “Yes” only on a device that is yours.</p>
      <div className="actions">
        <Button type="submit" fullWidth loading={busy} data-first>
          Yes, on this device
        </Button>
        <Button
          type="button"
          fullWidth
          variant="default"
          disabled={busy}
          onClick={() => submit({ remember_me: false })}
        >
          No
        </Button>
      </div>
    </StageForm>
  )
}
