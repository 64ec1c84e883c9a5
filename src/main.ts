// The programs of Postern. Each is composed in programs/; this file chooses one, reads its settings and turns what ends a start into
// one line and an exit code.
import { type AccessLog, createAccessLog } from './http/access-log.ts'
import type { Log } from './log.ts'
import { createLog, errorText } from './log.ts'
import { createShutdown } from './programs/shutdown.ts'
import type { Start } from './programs/start-context.ts'
import {
  loadSettings,
  type Program,
  programs,
  type Settings,
  SettingsError,
  settingsHelp,
} from './settings.ts'
import { version } from './version.ts'

interface Running {
  settings: Settings
  reread: () => Settings
  log: Log
  accessLog: AccessLog
  /** what follows the program's name */
  words: string[]
}

interface Command {
  settings: Program
  logger: string
  run(running: Running): Promise<number>
}

/** Programs that run until a signal, and commands that end by themselves with an exit code. */
const commands: Record<string, Command> = {
  start: {
    settings: 'start',
    logger: 'postern.start',
    run: serve(async () => (await import('./programs/start.ts')).start),
  },
  server: {
    settings: 'server',
    logger: 'authentik.core',
    run: serve(async () => (await import('./programs/server.ts')).startServer),
  },
  worker: {
    settings: 'worker',
    logger: 'authentik.worker',
    run: serve(async () => (await import('./programs/worker.ts')).startWorker),
  },
  proxy: {
    settings: 'proxy',
    logger: 'authentik.outpost',
    run: serve(async () => (await import('./programs/proxy.ts')).startProxy),
  },
  migrate: {
    settings: 'migrate',
    logger: 'postern.migrate',
    run: async ({ settings, log, words }) =>
      (await import('./programs/migrate.ts')).runMigrate(settings, log, words),
  },
  doctor: {
    settings: 'doctor',
    logger: 'postern.doctor',
    run: async ({ settings, words }) => (await import('./programs/doctor.ts')).runDoctor(settings, words),
  },
  dump_config: {
    settings: 'dump_config',
    logger: 'postern',
    run: async ({ settings }) => (await import('./programs/dump-config.ts')).dumpConfig(settings),
  },
  healthcheck: {
    settings: 'healthcheck',
    logger: 'postern.healthcheck',
    run: async ({ settings, log }) => (await import('./programs/healthcheck.ts')).healthcheck(settings, log),
  },
  'test-email': testEmail(),
  // As the reference spells it.
  test_email: testEmail(),
  sessions: {
    settings: 'proxy',
    logger: 'postern.sessions',
    run: async ({ settings, log, words }) =>
      (await import('./programs/sessions-import.ts')).runSessions(settings, log, words),
  },
}

function testEmail(): Command {
  return {
    settings: 'test-email',
    logger: 'postern.test-email',
    run: async ({ settings, words }) =>
      (await import('./programs/test-email.ts')).runTestEmail(settings, words),
  }
}

type StartProgram = (start: Start) => Promise<void>

/** A program that runs until a signal; what fails before it serves closes what was opened and gives exit code 1. */
function serve(load: () => Promise<StartProgram>): (running: Running) => Promise<number> {
  return async ({ settings, reread, log, accessLog }) => {
    const shutdown = createShutdown(log)
    try {
      await (await load())({ settings, reread, log, accessLog, shutdown })
    } catch (error) {
      if (!shutdown.begun()) report(log, error)
      shutdown.begin(1)
    }
    return shutdown.done.finally(() => accessLog.close())
  }
}

/** An expected cause is one line; a defect carries its stack. */
function report(log: Log, error: unknown): void {
  const expected =
    error instanceof Error &&
    error.name !== 'Error' &&
    !/^(Type|Range|Reference|Syntax)Error$/.test(error.name)
  log.error('Failed to start', {
    error: errorText(error),
    ...(expected || !(error instanceof Error) ? {} : { stack: error.stack }),
  })
}

async function main(argv: string[]): Promise<number> {
  const [name = '--help', ...words] = argv
  if (name === '--version' || name === 'version') {
    process.stdout.write(`${version}\n`)
    return 0
  }
  const command = commands[name]
  if (command === undefined || words.includes('--help') || words.includes('-h'))
    return help(name, command?.settings)
  let settings: Settings
  const reread = () => loadSettings({ program: command.settings, env: process.env })
  try {
    settings = reread()
  } catch (error) {
    if (!(error instanceof SettingsError)) throw error
    process.stderr.write(`${error.message}\n`)
    return 1
  }
  // One writer for all lines; what it still holds is written when the process exits.
  const level = levelFor(name, settings)
  const accessLog = createAccessLog({ enabled: level !== 'warning' && level !== 'error' })
  const log = createLog({ level, logger: command.logger, write: line => accessLog.append(line) })
  settings.announce(log)
  return command.run({ settings, reread, log, accessLog, words })
}

/** On a terminal `npm start` shows its banner and warnings only, unless a level is asked for. */
function levelFor(name: string, settings: Settings) {
  const quiet = name === 'start' && process.stderr.isTTY === true && !settings.isSet('AUTHENTIK_LOG_LEVEL')
  return quiet ? 'warning' : settings.get('AUTHENTIK_LOG_LEVEL')
}

function help(name: string, program: Program | undefined): number {
  if (program !== undefined) {
    process.stdout.write(`${settingsHelp(program)}\n`)
    return 0
  }
  const asked = name === '--help' || name === '-h' || name === 'help'
  const text = [
    'Postern: an identity provider with identity-aware proxies that needs nothing but PostgreSQL.',
    '',
    'usage: postern <program> [--help]',
    '',
    '  start         everything for one machine, with a PostgreSQL of its own unless one is configured',
    '  server        Core: identity provider, API and embedded outpost',
    '  worker        background tasks',
    '  proxy         a standalone proxy outpost',
    '  migrate       bring the database up to date and end',
    '  migrate --plan   what that would do, and what it locks meanwhile',
    '  doctor [--json]  look at the database from every side and say what to do',
    '  dump_config   the settings in effect, secrets masked',
    '  healthcheck   exit code 0 when the program on this machine is alive',
    '  test-email <address>   send a message to see whether mail works',
    '  sessions import [folder]   move the sessions of a filesystem outpost into PostgreSQL',
    '',
    `programs with settings of their own: ${programs.join(', ')}; "postern <program> --help" lists them`,
  ].join('\n')
  if (asked) process.stdout.write(`${text}\n`)
  else process.stderr.write(`postern: there is no program "${name}"\n\n${text}\n`)
  return asked ? 0 : 2
}

main(process.argv.slice(2)).then(
  code => {
    process.exitCode = code
    // Everything was closed; what still keeps the process alive must not keep an orchestrator waiting.
    setTimeout(() => process.exit(code), 2000).unref()
  },
  error => {
    process.stderr.write(`postern: ${errorText(error)}\n${error instanceof Error ? error.stack : ''}\n`)
    process.exit(1)
  },
)
