// Started programs for tests: real processes, their output, their end.
import type { ChildProcess } from 'node:child_process'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { checkout } from './checkout.ts'

export interface Program {
  readonly pid: number
  /** everything written so far, stdout and stderr in the order it came */
  output(): string
  /** Resolves with the first match in the output, past and future; rejects when the program ends or the time is over. */
  matches(pattern: RegExp, timeoutMs?: number): Promise<RegExpExecArray>
  /** Sends the signal and waits for the end. @returns exit code, or null when a signal ended it */
  stop(signal?: NodeJS.Signals): Promise<number | null>
  /** Resolves at the end. */
  readonly ended: Promise<number | null>
}

export interface ProgramOptions {
  cwd?: string
  uid?: number
  gid?: number
  /** another copy of the checkout, and the Node to start it with */
  root?: string
  node?: string
}

/** Starts `postern <args>`; ended with the test at the latest. `env` replaces the environment but for PATH, HOME and TMPDIR. */
export function startProgram(
  t: TestContext,
  args: string[],
  env: Record<string, string> = {},
  { root = checkout, node = process.execPath, ...options }: ProgramOptions = {},
): Program {
  const child = spawn(node, [join(root, 'bin/postern.js'), ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {
      PATH: process.env.PATH,
      HOME: process.env.HOME,
      TMPDIR: process.env.TMPDIR ?? '/tmp',
      NODE_COMPILE_CACHE: process.env.NODE_COMPILE_CACHE,
      ...env,
    },
    cwd: root,
    ...options,
  })
  const program = watch(child)
  const mine = started.get(t) ?? []
  started.set(t, [...mine, program])
  if (mine.length === 0) t.after(() => endPrograms(t))
  return program
}

const started = new WeakMap<TestContext, Program[]>()

/**
 * Ends what a test started, the last one first, and waits for it; for clean-up that must not begin before. (`t.after` calls come in
 * the order in which they were registered, folders before the programs that use them.)
 */
export async function endPrograms(t: TestContext): Promise<void> {
  for (const program of (started.get(t) ?? []).toReversed()) {
    const ended = await program.stop('SIGTERM')
    if (ended !== 0 && process.env.POSTERN_TEST_VERBOSE === '1') process.stderr.write(program.output())
  }
}

function watch(child: ChildProcess): Program {
  let text = ''
  const listeners = new Set<() => void>()
  const add = (chunk: Buffer) => {
    text += chunk.toString('utf8')
    for (const listener of listeners) listener()
  }
  child.stdout!.on('data', add)
  child.stderr!.on('data', add)
  const ended = once(child, 'close').then(() => child.exitCode)
  return {
    pid: child.pid!,
    output: () => text,
    ended,
    matches(pattern, timeoutMs = 60_000) {
      return new Promise((resolve, reject) => {
        const finish = (act: () => void) => {
          listeners.delete(look)
          clearTimeout(timer)
          act()
        }
        const look = () => {
          const match = pattern.exec(text)
          if (match !== null) finish(() => resolve(match))
        }
        const timer = setTimeout(
          () => finish(() => reject(new Error(`no ${pattern} within ${timeoutMs} ms in:\n${text}`))),
          timeoutMs,
        )
        listeners.add(look)
        void ended.then(code =>
          finish(() => reject(new Error(`ended with ${code} before ${pattern} in:\n${text}`))),
        )
        look()
      })
    },
    async stop(signal = 'SIGTERM') {
      if (child.exitCode === null && child.signalCode === null) child.kill(signal)
      return ended
    },
  }
}
