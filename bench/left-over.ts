// What a run leaves when it is told to end in the middle: folders and programs, done away with as the process ends.
import type { ChildProcess } from 'node:child_process'
import { rmSync } from 'node:fs'
import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const folders = new Set<string>()
const programs = new Map<ChildProcess, NodeJS.Signals>()

process.on('exit', () => {
  for (const [program, signal] of programs) program.kill(signal)
  for (const folder of folders) rmSync(folder, { recursive: true, force: true })
})

/** A folder of its own; it is gone when this process has ended, also by a signal the run listens to. @param name says what it is for */
export async function temporaryFolder(name: string): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), `postern-bench-${name}-`))
  folders.add(folder)
  return folder
}

/** Has a program ended that is still there when this process ends. @param signal one that it cannot put off, unless it has children */
export function endWithRun(program: ChildProcess, signal: NodeJS.Signals = 'SIGKILL'): void {
  programs.set(program, signal)
  program.once('exit', () => programs.delete(program))
}
