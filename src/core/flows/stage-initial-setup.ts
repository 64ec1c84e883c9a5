// The first password of the first administrator, once per installation: the password and the mark that the set-up is over are written
// in one transaction, and the mark is never taken back.
import { timingSafeEqual } from 'node:crypto'
import { recordEvent } from '../events/record.ts'
import { administrator } from '../installation/administrator.ts'
import { completeSetup, setInitialPassword } from '../installation/installation.sql.ts'
import { forgetSetup } from '../remembered.ts'
import { sha256 } from '../secrets.ts'
import { maximumPasswordLength } from '../users/passwords.ts'
import { attempt } from '../users/regulation.ts'
import { challenge, type FieldErrors, fieldError } from './challenge.ts'
import { defineStage, type Judged, type Turn } from './stage.ts'

const shortestPassword = 8
const alreadyDone = 'This installation is set up already. Sign in instead.'

export const initialSetup = defineStage<object>({
  component: 'ak-stage-prompt',

  enter(turn) {
    if (turn.flow.setup_completed) return { kind: 'deny', message: alreadyDone }
    const intro = `Choose how the administrator “${administrator}” signs in.`
    const fields = [
      field('intro', 'static', '', { initial_value: intro, required: false }),
      field('email', 'email', 'Email address', { required: false }),
      field('password', 'password', 'Password', { sub_text: `At least ${shortestPassword} characters` }),
      field('password_repeat', 'password', 'Password (again)'),
    ]
    const token = field('setup_token', 'text', 'Set-up token', {
      sub_text: 'The value the operator of this server was given',
    })
    if (turn.core.setupToken !== '') fields.splice(1, 0, token)
    return {
      kind: 'ask',
      challenge: challenge(turn, 'ak-stage-prompt', {
        fields: fields.map((one, index) => ({ ...one, order: 100 + index })),
        pending_user: '',
        pending_user_avatar: '',
      }),
    }
  },

  async answer(turn, _config, body): Promise<Judged> {
    const { core } = turn
    const refused = await tokenErrors(turn, textOf(body.setup_token))
    if (refused !== null) return { kind: 'again', errors: refused }
    const email = textOf(body.email).trim()
    const password = textOf(body.password)
    const errors = problems(email, password, textOf(body.password_repeat))
    if (errors !== null) return { kind: 'again', errors }
    const hash = await core.passwords.hash(password)
    const userId = await core.db.transaction(async tx => {
      if ((await completeSetup(tx)) !== 1) return undefined
      await forgetSetup(core.memory, tx)
      const id = await setInitialPassword(tx, administrator, { hash, ...(email === '' ? {} : { email }) })
      if (id === undefined)
        throw new Error(`there is no user "${administrator}" without a password to set up`)
      const user = { pk: id, username: administrator, email }
      await recordEvent(tx, {
        action: 'password_set',
        app: 'authentik.core',
        user,
        context: { initial_setup: true },
        clientIp: turn.request.client.clientAddress,
      })
      return id
    })
    if (userId === undefined) return { kind: 'deny', message: alreadyDone }
    return {
      kind: 'pass',
      context: {
        pending_user: { id: userId, identifier: administrator, shown: administrator },
        auth_method: 'password',
        auth_args: {},
      },
    }
  },
})

/** Guesses of the token count against the address they come from. */
async function tokenErrors(turn: Turn, given: string): Promise<FieldErrors | null> {
  const wanted = turn.core.setupToken
  if (wanted === '') return null
  const counted = await attempt(turn.core.db, null, turn.request.client.clientAddress)
  if (!counted.allowed || !timingSafeEqual(sha256(given.trim()), sha256(wanted)))
    return fieldError('setup_token', 'This is not the set-up token of this server.')
  await counted.succeeded()
  return null
}

function problems(email: string, password: string, repeated: string): FieldErrors | null {
  if (
    email !== '' &&
    (email.length > 254 ||
      !/^[^\s@\x00-\x1f\x7f]+@[^\s@\x00-\x1f\x7f]+$/.test(email) ||
      !email.isWellFormed())
  )
    return fieldError('email', 'Enter a valid email address.')
  if ([...password].length < shortestPassword)
    return fieldError('password', `Password is too short (minimum ${shortestPassword}).`)
  if (password.length > maximumPasswordLength) return fieldError('password', 'Password is too long.')
  const names = [administrator, email.toLowerCase(), email.toLowerCase().split('@', 1)[0] ?? '']
  if (names.includes(password.toLowerCase()))
    return fieldError('password', 'The password must not be the name or the email address.')
  if (password !== repeated) return fieldError('password_repeat', "Passwords don't match.")
  return null
}

function field(field_key: string, type: string, label: string, rest: Record<string, unknown> = {}) {
  return {
    field_key,
    type,
    label,
    required: true,
    placeholder: label,
    initial_value: '',
    sub_text: '',
    choices: null,
    ...rest,
  }
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : ''
}
