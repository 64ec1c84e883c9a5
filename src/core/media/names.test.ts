import assert from 'node:assert/strict'
import { test } from 'node:test'
import { contentAddress, isContentAddress, isMediaName, nameFromFile } from './names.ts'

test('an address follows from the content, and nothing but an address is taken for one', () => {
  const address = contentAddress(Buffer.from('abc'), 'png')
  assert.equal(address, 'ba/ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad.png')
  assert.equal(isContentAddress(address), true)
  for (const other of [
    address.replace('ba/', 'bb/'),
    address.toUpperCase(),
    `/${address}`,
    `${address}/`,
    `../${address}`,
    address.replace('.png', '.html'),
    address.replace('.png', ''),
    `${address}\n`,
    'ba/../../../etc/passwd',
  ])
    assert.equal(isContentAddress(other), false, other)
})

test('a name has plain characters, no hidden or empty part, and never the form of an address', () => {
  for (const good of ['a.png', 'icons/a_b-C.svg', '0', 'a'.repeat(255)])
    assert.equal(isMediaName(good), true, good)
  for (const bad of [
    '',
    '/a.png',
    'a.png/',
    'a//b.png',
    '.a.png',
    'a/.b.png',
    '..',
    'a/../b.png',
    'a b.png',
    'ä.png',
    'a\\b.png',
    'a%2fb.png',
    'a\0.png',
    'a.png\n',
    'a'.repeat(256),
    contentAddress(Buffer.from('abc'), 'png'),
  ])
    assert.equal(isMediaName(bad), false, JSON.stringify(bad))
})

test("a name made of a file's is one that is allowed, or nothing", () => {
  assert.equal(nameFromFile('Logo of März 2026.PNG'), 'Logo-of-Marz-2026.PNG')
  assert.equal(nameFromFile('C:\\Users\\me\\logo.png'), 'logo.png')
  assert.equal(nameFromFile('../../etc/.passwd'), 'passwd')
  assert.equal(nameFromFile('…'), '')
  for (const hostile of ['../..', '/etc/passwd', '.htaccess', 'a\0b.png', `${'é'.repeat(300)}.png`, '-.-']) {
    const name = nameFromFile(hostile)
    assert.ok(name === '' || isMediaName(name), `${hostile} became ${name}`)
  }
})
