// The rows of the settings table that say how mail leaves. User and password may be `file://` and `env://` URIs, read anew for every
// message.

const programs = ['start', 'server', 'worker', 'test-email'] as const

export const emailRows = {
  AUTHENTIK_EMAIL__HOST: {
    kind: 'string',
    default: '',
    programs,
    help: 'SMTP server that takes our mail; empty = no mail is sent.',
  },
  AUTHENTIK_EMAIL__PORT: {
    kind: 'integer',
    default: '25',
    min: 1,
    max: 65_535,
    programs,
    help: 'Its port: usually 587 with AUTHENTIK_EMAIL__USE_TLS, 465 with AUTHENTIK_EMAIL__USE_SSL.',
  },
  AUTHENTIK_EMAIL__USERNAME: {
    kind: 'string',
    default: '',
    programs,
    help: 'User to log in with; empty = no login. Without TLS it is sent to a server on this machine only.',
  },
  AUTHENTIK_EMAIL__PASSWORD: {
    kind: 'string',
    default: '',
    secret: true,
    programs,
    help: 'Password of that user.',
  },
  AUTHENTIK_EMAIL__USE_TLS: {
    kind: 'boolean',
    default: 'false',
    programs,
    help: 'STARTTLS: the connection is encrypted before anything is said, or given up.',
  },
  AUTHENTIK_EMAIL__USE_SSL: {
    kind: 'boolean',
    default: 'false',
    programs,
    help: 'TLS from the first byte.',
  },
  AUTHENTIK_EMAIL__TIMEOUT: {
    kind: 'duration',
    default: '30',
    min: 1,
    max: 120,
    programs,
    help: 'Longest silence of the server.',
  },
  AUTHENTIK_EMAIL__FROM: {
    kind: 'string',
    default: 'postern@localhost',
    filled: true,
    programs,
    help: 'Sender: an address, or `Name <address>`.',
  },
  POSTERN_EMAIL_ROOT_CERT: {
    kind: 'string',
    default: '',
    programs,
    help: "File with root certificates (PEM) for the SMTP server, besides those every system trusts; for a company's own authority.",
  },
} as const
