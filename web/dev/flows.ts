// Canned flows of the development server. Each is a list of steps; a step shows a challenge and judges an answer.

type Json = Record<string, unknown>
/** What a step says to an answer: errors to show with the same challenge, or nothing to go on. */
type Judge = (answer: Json) => Json | undefined

export interface CannedStep {
  challenge: Json
  judge?: Judge
}

export const user = 'alice'
export const password = 'correct horse'

const pending = { pending_user: 'alice', pending_user_avatar: '' }

const identification: Json = {
  component: 'ak-stage-identification',
  user_fields: ['username', 'email'],
  password_fields: true,
  allow_show_password: true,
  flow_designation: 'authentication',
  primary_action: 'Sign in',
  sources: [],
  show_source_labels: false,
  enroll_url: null,
  recovery_url: '/if/flow/recovery/',
  application_pre: 'Grafana',
  enable_remember_me: true,
}

const refusal = { non_field_errors: [{ string: 'User name or password is wrong.', code: 'invalid' }] }

/** The flows by slug, each with its title. */
export const flows: Record<string, { title: string; steps: CannedStep[] }> = {
  login: {
    title: 'Sign in',
    steps: [
      {
        challenge: identification,
        judge: answer => (answer.uid_field === user && answer.password === password ? undefined : refusal),
      },
      { challenge: { component: 'xak-flow-redirect', to: '', final_redirect: true } },
    ],
  },
  steps: {
    title: '',
    steps: [
      {
        challenge: {
          ...identification,
          password_fields: false,
          application_pre: undefined,
          primary_action: 'Continue',
        },
        judge: answer =>
          answer.uid_field === ''
            ? { uid_field: [{ string: 'This field may not be blank.', code: 'blank' }] }
            : undefined,
      },
      {
        challenge: {
          component: 'ak-stage-password',
          ...pending,
          recovery_url: null,
          allow_show_password: false,
        },
        judge: answer =>
          answer.password === password
            ? undefined
            : { password: [{ string: 'Invalid password.', code: 'invalid' }] },
      },
      {
        challenge: { component: 'ak-stage-user-login', ...pending },
        judge: answer =>
          typeof answer.remember_me === 'boolean'
            ? undefined
            : { non_field_errors: [{ string: 'Say yes or no.', code: 'invalid' }] },
      },
      { challenge: { component: 'xak-flow-redirect', to: '/if/user/', final_redirect: true } },
    ],
  },
  consent: {
    title: 'Consent',
    steps: [
      {
        challenge: {
          component: 'ak-stage-consent',
          header_text: "You're about to sign in to Grafana",
          permissions: [{ id: 'email', name: 'Your email address' }],
          additional_permissions: [{ id: 'profile', name: 'Your name and user name' }],
          token: 'consent-token',
          ...pending,
        },
        judge: answer =>
          answer.token === 'consent-token'
            ? undefined
            : { non_field_errors: [{ string: 'Stale.', code: 'invalid' }] },
      },
      { challenge: { component: 'xak-flow-redirect', to: '/if/user/', final_redirect: true } },
    ],
  },
  'initial-setup': {
    title: 'Set up Postern',
    steps: [
      {
        challenge: {
          component: 'ak-stage-prompt',
          fields: [
            field('intro', 'static', '', 100, 'Choose how the administrator “akadmin” signs in.'),
            field('email', 'email', 'Email address', 101, ''),
            field('password_repeat', 'password', 'Password (again)', 103, ''),
            field('password', 'password', 'Password', 102, ''),
          ],
        },
        judge: answer =>
          answer.password === answer.password_repeat
            ? undefined
            : { password_repeat: [{ string: 'The passwords do not match.', code: 'invalid' }] },
      },
      { challenge: { component: 'xak-flow-redirect', to: '/if/user/', final_redirect: true } },
    ],
  },
  denied: only({
    component: 'ak-stage-access-denied',
    error_message: 'You do not have access to Grafana.',
    ...pending,
  }),
  'session-end': only({
    component: 'ak-stage-session-end',
    application_name: 'Grafana',
    application_launch_url: '/launched/grafana',
    invalidation_flow_url: '/flows/-/default/invalidation/',
    overview_url: '/if/user/',
    brand_name: 'Postern',
  }),
  autosubmit: only({
    component: 'ak-stage-autosubmit',
    url: '/received',
    attrs: { answer: 'a <b> "c"', submit: 'x' },
    title: 'Going on',
  }),
  error: only({ component: 'ak-stage-flow-error', request_id: 'f'.repeat(32) }),
  unknown: only({ component: 'ak-stage-of-tomorrow' }),
  malformed: only({ component: 'ak-stage-password', response_errors: { password: 'not a list' } }),
  'script-redirect': only({
    component: 'xak-flow-redirect',
    to: 'javascript:document.title="owned"',
    final_redirect: true,
  }),
}

function only(challenge: Json) {
  return { title: '', steps: [{ challenge }] }
}

function field(field_key: string, type: string, label: string, order: number, initial_value: string): Json {
  const required = type !== 'static'
  return {
    field_key,
    type,
    label,
    required,
    placeholder: '',
    initial_value,
    order,
    sub_text: '',
    choices: null,
  }
}
