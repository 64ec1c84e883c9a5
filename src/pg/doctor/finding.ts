// What the doctor says: one line per finding, and what to do about it.
import { errorText } from '../../log.ts'

export interface Finding {
  /** stable name, e.g. `clock` */
  check: string
  level: 'ok' | 'warning' | 'error'
  text: string
  /** what an operator does about it; always there unless the level is `ok` */
  todo?: string
}

export function ok(check: string, text: string): Finding {
  return { check, level: 'ok', text }
}

export function warning(check: string, text: string, todo: string): Finding {
  return { check, level: 'warning', text, todo }
}

export function error(check: string, text: string, todo: string): Finding {
  return { check, level: 'error', text, todo }
}

/** Runs one check; a check that cannot be made is itself a finding. */
export async function attempt(check: string, work: () => Promise<Finding[]>): Promise<Finding[]> {
  try {
    return await work()
  } catch (cause) {
    return [
      warning(check, `could not be checked: ${errorText(cause)}`, 'see the cause; the role may lack a right'),
    ]
  }
}
