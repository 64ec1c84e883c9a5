import assert from 'node:assert/strict'
import { test } from 'node:test'
import { imageAddress, isImageAddress } from './address.ts'

test('an image is nothing, a media file, a path of ours or a web address', () => {
  for (const good of [
    '',
    '/static/dist/a.svg',
    'https://cdn.example/a.png',
    'http://cdn.example/%(theme)s.png',
    'file.png',
    'icons/logo-%(theme)s.svg',
  ])
    assert.equal(isImageAddress(good), true, good)
  for (const bad of [
    'JavaScript:alert(1)',
    'data:image/svg+xml,<svg/>',
    '//evil.example/a.png',
    '/\\evil.example/a.png',
    '\\\\evil.example\\a.png',
    'https://user:word@cdn.example/a.png',
    'java\tscript:alert(1)',
    '../file.png',
    '.hidden.png',
    'folder//file.png',
    'fa://fa-home',
  ])
    assert.equal(isImageAddress(bad), false, bad)
})

test('a symbol is an icon only where symbols are allowed, and only by its name', () => {
  assert.equal(isImageAddress('fa://fa-home', { symbols: true }), true)
  assert.equal(isImageAddress('fa://"><script>', { symbols: true }), false)
})

test('an address with the theme in it becomes one for each', () => {
  assert.deepEqual(imageAddress('/%(theme)s.svg'), {
    url: '/light.svg',
    themed: { light: '/light.svg', dark: '/dark.svg' },
  })
  assert.deepEqual(imageAddress('/plain.svg'), { url: '/plain.svg', themed: null })
  assert.deepEqual(imageAddress(''), { url: null, themed: null })
})

test('a name becomes the address of its file, and one without file an address that is not there', () => {
  const files = { 'a-light.png': 'aa/1.png', 'a.png': 'bb/2.png' }
  assert.deepEqual(imageAddress('a.png', files), { url: '/media/public/bb/2.png', themed: null })
  assert.deepEqual(imageAddress('a-%(theme)s.png', files), {
    url: '/media/public/aa/1.png',
    themed: { light: '/media/public/aa/1.png', dark: '/media/public/a-dark.png' },
  })
  assert.equal(imageAddress('constructor', files).url, '/media/public/constructor')
  assert.equal(imageAddress('https://cdn.example/a.png', files).url, 'https://cdn.example/a.png')
})
