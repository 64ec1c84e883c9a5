// A picture for everybody, drawn from the name: no third party is asked.
import { sha256 } from '../secrets.ts'

/** Dark enough for white letters (more than 5 : 1), and at home beside the pages' own colours. */
const grounds = ['#1f6f78', '#2f5f8f', '#4b4f9a', '#6d3f74', '#8a3b4f', '#8a4a1f', '#4d6b2c', '#1d5c4f']

/**
 * Initials on a colour derived from the name.
 * @returns a data URI of an SVG image
 */
export function avatarOf(name: string): string {
  const ground = grounds[sha256(name).readUInt16BE(0) % grounds.length]
  const svg =
    '<svg xmlns="http://www.w3.org/2000/svg" width="64" height="64" viewBox="0 0 64 64">' +
    `<rect width="64" height="64" fill="${ground}"/>` +
    '<text x="32" y="32" dy=".35em" fill="#fff" font-family="sans-serif" font-size="26" text-anchor="middle">' +
    `${escapeXml(initials(name))}</text></svg>`
  return `data:image/svg+xml;base64,${Buffer.from(svg).toString('base64')}`
}

/** First letters of the first and the last word, in upper case. */
function initials(name: string): string {
  const words = name.split(/[\s.@_-]+/).filter(word => word !== '')
  const letters = [words[0], words.length > 1 ? words.at(-1) : undefined]
  return letters.map(word => [...(word ?? '')][0]?.toUpperCase() ?? '').join('')
}

function escapeXml(text: string): string {
  return text
    .replaceAll(/[<>&"']/g, character => `&#${character.charCodeAt(0)};`)
    .replaceAll(/[\x00-\x1f]/g, '')
}
