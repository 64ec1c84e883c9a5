// Rows of a fan-out: how far it has come, and the pages that somebody works on.
import { type Db, type Queryable, sql, type Tx } from '../db.ts'
import { queues } from './actor.ts'
import { bossSchema } from './boss-schema.ts'

/** A page that was taken. */
export interface Page {
  number: string
  keys: string[]
}

export interface FanOutFigures {
  done: number
  total: number
  /** Pages that somebody works on. */
  open: number
}

/** One run of a task, as it holds pages. */
export interface Holder {
  id: string
  attempt: number
}

/** Begins it; one that a run before this began goes on. */
export async function openFanOut(db: Queryable, id: string, count: () => Promise<number>): Promise<void> {
  const there = await db.first(sql`
    update ${db.t('task_fan_outs')} set expires_at = now() + interval '7 days' where id = ${id} returning 1`)
  if (there !== undefined) return
  const total = await count()
  await db.count(sql`
    insert into ${db.t('task_fan_outs')} (id, total, expires_at) values (${id}, ${total}, now() + interval '7 days')
    on conflict do nothing`)
}

/**
 * The next page for this run: first one whose holder is gone, then a new one.
 * @param next keys after a position, in order, at most as many as a page has
 * @returns null when there is none to take: all are handed out, or the task is gone
 */
export async function takePage(
  db: Db,
  id: string,
  holder: Holder,
  pageSize: number,
  next: (on: Tx, after: string | null) => Promise<string[]>,
): Promise<Page | null> {
  const job = sql.raw(`${bossSchema(db.schema)}.job`)
  const names = [...queues]
  return await db.transaction(async tx => {
    const fanOut = await tx.first(sql<{ position: string | null; exhausted: boolean }>`
      select position, exhausted from ${tx.t('task_fan_outs')} f
      where id = ${id} and exists (
        select from ${job} j where j.name = any(${names}::text[]) and j.id = f.id and j.state <= 'active'
          and (j.data -> 'cancelled') is null)
      for update`)
    if (fanOut === undefined) return null
    const left = await tx.first(sql<Page>`
      update ${tx.t('task_fan_out_pages')} p set holder = ${holder.id}, attempt = ${holder.attempt}
      where p.fan_out = ${id} and p.number = (
        select o.number from ${tx.t('task_fan_out_pages')} o where o.fan_out = ${id} and not exists (
          select from ${job} j where j.name = any(${names}::text[]) and j.id = o.holder and j.state = 'active'
            and j.retry_count + 1 = o.attempt)
        order by o.number limit 1)
      returning p.number, p.keys`)
    if (left !== undefined) return left
    if (fanOut.exhausted) return null
    const keys = await next(tx, fanOut.position)
    await tx.count(sql`
      update ${tx.t('task_fan_outs')} set exhausted = ${keys.length < pageSize}, position = coalesce(${keys.at(-1) ?? null}, position)
      where id = ${id}`)
    if (keys.length === 0) return null
    const page = await tx.first(sql<Page>`
      insert into ${tx.t('task_fan_out_pages')} (fan_out, keys, holder, attempt)
      values (${id}, ${keys}::text[], ${holder.id}, ${holder.attempt}) returning number, keys`)
    return page ?? null
  })
}

/** @returns false when the page was given to another run */
export async function finishPage(db: Queryable, id: string, holder: Holder, page: Page): Promise<boolean> {
  const count = await db.count(sql`
    with finished as (
      delete from ${db.t('task_fan_out_pages')}
      where fan_out = ${id} and number = ${page.number} and holder = ${holder.id} and attempt = ${holder.attempt}
      returning cardinality(keys) as size
    )
    update ${db.t('task_fan_outs')} f set done = f.done + size, total = greatest(f.total, f.done + size)
    from finished where f.id = ${id}`)
  return count === 1
}

export async function fanOutFigures(db: Queryable, id: string): Promise<FanOutFigures | undefined> {
  return await db.first(sql<FanOutFigures>`
    select done::int, total::int, (select count(*) from ${db.t('task_fan_out_pages')} p where p.fan_out = f.id)::int as open
    from ${db.t('task_fan_outs')} f where id = ${id}`)
}

export async function closeFanOut(db: Queryable, id: string): Promise<void> {
  await db.count(sql`delete from ${db.t('task_fan_outs')} where id = ${id}`)
}
