import assert from 'node:assert/strict'
import { test } from 'node:test'
import { imageType } from './image-type.ts'

const bytes = (...parts: (string | number[])[]) =>
  Buffer.concat(
    parts.map(part => (typeof part === 'string' ? Buffer.from(part, 'latin1') : Buffer.from(part))),
  )
const icon = bytes([0, 0, 1, 0, 1, 0, 1, 1, 0, 0, 1, 0, 32, 0, 4, 0, 0, 0, 22, 0, 0, 0], 'data')

test('an image is known by its first bytes', () => {
  const known: [string, Buffer][] = [
    ['png', bytes('\x89PNG\r\n\x1a\n', [0, 0, 0, 13], 'IHDR')],
    ['jpg', bytes([0xff, 0xd8, 0xff, 0xe0])],
    ['gif', bytes('GIF89a')],
    ['webp', bytes('RIFF', [1, 0, 0, 0], 'WEBPVP8 ')],
    ['avif', bytes([0, 0, 0, 20], 'ftypmif1', [0, 0, 0, 0], 'avif')],
    ['ico', icon],
    ['svg', bytes('\xef\xbb\xbf \n<?xml version="1.0"?>')],
  ]
  for (const [extension, content] of known) assert.equal(imageType(content)?.extension, extension)
})

test('anything else is none, whatever it is called', () => {
  const others = [
    bytes(''),
    bytes('MZ'),
    bytes('%PDF-1.7'),
    bytes('\x89PNG'),
    bytes('RIFF', [1, 0, 0, 0], 'WAVE'),
    bytes([0, 0, 0, 20], 'ftypisom', [0, 0, 0, 0], 'mp42'),
    bytes([0, 0, 0, 16], 'ftypisom', 'avif'),
    bytes([0, 0, 1, 0, 0, 0], 'nothing in it at all'),
    icon.subarray(0, 22),
    bytes('javascript:alert(1)'),
    bytes([0x1f, 0x8b, 8], 'packed svg'),
  ]
  for (const content of others) assert.equal(imageType(content), undefined, content.toString('latin1'))
})
