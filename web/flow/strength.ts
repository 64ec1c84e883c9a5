// A hint while choosing a password, not a rule: the server decides what it accepts.

export interface Strength {
  /** 0 (empty) to 4 (strong) */
  score: 0 | 1 | 2 | 3 | 4
  /** what to tell the user */
  hint: string
}

const wellKnown = [
  'password',
  'passwort',
  'qwerty',
  'qwertz',
  'azerty',
  'letmein',
  'welcome',
  'admin',
  'login',
  'iloveyou',
  'monkey',
  'dragon',
  'secret',
  'changeme',
  'postern',
]
const rows = ['abcdefghijklmnopqrstuvwxyz', '01234567890', 'qwertyuiop', 'asdfghjkl', 'zxcvbnm']

/**
 * Estimates how hard a password is to guess, from the number of guesses its least predictable reading needs.
 * @param avoid texts an attacker would try first: user name, mail address
 */
export function passwordStrength(password: string, avoid: readonly string[] = []): Strength {
  if (password === '') return { score: 0, hint: 'A few unrelated words make a good password.' }
  if (password.length < 8) return { score: 1, hint: 'Too short: use at least 8 characters.' }
  const bits = entropyBits(stripPredictable(password, avoid))
  if (bits < 30) return { score: 1, hint: 'Easy to guess. Avoid common words, names and sequences.' }
  if (bits < 45) return { score: 2, hint: 'Fair. A longer one is better than a stranger one.' }
  if (bits < 62) return { score: 3, hint: 'Good.' }
  return { score: 4, hint: 'Strong.' }
}

/** Replaces each part an attacker tries early by a single character. */
function stripPredictable(password: string, avoid: readonly string[]): string {
  let rest = plain(password)
  const known = avoid.flatMap(text => text.split(/[^\p{L}\p{N}]+/u)).map(plain)
  for (const word of [...known, ...wellKnown].filter(word => word.length >= 3))
    rest = rest.replaceAll(word, '.')
  rest = rest.replace(/(.)\1{2,}/gu, '$1')
  rest = rest.replace(/(.{2,6}?)\1+/gu, '$1')
  rest = rest.replace(/(?:19|20)\d\d/gu, '.')
  for (const row of rows) rest = withoutRuns(withoutRuns(rest, row), [...row].reverse().join(''))
  // Upper case, digits and signs at their usual places add little; keep one for each kind that was used.
  const kinds = [/\p{Lu}/u, /\d/u, /[^\p{L}\p{N}]/u].filter(kind => kind.test(password)).length
  return rest + '*'.repeat(Math.max(0, kinds - 1))
}

/** Shortens every stretch of four or more neighbours of a row to one character. */
function withoutRuns(text: string, row: string): string {
  let result = text
  for (let length = row.length; length >= 4; length--) {
    for (let at = 0; at + length <= row.length; at++) {
      result = result.replaceAll(row.slice(at, at + length), '.')
    }
  }
  return result
}

function entropyBits(text: string): number {
  const letters = /\p{L}/u.test(text) ? 26 : 0
  const digits = /\d/u.test(text) ? 10 : 0
  const signs = /[^\p{L}\p{N}]/u.test(text) ? 20 : 0
  const different = new Set(text).size
  const alphabet = Math.min(letters + digits + signs, Math.max(2, different * 3))
  return [...text].length * Math.log2(Math.max(2, alphabet)) * 0.85
}

function plain(text: string): string {
  return text.normalize('NFKD').replace(/\p{M}/gu, '').toLowerCase().replaceAll('@', 'a').replaceAll('$', 's')
}
