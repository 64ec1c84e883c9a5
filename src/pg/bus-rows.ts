// The statements of the bus.
import type { RawBuilder } from 'kysely'
import { type BusMessage, encodeFrame, longestFrame } from './bus-frame.ts'
import { type Db, sql } from './db.ts'

/** More than this in one burst is stored once instead of passing through the server's queue of notifications. */
const mostFrames = 16

/**
 * Notifies of messages, in one statement and so with one commit: as a few frames, or stored as a row with a notification of its number.
 * @param src node that sends
 * @param stored true: as a row in any case, for those who cannot listen
 */
export function notifyOf(
  db: Db,
  channel: string,
  src: string,
  messages: BusMessage[],
  stored = false,
): RawBuilder<unknown> {
  const frames = stored ? undefined : framesOf(src, messages)
  if (frames === undefined) return notifyOfBlob(db, channel, src, encodeFrame({ src, messages }))
  if (frames.length === 1) return sql`select pg_notify(${channel}, ${frames[0]})`
  return sql`select pg_notify(${channel}, frame) from unnest(${frames}::text[]) as frame`
}

/** Stores the frame and notifies of its number, in one statement. */
function notifyOfBlob(db: Db, channel: string, src: string, frame: string): RawBuilder<unknown> {
  const [before, after] = encodeFrame({ src, blob: '0' }).split('"0"')
  return sql`with blob as (insert into ${db.t('bus_blobs')} (body) values (${frame}) returning id)
    select pg_notify(${channel}, ${before}::text || '"' || id || '"' || ${after}::text) from blob`
}

export async function readBlob(db: Db, id: string): Promise<string | undefined> {
  const row = await db.first(
    sql<{ body: string }>`select body from ${db.t('bus_blobs')} where id = ${id}::bigint`,
    { retry: true },
  )
  return row?.body
}

/** Undefined when there would be too many, or a message fits none. */
function framesOf(src: string, messages: BusMessage[]): string[] | undefined {
  const whole = encodeFrame({ src, messages })
  if (Buffer.byteLength(whole) <= longestFrame) return [whole]
  if (Buffer.byteLength(whole) > mostFrames * longestFrame || messages.length === 1) return undefined
  const middle = Math.ceil(messages.length / 2)
  const halves = [messages.slice(0, middle), messages.slice(middle)].map(half => framesOf(src, half))
  const frames = halves.flatMap(half => half ?? [])
  return halves.includes(undefined) || frames.length > mostFrames ? undefined : frames
}
