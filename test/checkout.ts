// The checkout as another user sees it: for tests that start programs as somebody who may not be able to read where they run.
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, relative, resolve } from 'node:path'
import type { TestContext } from 'node:test'

export const checkout = resolve(import.meta.dirname, '..')

export interface ForeignCheckout {
  root: string
  /** the Node that runs this test, as that user can start it */
  node: string
}

/** The checkout when that user can read it, else a copy that is his, deleted with the test. */
export function checkoutFor(t: TestContext, uid: number): ForeignCheckout {
  const paths = ['src/main.ts', 'node_modules/pg/package.json'].map(path => join(checkout, path))
  const check = ['test -x "$0"', ...paths.map((_, at) => `test -r "$${at + 1}"`)].join(' && ')
  const asked = spawnSync('/bin/sh', ['-c', check, process.execPath, ...paths], { uid, gid: uid, cwd: '/' })
  if (asked.status === 0) return { root: checkout, node: process.execPath }
  const copy = mkdtempSync(join(tmpdir(), 'postern-checkout-'))
  t.after(() => rmSync(copy, { recursive: true, force: true }))
  const names = [
    'bin',
    'src',
    'test',
    'migrations',
    'web',
    'package.json',
    'package-lock.json',
    'node_modules',
  ]
  const copied = spawnSync('cp', ['-a', ...names.map(name => join(checkout, name)), copy])
  assert.equal(copied.status, 0, String(copied.stderr))
  assert.equal(spawnSync('chown', ['-R', `${uid}:${uid}`, copy]).status, 0)
  const inside = relative(checkout, process.execPath)
  return { root: copy, node: inside.startsWith('..') ? process.execPath : join(copy, inside) }
}
