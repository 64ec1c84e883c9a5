// One request of a flow page: the current challenge, or the answer to it. A plan is read, decided on and written with its version, so
// that of two answers one counts; no connection is held meanwhile.
import type { FastifyReply, FastifyRequest } from 'fastify'
import { errorText } from '../../log.ts'
import { loadSession } from '../access.ts'
import { notFound } from '../errors.ts'
import { recordEvent } from '../events/record.ts'
import { hostnameOf } from '../pages/known-host.ts'
import { insertAnonymousSession, presentedKeyHash, setSessionCookies } from '../sessions/login.ts'
import { findSession } from '../sessions/sessions.sql.ts'
import { advance, nextStep, type Outcome, stageOf } from './advance.ts'
import { type Challenge, challenge, deniedChallenge, fieldError, redirectChallenge } from './challenge.ts'
import { findFlow } from './flows.sql.ts'
import { type Flows, runEnd } from './flows.ts'
import { planRow, purposeOf } from './plan.ts'
import { planVisit } from './planning.ts'
import { dropPlans, insertPlan, planLifetimeMs, takePlan, updatePlan } from './plans.sql.ts'
import { FlowBroken, type Judged, PlanMoved, type Turn } from './stage.ts'

export interface FlowRequest {
  flows: Flows
  request: FastifyRequest
  reply: FastifyReply
  slug: string
  /** parameters of the page's address */
  query: URLSearchParams
}

/** The current challenge; runs stages that ask nothing, advances no other. @throws ApiError 404 for an unknown flow */
export async function showChallenge(input: FlowRequest): Promise<Challenge> {
  return guarded(input, await beginTurn(input), turn => present(input.flows, turn))
}

/**
 * Judges an answer. One to another challenge than the current is not looked at: the current one comes back.
 * @param seen the step counter the page was shown, null = it does not say
 */
export async function judgeAnswer(
  input: FlowRequest,
  body: Record<string, unknown>,
  seen: string | null,
): Promise<Challenge> {
  return guarded(input, await beginTurn(input), turn => judge(input.flows, turn, body, seen))
}

async function beginTurn({ flows, request, reply, slug, query }: FlowRequest, again = false): Promise<Turn> {
  const { core } = flows
  const session = again ? await readSession(flows, request) : await loadSession(core, request)
  const flow = await findFlow(core.db, { slug }, session?.id ?? null, hostnameOf(request.client.host))
  if (flow === undefined) throw notFound()
  const plan = { row: null, position: 0, steps: [], context: {} }
  return { core, request, reply, flow, query, session, plan }
}

async function readSession({ core }: Flows, request: FastifyRequest) {
  const keyHash = presentedKeyHash(request)
  return keyHash === null ? null : ((await findSession(core.db, keyHash)) ?? null)
}

/** Answers a lost race with what is current now, and a broken flow with an error; both say where the page stands. */
async function guarded(
  input: FlowRequest,
  turn: Turn,
  work: (turn: Turn) => Promise<Challenge>,
): Promise<Challenge> {
  try {
    return stamped(turn, await work(turn))
  } catch (error) {
    if (error instanceof FlowBroken) return broken(turn, error)
    if (!(error instanceof PlanMoved)) throw error
  }
  const now = await beginTurn(input, true)
  // The other answer signed in or out: only the browser has the new cookie, so the page is loaded again with it.
  if (turn.session !== null && now.session === null) return redirectChallenge(pageOf(input))
  try {
    return stamped(now, await present(input.flows, now))
  } catch (error) {
    if (error instanceof FlowBroken) return broken(now, error)
    if (error instanceof PlanMoved) return redirectChallenge(pageOf(input))
    throw error
  }
}

function stamped(turn: Turn, shown: Challenge): Challenge {
  turn.reply.header('X-Flow-Step', String(turn.plan.row?.version ?? 0))
  return shown
}

function pageOf({ slug, query }: FlowRequest): string {
  const text = query.toString()
  return `/if/flow/${slug}/${text === '' ? '' : `?${text}`}`
}

async function present(flows: Flows, turn: Turn): Promise<Challenge> {
  const planned = await planVisit(turn)
  if (planned.kind === 'elsewhere') return redirectChallenge(planned.to)
  if (planned.kind === 'deny') return deniedChallenge(turn, planned.message)
  return conclude(flows, turn, await advance(turn), false)
}

async function judge(
  flows: Flows,
  turn: Turn,
  body: Record<string, unknown>,
  seen: string | null,
): Promise<Challenge> {
  const planned = await planVisit(turn)
  if (planned.kind === 'elsewhere') return redirectChallenge(planned.to)
  if (planned.kind === 'deny') return deniedChallenge(turn, planned.message)
  const stale = seen !== null && seen !== String(turn.plan.row?.version ?? 0)
  const step = stale ? undefined : await nextStep(turn)
  const current = step === undefined ? undefined : stageOf(step)
  if (step === undefined || current?.stage.answer === undefined || body.component !== current.stage.component)
    return conclude(flows, turn, await advance(turn), false)
  const judged = await current.stage.answer(turn, current.config, body, step)
  return afterAnswer(flows, turn, judged, step.invalid_response_action)
}

async function afterAnswer(
  flows: Flows,
  turn: Turn,
  judged: Judged,
  onInvalid: 'retry' | 'restart' | 'restart_with_context',
): Promise<Challenge> {
  const { plan } = turn
  if (judged.kind === 'deny') return conclude(flows, turn, judged, true)
  plan.context = { ...plan.context, ...judged.context }
  if (judged.kind === 'pass') {
    plan.position++
    return conclude(flows, turn, await advance(turn), true)
  }
  if (onInvalid !== 'retry') {
    plan.position = 0
    if (onInvalid === 'restart') plan.context = purposeOf(plan.context)
  }
  const outcome = await advance(turn)
  if (outcome.kind !== 'ask') return conclude(flows, turn, outcome, true)
  const errors = onInvalid === 'retry' ? judged.errors : asFormErrors(judged.errors)
  await store(turn)
  return { ...outcome.challenge, response_errors: errors }
}

/** Errors of a form that is not shown any more. */
function asFormErrors(errors: Record<string, { string: string; code: string }[]>) {
  const first = Object.values(errors).flat()[0]
  return first === undefined ? {} : fieldError('non_field_errors', first.string, first.code)
}

/** @param moved an answer was accepted: what it led to is remembered */
async function conclude(flows: Flows, turn: Turn, outcome: Outcome, moved: boolean): Promise<Challenge> {
  if (outcome.kind === 'ask') {
    if (moved) await store(turn)
    return outcome.challenge
  }
  if (outcome.kind === 'deny') {
    if (turn.session !== null && turn.plan.row !== null)
      await dropPlans(turn.core.db, turn.session.id, turn.flow.slug)
    turn.plan.row = null
    return deniedChallenge(turn, outcome.message)
  }
  return finish(flows, turn)
}

/** The plan is taken before its end runs, so that what it was made for happens once. */
async function finish(flows: Flows, turn: Turn): Promise<Challenge> {
  const { core, plan } = turn
  if (plan.row !== null && !(await takePlan(core.db, plan.row))) throw new PlanMoved()
  plan.row = null
  const { end, next, next_invalid } = plan.context
  if (end !== undefined) return redirectChallenge(await runEnd(flows, turn, end))
  if (next !== undefined) return redirectChallenge(next)
  if (next_invalid === true) return deniedChallenge(turn, 'Invalid next URL')
  return redirectChallenge('/')
}

/** @throws PlanMoved when another request was faster */
async function store(turn: Turn): Promise<void> {
  const { core, flow, plan, request, reply } = turn
  const now = core.now()
  if (plan.row !== null && turn.session !== null) {
    const row = planRow(core.secrets, now, turn.session.id, flow, plan)
    const version = await updatePlan(core.db, plan.row, row)
    if (version === undefined) throw new PlanMoved()
    plan.row = { id: plan.row.id, version }
    return
  }
  if (turn.session !== null) {
    const row = planRow(core.secrets, now, turn.session.id, flow, plan)
    const inserted = await insertPlan(core.db, row, false)
    if (inserted === undefined) throw new PlanMoved()
    plan.row = inserted
    return
  }
  const begun = await core.db.transaction(async tx => {
    const session = await insertAnonymousSession(tx, request, new Date(now.getTime() + planLifetimeMs))
    const inserted = await insertPlan(tx, planRow(core.secrets, now, session.id, flow, plan), false)
    if (inserted === undefined) throw new PlanMoved()
    return { session, inserted }
  })
  plan.row = begun.inserted
  setSessionCookies(core, reply, begun.session.key)
}

async function broken(turn: Turn, error: FlowBroken): Promise<Challenge> {
  const { core, request, flow } = turn
  core.log.error('flow cannot go on', { request_id: request.id, flow: flow.slug, error: errorText(error) })
  await recordEvent(core.db, {
    action: 'configuration_error',
    app: 'authentik.flows',
    context: { message: errorText(error), flow: flow.slug, request_id: request.id },
    clientIp: request.client.clientAddress,
  })
  const isAdmin = turn.session?.principal?.isSuperuser === true
  return challenge(turn, 'ak-stage-flow-error', {
    request_id: request.id,
    ...(isAdmin ? { error: errorText(error) } : {}),
  })
}
