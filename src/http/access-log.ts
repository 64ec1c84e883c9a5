// The access log: one line per request, the same fields as every other log line, through a writer cheap enough for the hot path.
// Lines are gathered for 100 ms or 64 KiB and written with one fs.write; what never changes for a session is a cached fragment.
import { write as writeFile, writeSync } from 'node:fs'
import { redactUri } from './redact.ts'

export interface AccessLine {
  /** request URI with query; secret parameters are redacted here */
  uri: string
  host: string
  logger: string
  method: string
  /** address and port of the client, `192.0.2.1:40520` */
  remote: string
  requestId: string
  /** milliseconds */
  runtimeMs: number
  scheme: string
  /** bytes of the answer's body */
  size: number
  status: number
  /** from `accessFragment`; cache it per session and user agent */
  fragment: string
}

export interface AccessLog {
  write(line: AccessLine): void
  /**
   * A finished line of another logger, written at once and in order. Whoever writes to the same descriptor by other ways may find a
   * line torn: the system does not write large batches in one piece when a pipe is full.
   */
  append(line: string): void
  /** Off while the log level is above info. */
  setEnabled(enabled: boolean): void
  /** Hands everything gathered so far to the system. */
  flush(): Promise<void>
  close(): Promise<void>
}

/** Beyond this much unwritten text (a stuck reader of the log) lines are dropped and counted, so that memory stays bounded. */
const maxPending = 8 * 1024 * 1024
const plain = /["\\\x00-\x1f\x7f-\uffff]/

/**
 * @param options.fd where to write; default stderr
 * @param options.intervalMs longest time a line waits; default 100
 * @param options.maxBytes gathered text (UTF-16 units) that is written at once; default 64 KiB
 */
export function createAccessLog(
  options: { fd?: number; intervalMs?: number; maxBytes?: number; enabled?: boolean; now?: () => Date } = {},
): AccessLog {
  const { fd = 2, intervalMs = 100, maxBytes = 65_536, now = () => new Date() } = options
  let enabled = options.enabled ?? true
  let gathered = ''
  let timestamp = ''
  let timer: NodeJS.Timeout | undefined
  let writing: Promise<void> | undefined
  let dropped = 0
  const atExit = () => {
    if (gathered !== '') writeAllSync(fd, gathered)
    gathered = ''
  }
  process.on('exit', atExit)

  const drain = async () => {
    while (gathered !== '') {
      const chunk = gathered
      gathered = ''
      await writeAll(fd, chunk)
    }
    // In the same turn as the last look at `gathered`, so that no line falls between two drains.
    writing = undefined
  }
  const flush = async (): Promise<void> => {
    clearTimeout(timer)
    timer = undefined
    if (writing === undefined && gathered !== '') writing = drain()
    await writing
  }
  const add = (line: string) => {
    gathered += line
    if (gathered.length >= maxBytes) void flush()
    else timer ??= setTimeout(() => void flush(), intervalMs).unref()
  }

  return {
    write(line) {
      if (!enabled) return
      if (gathered.length > maxPending) {
        dropped++
        return
      }
      // The clock is read once per batch: lines show whole seconds and wait at most a tenth of one.
      if (gathered === '') timestamp = `${now().toISOString().slice(0, 19)}Z`
      if (dropped > 0) {
        const count = dropped
        dropped = 0
        add(
          `{"event":"access lines dropped, the log was not read","count":${count},"level":"warning","logger":${quote(line.logger)},"timestamp":"${timestamp}"}\n`,
        )
      }
      add(
        `{"event":${quote(redactUri(line.uri))},"host":${quote(line.host)},"level":"info","logger":${quote(line.logger)},"method":${quote(line.method)},"remote":${quote(line.remote)},"request_id":${quote(line.requestId)},"runtime":"${line.runtimeMs.toFixed(3)}","scheme":${quote(line.scheme)},"size":${line.size},"status":${line.status},"timestamp":"${timestamp}"${line.fragment}}\n`,
      )
    },
    append(line) {
      gathered += line
      void flush()
    },
    setEnabled(value) {
      enabled = value
    },
    flush,
    async close() {
      await flush()
      process.removeListener('exit', atExit)
    },
  }
}

/**
 * The part of a line that stays the same for a session and user agent. `user` is left out when there is none.
 * @param about.name name of the provider; left out when absent
 */
export function accessFragment(about: { name?: string; user?: string; userAgent: string }): string {
  const name = about.name === undefined ? '' : `,"name":${quote(about.name)}`
  const user = about.user === undefined || about.user === '' ? '' : `,"user":${quote(about.user)}`
  return `${name}${user},"user_agent":${quote(about.userAgent)}`
}

/** JSON text of a string; the common plain one without the cost of JSON.stringify. */
function quote(text: string): string {
  return plain.test(text) ? JSON.stringify(text) : `"${text}"`
}

/** Writes all of it: a pipe may take only a part, or nothing for a moment. An unusable descriptor loses the text, never the program. */
async function writeAll(fd: number, text: string): Promise<void> {
  const bytes = Buffer.from(text)
  for (let offset = 0; offset < bytes.length; ) {
    const written = await writeSome(fd, bytes, offset)
    if (written === undefined) return
    if (written === 0) await new Promise(resolve => setTimeout(resolve, 10))
    offset += written
  }
}

function writeSome(fd: number, bytes: Buffer, offset: number): Promise<number | undefined> {
  return new Promise(resolve => {
    writeFile(fd, bytes, offset, bytes.length - offset, null, (error, written) => {
      if (error === null) resolve(written)
      else resolve(error.code === 'EAGAIN' ? 0 : undefined)
    })
  })
}

/** At exit there is no later: a full pipe is tried for at most a second. */
function writeAllSync(fd: number, text: string): void {
  const bytes = Buffer.from(text)
  const pause = new Int32Array(new SharedArrayBuffer(4))
  let patience = 100
  for (let offset = 0; offset < bytes.length && patience > 0; ) {
    try {
      offset += writeSync(fd, bytes, offset)
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'EAGAIN')) return
      patience--
      Atomics.wait(pause, 0, 0, 10)
    }
  }
}
