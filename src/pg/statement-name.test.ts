import assert from 'node:assert/strict'
import { test } from 'node:test'
import { statementName } from './statement-name.ts'

test('a statement is named by its verb and the first table it names', () => {
  const cases: [string, string][] = [
    ['\n    select u.id from "public"."users" u join "public"."groups" g on true', 'select users'],
    ['insert into "public"."events" (action) values ($1)', 'insert events'],
    ['update "s"."outposts" raised set revision = 1', 'update outposts'],
    ['delete from public.sessions where id = $1', 'delete sessions'],
    ['with o as (select 1 from "public"."outposts" x) select 2 from o', 'with outposts'],
    ['select pg_notify($1, $2)', 'select pg_notify'],
    ['begin; set local statement_timeout = 1', 'begin'],
    ['select 1', 'select'],
    ['', 'other'],
  ]
  for (const [text, name] of cases) assert.equal(statementName(text), name)
})
