// Users and sessions of Core in great number, made in SQL.
import { createHash } from 'node:crypto'
import { openConnection } from '../src/pg/client.ts'
import type { PgTarget } from '../src/pg/target.ts'
import { parentOf } from './cpu-time.ts'

/** Key of the session of a number, as the row has it. */
export function sessionKey(at: number): Buffer {
  return createHash('sha256').update(`session ${at}`).digest()
}

/** Users in five groups each, and their sessions, live for a day. @returns the server's process */
export async function makeSessions(
  target: PgTarget,
  { users, sessions }: { users: number; sessions: number },
): Promise<number> {
  const { client } = await openConnection(target, { applicationName: 'bench rows' })
  try {
    await client.query(
      `insert into users (uuid, username, name, email, uid) select gen_random_uuid(), 'bench ' || n, 'User ' || n, n || '@example.org',
         encode(sha256(n::text::bytea), 'hex') from generate_series(1, $1::int) n`,
      [users],
    )
    await client.query(`insert into groups (name) select 'bench ' || n from generate_series(1, 200) n`)
    await client.query(
      'insert into group_closure (group_id, ancestor_id) select id, id from groups on conflict do nothing',
    )
    await client.query(
      `with made as (insert into roles (name) select 'bench ' || n from generate_series(0, 19) n returning id, name)
         insert into role_groups (role_id, group_id) select m.id, g.id from made m
         join (select id, row_number() over () as n from groups) g on m.name = 'bench ' || g.n % 20`,
    )
    await client.query(
      `insert into memberships (user_id, group_id) select u.id, g.id from (select id, row_number() over () as n from users) u
         cross join generate_series(0, 4) k join (select id, row_number() over () as n from groups) g on g.n = (u.n + k * 37) % 200 + 1`,
    )
    await client.query(
      `insert into sessions (id, key_hash, user_id, expires_at, last_ip, user_agent, auth_method, auth_at)
         select gen_random_uuid(), sha256(('session ' || i)::bytea), u.id, now() + interval '1 day', '192.0.2.7',
           'Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0', 'password', now()
         from generate_series(0, $1::int - 1) i join (select id, row_number() over () - 1 as n from users) u on u.n = i % $2::int`,
      [sessions, users],
    )
    await client.query('vacuum analyze')
    const { rows } = await client.query<{ pid: number }>('select pg_backend_pid() as pid')
    return parentOf(rows[0]?.pid ?? 0)
  } finally {
    await client.end()
  }
}
