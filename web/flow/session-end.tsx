import { Button } from '@mantine/core'
import { type StageProps, textOf } from './challenge.ts'
import { linkOf } from './leave.ts'
import { Heading } from './parts.tsx'

/** Signed out of one application, perhaps not of everything. */
export function SessionEnd({ challenge }: StageProps) {
  const application = textOf(challenge, 'application_name')
  const brand = textOf(challenge, 'brand_name') || 'the identity provider'
  const overview = linkOf(challenge.overview_url) ?? '/if/user/'
  const everything = linkOf(challenge.invalidation_flow_url)
  const again = linkOf(challenge.application_launch_url)
  return (
    <div className="stage">
      <Heading>You are signed out</Heading>
      <p className="lead">
        {application === '' ? 'You signed out.' : `You signed out of ${application}.`}
        {everything !== undefined && ` You are still signed in to ${brand}.`}
      </p>
      <div className="actions">
        {everything !== undefined && (
          <Button component="a" fullWidth href={everything} data-first>
            Sign out of {brand}
          </Button>
        )}
        <Button
          component="a"
          fullWidth
          variant={everything === undefined ? 'filled' : 'default'}
          href={overview}
        >
          To my applications
        </Button>
        {again !== undefined && application !== '' && (
          <Button component="a" fullWidth variant="default" href={again}>
            Back to {application}
          </Button>
        )}
      </div>
    </div>
  )
}
