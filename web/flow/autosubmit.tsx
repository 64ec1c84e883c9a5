import { Button } from '@mantine/core'
import { useEffect, useRef } from 'react'
import { type StageProps, textOf } from './challenge.ts'
import { Failure } from './failure.tsx'
import { linkOf, startAgainUrl } from './leave.ts'
import { Heading } from './parts.tsx'

/** Hands a form to another site by POST; by itself, and by a button in case the browser does not. */
export function Autosubmit({ challenge, requestId }: StageProps) {
  const form = useRef<HTMLFormElement>(null)
  const target = linkOf(challenge.url)
  useEffect(() => {
    // Through the prototype: a field named `submit` would hide the form's own.
    if (form.current !== null) HTMLFormElement.prototype.submit.call(form.current)
  }, [])
  if (target === undefined) {
    return (
      <Failure
        title="This link cannot be followed"
        message="The address this sign-in leads to is not one a browser may be sent to."
        requestId={requestId}
        startAgain={startAgainUrl(challenge.flow_info)}
      />
    )
  }
  return (
    <form className="stage" method="post" action={target} ref={form}>
      <Heading>{textOf(challenge, 'title') || 'Taking you there…'}</Heading>
      {attributesOf(challenge.attrs).map(([name, value]) => (
        <input key={name} type="hidden" name={name} value={value} />
      ))}
      <Button type="submit" fullWidth>
        Continue
      </Button>
    </form>
  )
}

function attributesOf(value: unknown): [string, string][] {
  if (value === null || typeof value !== 'object') return []
  return Object.entries(value).map(([name, text]) => [name, String(text)])
}
