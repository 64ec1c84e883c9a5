import { Button } from '@mantine/core'
import { ApiError } from '../shared/api.ts'

/** Says what could not be loaded or done, with the request's id and another try. */
export function Trouble({ error, retry }: { error: unknown; retry?: () => void }) {
  const known = error instanceof ApiError ? error : undefined
  return (
    <div className="trouble" role="alert">
      <p>{known?.message ?? 'This page met an unexpected error.'}</p>
      {known !== undefined && known.requestId !== '' && (
        <p className="quiet">
          Request <code>{known.requestId}</code>
        </p>
      )}
      {retry !== undefined && (
        <Button variant="default" onClick={retry}>
          Try again
        </Button>
      )}
    </div>
  )
}
