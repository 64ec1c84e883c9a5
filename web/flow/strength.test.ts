import assert from 'node:assert/strict'
import { test } from 'node:test'
import { passwordStrength } from './strength.ts'

test('short, well-known and sequential passwords are called easy to guess', () => {
  for (const weak of [
    'abc',
    'password1',
    'P@ssword!',
    'qwertyuiop',
    '12345678',
    'aaaaaaaaaaaa',
    'Admin2024!',
  ]) {
    assert.equal(passwordStrength(weak).score, 1, weak)
  }
})

test('what the attacker knows about the user counts as guessed', () => {
  const unknown = passwordStrength('marguerite-oak')
  const known = passwordStrength('marguerite-oak', ['marguerite@example.com'])
  assert.ok(known.score < unknown.score)
})

test('several unrelated words are strong', () => {
  assert.equal(passwordStrength('otter lamp brisk violin').score, 4)
})

test('adding unrelated characters never lowers the estimate', () => {
  let last = 0
  for (const text of ['kV7p', 'kV7pxm2q', 'kV7pxm2qtR', 'kV7pxm2qtRw9', 'kV7pxm2qtRw9zHd4']) {
    const { score } = passwordStrength(text)
    assert.ok(score >= last, text)
    last = score
  }
  assert.equal(last, 4)
})

test('an empty field gives advice and no verdict', () => {
  assert.equal(passwordStrength('').score, 0)
})
