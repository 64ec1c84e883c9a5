// A picture for everybody, drawn from the name: no third party is asked.
import { sha256 } from '../secrets.ts'

/**
 * Initials on a colour derived from the name.
 * @returns a data URI of an SVG image
 */
export function initialsAvatar(name: string): string {
  const hue = sha256(name).readUInt16BE(0) % 360
  const svg =
    '<svg xmlns="http://www.w3.org/2000/svg" width="64" height="64" viewBox="0 0 64 64">' +
    `<rect width="64" height="64" fill="hsl(${hue},45%,38%)"/>` +
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
