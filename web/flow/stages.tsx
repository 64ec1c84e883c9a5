import type { ComponentType } from 'react'
import { AccessDenied } from './access-denied.tsx'
import { Autosubmit } from './autosubmit.tsx'
import type { StageProps } from './challenge.ts'
import { Consent } from './consent.tsx'
import { FlowError } from './flow-error.tsx'
import { Identification } from './identification.tsx'
import { Password } from './password.tsx'
import { Prompt } from './prompt.tsx'
import { SessionEnd } from './session-end.tsx'
import { UserLogin } from './user-login.tsx'

const stages = new Map<string, ComponentType<StageProps>>([
  ['ak-stage-identification', Identification],
  ['ak-stage-password', Password],
  ['ak-stage-user-login', UserLogin],
  ['ak-stage-consent', Consent],
  ['ak-stage-prompt', Prompt],
  ['ak-stage-access-denied', AccessDenied],
  ['ak-stage-session-end', SessionEnd],
  ['ak-stage-autosubmit', Autosubmit],
  ['ak-stage-flow-error', FlowError],
])

/** The element that shows a challenge; undefined for a component this page does not know. */
export function stageFor(component: string): ComponentType<StageProps> | undefined {
  return stages.get(component)
}
