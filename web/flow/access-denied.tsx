import { Button } from '@mantine/core'
import { type StageProps, textOf } from './challenge.ts'
import { switchAccountUrl } from './leave.ts'
import { Account, Heading, RequestId } from './parts.tsx'

/** The door stays shut: the reason where the server gives one, and the ways on. */
export function AccessDenied({ challenge, requestId }: StageProps) {
  const known = (challenge.pending_user ?? '') !== ''
  return (
    <div className="stage">
      <Heading>Access denied</Heading>
      <p className="lead" role="alert">
        {textOf(challenge, 'error_message') || 'You may not open this.'}
      </p>
      <Account challenge={challenge} leaveHref={switchAccountUrl()} />
      <div className="actions">
        {history.length > 1 && (
          <Button fullWidth onClick={() => history.back()}>
            Back
          </Button>
        )}
        <Button
          component="a"
          fullWidth
          variant={history.length > 1 ? 'default' : 'filled'}
          href={known ? switchAccountUrl() : '/'}
        >
          {known ? 'Use another account' : 'To the start page'}
        </Button>
      </div>
      <RequestId id={requestId} />
    </div>
  )
}
