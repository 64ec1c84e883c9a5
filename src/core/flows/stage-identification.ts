// Who are you? Whether an account exists is not told: an unknown name goes on like a known one.

import { attempt } from '../users/regulation.ts'
import { type Account, findAccounts } from '../users/sign-in.sql.ts'
import { verifyPassword } from '../users/sign-in.ts'
import { challenge, fieldError } from './challenge.ts'
import { findApplicationName, type Step } from './flows.sql.ts'
import type { PendingUser } from './plan.ts'
import { defineStage, FlowBroken, type Judged, type Turn } from './stage.ts'
import { countFailure } from './stage-password.ts'
import { type IdentificationConfig, type PasswordConfig, readStageConfig } from './stages.ts'

const longestIdentifier = 254

export const identification = defineStage<IdentificationConfig>({
  component: 'ak-stage-identification',

  async enter(turn, config, step) {
    const password = inlinePassword(config, step)
    const visit = await purposeOfVisit(turn)
    const link = (flowId: string | null) =>
      flowId === null || step.flows[flowId] === undefined ? null : `/if/flow/${step.flows[flowId]}/`
    return {
      kind: 'ask',
      challenge: challenge(turn, 'ak-stage-identification', {
        user_fields: config.user_fields,
        password_fields: password !== null,
        allow_show_password: password?.allow_show_password ?? false,
        flow_designation: turn.flow.designation,
        primary_action: password === null ? 'Continue' : 'Log in',
        sources: [],
        show_source_labels: false,
        enroll_url: link(config.enrollment_flow),
        recovery_url: link(config.recovery_flow),
        passwordless_url: null,
        application_pre: visit.application,
        enable_remember_me: config.enable_remember_me,
        captcha_stage: null,
        passkey_challenge: null,
        ...(visit.loginHint === '' ? {} : { pending_user_identifier: visit.loginHint }),
      }),
    }
  },

  async answer(turn, config, body, step): Promise<Judged> {
    const identifier = typeof body.uid_field === 'string' ? body.uid_field.trim() : ''
    if (identifier === '')
      return { kind: 'again', errors: fieldError('uid_field', 'This field is required.', 'required') }
    if (identifier.length > longestIdentifier || !isPlainText(identifier))
      return { kind: 'again', errors: fieldError('uid_field', 'This is not a valid name.') }
    const password = inlinePassword(config, step)
    if (password !== null && (typeof body.password !== 'string' || body.password === ''))
      return { kind: 'again', errors: fieldError('password', 'This field is required.', 'required') }

    const account = await accountOf(turn, config, identifier)
    if (password !== null) return judgePassword(turn, password, account, identifier, String(body.password))
    if (account === null && !config.pretend_user_exists) return refuseUnknown(turn, identifier)
    return {
      kind: 'pass',
      context: { pending_user: pending(config, account, identifier), auth_method: undefined },
    }
  },
})

/** More than one account: the name names nobody. */
async function accountOf(
  turn: Turn,
  config: IdentificationConfig,
  identifier: string,
): Promise<Account | null> {
  const exact = !config.case_insensitive_matching
  const found = await findAccounts(turn.core.db, identifier, config.user_fields, exact)
  return found.length === 1 ? found[0]! : null
}

async function judgePassword(
  turn: Turn,
  password: PasswordConfig,
  account: Account | null,
  identifier: string,
  text: string,
): Promise<Judged> {
  const right = await verifyPassword(turn.core, {
    account,
    identifier,
    password: text,
    clientIp: turn.request.client.clientAddress,
    context: { flow: turn.flow.slug },
  })
  if (!right || account === null)
    return countFailure(turn, password, 'non_field_errors', 'Failed to authenticate.')
  return {
    kind: 'pass',
    context: {
      pending_user: { id: account.id, identifier, shown: account.username },
      auth_method: 'password',
      auth_args: {},
      failed_attempts: undefined,
    },
  }
}

/** Says that nobody has the name, which guessers would like to hear often: it counts against their address. */
async function refuseUnknown(turn: Turn, identifier: string): Promise<Judged> {
  await attempt(turn.core.db, { name: identifier }, turn.request.client.clientAddress)
  await turn.core.passwords.verify('', null)
  return { kind: 'again', errors: fieldError('non_field_errors', 'Failed to authenticate.') }
}

function pending(config: IdentificationConfig, account: Account | null, identifier: string): PendingUser {
  const mayShow = config.show_matched_user && !config.pretend_user_exists
  return {
    id: account?.id ?? null,
    identifier,
    shown: mayShow && account !== null ? account.username : identifier,
  }
}

/** @throws FlowBroken when the stage names a password stage that is gone: the password would not be asked */
function inlinePassword(config: IdentificationConfig, step: Step): PasswordConfig | null {
  if (config.password_stage === null) return null
  const read = step.password === null ? null : readStageConfig('password', step.password)
  if (read === null || read.config === null)
    throw new FlowBroken(`stage "${step.name}": its password_stage is not a usable password stage`)
  return read.config as PasswordConfig
}

/** What the visitor came for, to be shown: the application behind the authorization request in `next`. */
async function purposeOfVisit(turn: Turn): Promise<{ application: string; loginHint: string }> {
  const { application, next } = turn.plan.context
  if (next === undefined || !next.startsWith('/application/o/authorize/?'))
    return { application: application?.name ?? '', loginHint: '' }
  const parameters = new URL(next, 'http://own.invalid').searchParams
  const clientId = parameters.get('client_id') ?? ''
  const hint = parameters.get('login_hint') ?? ''
  const name =
    application?.name ??
    (isPlainText(clientId) ? await findApplicationName(turn.core.db, clientId) : undefined)
  return {
    application: name ?? '',
    loginHint: isPlainText(hint) ? hint.slice(0, longestIdentifier) : '',
  }
}

/** Without control characters and halves of surrogate pairs, which the database does not take. */
function isPlainText(text: string): boolean {
  return !/[\x00-\x1f\x7f]/.test(text) && text.isWellFormed()
}
