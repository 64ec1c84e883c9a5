// Claims of the size real ones have: a token of about a kilobyte and a handful of groups.
import { createHash } from 'node:crypto'
import type { Claims } from '../src/wire/outpost.ts'

/** @param user number of the user; equal numbers give equal claims */
export function someClaims(user: number): Claims {
  const digest = (text: string) => createHash('sha256').update(`${text} ${user}`).digest()
  return {
    sub: digest('sub').toString('hex'),
    exp: 4_000_000_000,
    email: `user-${user}@example.org`,
    email_verified: true,
    name: `User Number ${user}`,
    preferred_username: `user-${user}`,
    groups: ['staff', 'engineering', 'vpn', 'wiki-editors'],
    entitlements: [],
    sid: digest('sid').toString('hex'),
    ak_proxy: { user_attributes: {}, is_superuser: false },
    raw_token: Array.from({ length: 22 }, (_, at) => digest(`token ${at}`).toString('base64url')).join(''),
  }
}
