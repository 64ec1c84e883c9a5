// What every program that runs until a signal is given by main.ts.
import type { AccessLog } from '../http/access-log.ts'
import type { Log } from '../log.ts'
import type { Settings } from '../settings.ts'
import type { Shutdown } from './shutdown.ts'

export interface Start {
  settings: Settings
  /** The settings as files say them now; variables stay. @throws SettingsError */
  reread(): Settings
  log: Log
  /** The same stream as `log`, so that no line is torn. */
  accessLog: AccessLog
  shutdown: Shutdown
}
