import assert from 'node:assert/strict'
import { test } from 'node:test'
import { KubeconfigError, parseKubeconfig, resolveKubeconfig } from './kubeconfig.ts'

const good = {
  'current-context': 'c',
  contexts: [{ name: 'c', context: { cluster: 'k', user: 'u' } }],
  clusters: [
    { name: 'k', cluster: { server: 'https://k8s:6443', 'certificate-authority-data': btoa('CA') } },
  ],
  users: [{ name: 'u', user: { token: 't', 'client-key-data': btoa('KEY') } }],
}

test('a kubeconfig is taken as object, JSON and YAML, and resolves to its current context', () => {
  const yaml = `current-context: c
contexts:
- {name: other, context: {}}
- name: c
  context: {cluster: k, user: u}
clusters: [{name: k, cluster: {server: "https://k8s:6443", insecure-skip-tls-verify: true}}]
users: [{name: u, user: {username: a, password: b}}]
`
  const access = resolveKubeconfig(parseKubeconfig(JSON.stringify(good)))
  assert.deepEqual(access, resolveKubeconfig(parseKubeconfig(good)))
  assert.deepEqual(
    [access.server, access.ca, access.key, access.token],
    ['https://k8s:6443/', 'CA', 'KEY', 't'],
  )
  assert.equal(access.insecure, false)
  const other = resolveKubeconfig(parseKubeconfig(yaml))
  assert.deepEqual(
    [other.basic, other.insecure, other.token],
    [{ username: 'a', password: 'b' }, true, undefined],
  )
  for (const empty of ['', {}, null, '# nothing']) assert.deepEqual(parseKubeconfig(empty), {})
})

test('what does not resolve is refused, and no message holds a value', () => {
  const bad: unknown[] = [
    'a: [unclosed',
    '[]',
    'text',
    'a: &a [x]\nb: [*a, *a]',
    { ...good, 'current-context': undefined },
    { ...good, 'current-context': 'missing' },
    { ...good, contexts: ['c'] },
    { ...good, contexts: {} },
    { ...good, contexts: [{ name: 'c', context: { cluster: 'k' } }] },
    { ...good, clusters: [] },
    { ...good, clusters: [{ name: 'k', cluster: { server: 'k8s' } }] },
    { ...good, clusters: [{ name: 'k', cluster: { server: 'file:///etc' } }] },
    { ...good, users: [{ name: 'u', user: 'secret' }] },
  ]
  for (const config of bad)
    assert.throws(
      () => resolveKubeconfig(parseKubeconfig(config)),
      (error: unknown) =>
        error instanceof KubeconfigError &&
        error.message.startsWith('Invalid kubeconfig: ') &&
        !error.message.includes('secret'),
      JSON.stringify(config),
    )
})
