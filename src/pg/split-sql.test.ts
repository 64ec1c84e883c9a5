import assert from 'node:assert/strict'
import { test } from 'node:test'
import { splitSql } from './split-sql.ts'

test('statements end at semicolons outside quotes, comments and dollar quotes', () => {
  const text = `-- first; not a statement
select 'a;b', "c;d", E'it\\'s;', 'it''s;' /* e; /* nested; */ f; */ ;;
create function f() returns text language sql as $body$ select ';$$;' $body$;
select $1; select $$x;y$$ -- end;`
  assert.deepEqual(splitSql(text), [
    `select 'a;b', "c;d", E'it\\'s;', 'it''s;'`,
    `create function f() returns text language sql as $body$ select ';$$;' $body$`,
    'select $1',
    'select $$x;y$$',
  ])
})

test('comments alone are no statement', () => {
  assert.deepEqual(splitSql('-- a\n/* b */ ; '), [])
})
