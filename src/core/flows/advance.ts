// The dispatcher: what comes next?
import { mayUserAccess } from '../policies/bindings.ts'
import type { Challenge } from './challenge.ts'
import type { Step } from './flows.sql.ts'
import { type AnyStage, FlowBroken, type Turn, type Visit } from './stage.ts'
import { consent } from './stage-consent.ts'
import { deny } from './stage-deny.ts'
import { identification } from './stage-identification.ts'
import { initialSetup } from './stage-initial-setup.ts'
import { password } from './stage-password.ts'
import { userLogin } from './stage-user-login.ts'
import { userLogout } from './stage-user-logout.ts'
import { readStageConfig } from './stages.ts'

const stages: Record<string, AnyStage> = {
  identification,
  password,
  user_login: userLogin,
  user_logout: userLogout,
  consent,
  deny,
  initial_setup: initialSetup,
}

/** Every `component` an answer may name. */
export const components: ReadonlySet<string> = new Set(Object.values(stages).map(stage => stage.component))

export type Outcome =
  | { kind: 'ask'; challenge: Challenge }
  | { kind: 'deny'; message: string }
  /** no stage is left */
  | { kind: 'end' }

/**
 * Goes on from the plan's position: leaves out stages whose policies fail for this visitor, passes those that have nothing to ask,
 * runs those that only do something, and stops at the first that asks.
 * @throws FlowBroken when a stage cannot be read, or the database's error: nothing is ever skipped for an error
 */
export async function advance(turn: Turn): Promise<Outcome> {
  for (;;) {
    const step = await nextStep(turn)
    if (step === undefined) return { kind: 'end' }
    const { stage, config } = stageOf(step)
    const entered = await stage.enter(turn, config, step)
    if (entered.kind !== 'done') return entered
    turn.plan.position++
  }
}

/** The stage that stops this visitor, with nothing done yet; undefined when the flow is over. */
export async function nextStep(visit: Visit): Promise<Step | undefined> {
  const { plan } = visit
  for (; plan.position < plan.steps.length; plan.position++) {
    const step = plan.steps[plan.position]!
    if (step.re_evaluate_policies && !(await isBound(visit, step))) continue
    const { stage, config } = stageOf(step)
    if (stage.passes === undefined || !(await stage.passes(visit, config, step))) return step
  }
  return undefined
}

/** Whether the policies on a stage's binding hold for who is signing in, else for who is signed in. */
export async function isBound({ core, plan, session }: Visit, step: Step): Promise<boolean> {
  if (!step.bound || step.binding === null) return true
  const pending = plan.context.pending_user
  const userId = pending === undefined ? (session?.principal?.user.id ?? null) : pending.id
  return (await mayUserAccess(core.db, userId, step.binding, step.policy_engine_mode)).passing
}

/** @throws FlowBroken for a type that is not known and a configuration that does not fit it */
export function stageOf(step: Step): { stage: AnyStage; config: Record<string, unknown> } {
  const stage = Object.hasOwn(stages, step.type) ? stages[step.type] : undefined
  if (stage === undefined) throw new FlowBroken(`stage "${step.name}" has the unknown type "${step.type}"`)
  // Made by code with its own types, so there is no schema to check it against.
  if (step.binding === null) return { stage, config: step.config }
  const { config, problems } = readStageConfig(step.type, step.config)
  if (config === null)
    throw new FlowBroken(`stage "${step.name}" is misconfigured: ${JSON.stringify(problems)}`)
  return { stage, config }
}
