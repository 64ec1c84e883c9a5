import { Button } from '@mantine/core'
import { listOf, otherErrors, type StageProps, textOf } from './challenge.ts'
import { cancelUrl, switchAccountUrl } from './leave.ts'
import { Account, ErrorSummary, Heading, StageForm } from './parts.tsx'

/** What an application will learn, and about whom, before anything is told. */
export function Consent({ challenge, busy, submit }: StageProps) {
  const before = listOf(challenge, 'permissions')
  const added = listOf(challenge, 'additional_permissions')
  const asked = before.length + added.length
  return (
    <StageForm busy={busy} onAnswer={() => submit({ token: textOf(challenge, 'token') })}>
      <Heading>{textOf(challenge, 'header_text') || challenge.flow_info?.title || 'Go on?'}</Heading>
      <Account challenge={challenge} leaveHref={switchAccountUrl()} />
      <ErrorSummary messages={otherErrors(challenge, [])} />
      {asked > 0 && (
        <div className="permissions">
          <p id="permissions-title">The application will receive:</p>
          <ul aria-labelledby="permissions-title">
            {added.map(permission => (
              <Permission key={String(permission.id)} permission={permission} fresh={before.length > 0} />
            ))}
            {before.map(permission => (
              <Permission key={String(permission.id)} permission={permission} fresh={false} />
            ))}
          </ul>
        </div>
      )}
      <div className="actions">
        <Button type="submit" fullWidth loading={busy} data-first>
          Continue
        </Button>
        <Button component="a" fullWidth variant="default" href={cancelUrl(challenge.flow_info)}>
          Cancel
        </Button>
      </div>
    </StageForm>
  )
}

function Permission({ permission, fresh }: { permission: Record<string, unknown>; fresh: boolean }) {
  const name = permission.name || permission.id
  return (
    <li>
      <span>{String(name)}</span>
      {fresh && <span className="fresh">new</span>}
    </li>
  )
}
