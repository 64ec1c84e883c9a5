import { type StageProps, textOf } from './challenge.ts'
import { Failure } from './failure.tsx'
import { startAgainUrl } from './leave.ts'

/** The server met an error in this flow. Details come along for administrators only. */
export function FlowError({ challenge, requestId }: StageProps) {
  const trace = textOf(challenge, 'traceback')
  return (
    <>
      <Failure
        title="Something went wrong"
        message={textOf(challenge, 'error') || 'The server met an unexpected error. It has been logged.'}
        requestId={textOf(challenge, 'request_id') || requestId}
        startAgain={startAgainUrl(challenge.flow_info)}
      />
      {trace !== '' && <pre className="trace">{trace}</pre>}
    </>
  )
}
