// A browser's User-Agent in the words the session list shows.
import Bowser from 'bowser'
import Type from 'typebox'
import { nullable } from './shapes.ts'

const text = Type.String()
const perhaps = nullable(text)
export const UserAgentBody = Type.Object({
  device: Type.Object({ brand: perhaps, family: text, model: perhaps }),
  os: Type.Object({ family: text, major: perhaps, minor: perhaps, patch: perhaps, patch_minor: perhaps }),
  user_agent: Type.Object({ family: text, major: text, minor: text, patch: text }),
  string: text,
})

/** @param header as sent; empty or strange ones give `Other` */
export function parseUserAgent(header: string) {
  const { browser, os, platform } = header === '' ? empty : Bowser.parse(header)
  const [major = '', minor = '', patch = ''] = (browser.version ?? '').split('.')
  const system = (os.version ?? '').split('.')
  return {
    device: {
      brand: platform.vendor ?? null,
      family: platform.model ?? platform.type ?? 'Other',
      model: platform.model ?? null,
    },
    os: {
      family: os.name ?? 'Other',
      major: system[0] === '' ? null : (system[0] ?? null),
      minor: system[1] ?? null,
      patch: system[2] ?? null,
      patch_minor: system[3] ?? null,
    },
    user_agent: { family: browser.name ?? 'Other', major, minor, patch },
    string: header,
  }
}

interface Parsed {
  browser: { name?: string; version?: string }
  os: { name?: string; version?: string }
  platform: { type?: string; vendor?: string; model?: string }
}
const empty: Parsed = { browser: {}, os: {}, platform: {} }
