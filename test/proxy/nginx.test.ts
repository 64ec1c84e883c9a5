// The nginx example, in a real nginx.
import { test } from 'node:test'
import { testAttacks } from './front-attacks.ts'
import { testCookies } from './front-cookies.ts'
import { startNginx } from './front-programs.ts'
import { walkBehind } from './front-walk.ts'

test('behind nginx: login, identity, allow-list, upgrade, sign-out, SESSION_END', t =>
  walkBehind(t, startNginx))

testAttacks('nginx', startNginx)

testCookies('nginx', startNginx)
