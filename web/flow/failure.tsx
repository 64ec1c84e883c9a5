import { Button } from '@mantine/core'
import { Heading, RequestId } from './parts.tsx'

export interface FailureProps {
  title: string
  message: string
  /** empty when no answer came */
  requestId: string
  /** asks for the current step again */
  retry?(): void
  /** address that begins the flow anew */
  startAgain?: string
}

/** The card for whatever went wrong: says what, gives the request id, and always a way on. */
export function Failure({ title, message, requestId, retry, startAgain }: FailureProps) {
  return (
    <div className="stage">
      <Heading>{title}</Heading>
      <p className="lead" role="alert">
        {message}
      </p>
      <div className="actions">
        {retry !== undefined && (
          <Button fullWidth onClick={retry}>
            Try again
          </Button>
        )}
        <Button
          fullWidth
          component="a"
          variant={retry === undefined ? 'filled' : 'default'}
          href={startAgain ?? location.href}
        >
          Start again
        </Button>
      </div>
      <RequestId id={requestId} />
    </div>
  )
}
