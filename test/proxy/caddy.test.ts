// The Caddy example, in a real Caddy.
import { test } from 'node:test'
import { testAttacks } from './front-attacks.ts'
import { testCookies } from './front-cookies.ts'
import { startCaddy } from './front-programs.ts'
import { walkBehind } from './front-walk.ts'

test('behind Caddy: login, identity, allow-list, upgrade, sign-out, SESSION_END', t =>
  walkBehind(t, startCaddy))

testAttacks('Caddy', startCaddy)

testCookies('Caddy', startCaddy)
