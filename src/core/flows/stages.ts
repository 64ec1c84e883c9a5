// The kinds of stages there are: what the database calls them, what the API calls them, and the shape of their `config`. One list for
// the executor, for the API that writes stages, and for the installation that makes the default flows.
import type { Static, TObject } from 'typebox'
import Type from 'typebox'
import Value from 'typebox/value'
import { parseDuration } from '../duration.ts'

const duration = (text: string) => Type.String({ format: 'postern-duration', default: text })
const flag = (value: boolean) => Type.Boolean({ default: value })
const noReference = Type.Union([Type.String({ format: 'uuid' }), Type.Null()], { default: null })

export const identificationConfig = Type.Object(
  {
    user_fields: Type.Array(
      Type.Union([Type.Literal('username'), Type.Literal('email'), Type.Literal('upn')]),
      {
        default: ['username', 'email'],
      },
    ),
    /** id of a password stage whose question is asked on the same page */
    password_stage: noReference,
    case_insensitive_matching: flag(true),
    /** shows the name of the account found instead of what was typed; only where accounts are not hidden */
    show_matched_user: flag(true),
    /** an unknown account goes on to the next stage as if it were there */
    pretend_user_exists: flag(true),
    enable_remember_me: flag(false),
    enrollment_flow: noReference,
    recovery_flow: noReference,
  },
  { additionalProperties: false },
)

export const passwordConfig = Type.Object(
  {
    failed_attempts_before_cancel: Type.Integer({ minimum: 1, maximum: 100, default: 5 }),
    allow_show_password: flag(false),
  },
  { additionalProperties: false },
)

export const userLoginConfig = Type.Object(
  {
    /** zero = until the browser is closed, at most a day */
    session_duration: duration('seconds=0'),
    /** more than zero = ask "stay signed in?"; yes lengthens the session by it */
    remember_me_offset: duration('seconds=0'),
    terminate_other_sessions: flag(false),
  },
  { additionalProperties: false },
)

export const userLogoutConfig = Type.Object({}, { additionalProperties: false })

export const consentConfig = Type.Object(
  {
    mode: Type.Union([Type.Literal('always_require'), Type.Literal('permanent'), Type.Literal('expiring')], {
      default: 'always_require',
    }),
    consent_expire_in: duration('weeks=4'),
  },
  { additionalProperties: false },
)

export const denyConfig = Type.Object(
  { deny_message: Type.String({ maxLength: 1000, default: '' }) },
  { additionalProperties: false },
)

export const initialSetupConfig = Type.Object({}, { additionalProperties: false })

export type IdentificationConfig = Static<typeof identificationConfig>
export type PasswordConfig = Static<typeof passwordConfig>
export type UserLoginConfig = Static<typeof userLoginConfig>
export type ConsentConfig = Static<typeof consentConfig>
export type DenyConfig = Static<typeof denyConfig>

export interface StageType {
  /** `stages.type` */
  type: string
  verbose_name: string
  verbose_name_plural: string
  /** name of the form element in the admin interface of API clients */
  component: string
  meta_model_name: string
  /** of `stages.config`; every property has a default, so `{}` is valid */
  config: TObject
  /** false: made by the installation only, never through the API */
  creatable: boolean
}

export const stageTypes: readonly StageType[] = [
  stage('identification', 'Identification', 'identification', identificationConfig),
  stage('password', 'Password', 'password', passwordConfig),
  stage('user_login', 'User Login', 'user-login', userLoginConfig),
  stage('user_logout', 'User Logout', 'user-logout', userLogoutConfig),
  stage('consent', 'Consent', 'consent', consentConfig),
  stage('deny', 'Deny', 'deny', denyConfig),
  { ...stage('initial_setup', 'Initial Set-up', 'initial-setup', initialSetupConfig), creatable: false },
]

function stage(type: string, name: string, element: string, config: TObject): StageType {
  const model = type.replaceAll('_', '')
  return {
    type,
    verbose_name: `${name} Stage`,
    verbose_name_plural: `${name} Stages`,
    component: `ak-stage-${element}-form`,
    meta_model_name: `authentik_stages_${type}.${model}stage`,
    config,
    creatable: true,
  }
}

export function findStageType(type: string): StageType | undefined {
  return stageTypes.find(known => known.type === type)
}

/** The `config` of a stage with every default filled in, or what is wrong with it: field → sentences. */
export type ReadConfig =
  | { config: Record<string, unknown>; problems: null }
  | { config: null; problems: Record<string, string[]> }

/**
 * Completes and checks a stage's configuration, when it is written and when it is read.
 * @param type `stages.type`
 * @param stored what a client sent or the table holds; missing properties get their defaults
 */
export function readStageConfig(type: string, stored: unknown): ReadConfig {
  const found = findStageType(type)
  if (found === undefined) return { config: null, problems: { type: [`There is no stage type "${type}".`] } }
  const config = Value.Default(found.config, Value.Clone(stored ?? {}))
  const problems: Record<string, string[]> = {}
  for (const [name, property] of Object.entries(found.config.properties)) {
    const value = (config as Record<string, unknown>)[name]
    const format = (property as { format?: string }).format
    if (format === 'postern-duration' && typeof value === 'string' && parseDuration(value) === null)
      problems[name] = ['Not valid: a duration looks like "hours=1;minutes=30".']
  }
  for (const error of Value.Errors(found.config, config)) {
    const name = error.instancePath.split('/')[1] || 'non_field_errors'
    problems[name] = [...(problems[name] ?? []), `Not valid: ${error.message}.`]
  }
  if (Object.keys(problems).length > 0) return { config: null, problems }
  return { config: config as Record<string, unknown>, problems: null }
}
