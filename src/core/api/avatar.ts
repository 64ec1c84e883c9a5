// Avatars: initials on a colour of the name, as a drawing that needs no request to anybody.
import { hash } from 'node:crypto'

/** `data:` URL of an SVG with the initials of a name. */
export function avatarOf(name: string): string {
  const hue = Number.parseInt(hash('sha256', name).slice(0, 4), 16) % 360
  const svg =
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 64 64"><rect width="64" height="64" fill="hsl(${hue},45%,40%)"/>` +
    `<text x="32" y="32" dy=".36em" fill="#fff" font-family="system-ui,sans-serif" font-size="26" text-anchor="middle">` +
    `${escaped(initials(name))}</text></svg>`
  return `data:image/svg+xml;base64,${Buffer.from(svg).toString('base64')}`
}

function initials(name: string): string {
  const words = name
    .trim()
    .split(/[\s._-]+/)
    .filter(word => word !== '')
  const chosen = words.length > 1 ? [words[0]!, words[words.length - 1]!] : words
  return chosen.map(word => [...word][0]!.toUpperCase()).join('')
}

function escaped(text: string): string {
  return text.replaceAll(/[&<>"']/g, character => `&#${character.charCodeAt(0)};`)
}
