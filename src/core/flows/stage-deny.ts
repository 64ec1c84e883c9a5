// The door stays shut.
import { deniedChallenge } from './challenge.ts'
import { defineStage } from './stage.ts'
import type { DenyConfig } from './stages.ts'

export const deny = defineStage<DenyConfig>({
  component: 'ak-stage-access-denied',

  enter(turn, config) {
    const message = turn.plan.context.deny_message || config.deny_message
    return { kind: 'ask', challenge: deniedChallenge(turn, message) }
  },
})
