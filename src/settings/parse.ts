// From the text of a setting to its value. A text that does not fit throws a ParseError whose message says what would fit.
import { isIP } from 'node:net'
import { type ConnectionOptions, parseConnectionOptions } from './connection-options.ts'
import { ParseError } from './errors.ts'
import type { SettingRow } from './table.ts'

export interface ListenAddress {
  host: string
  port: number
}

export type SettingAny = string | number | boolean | string[] | number[] | ListenAddress[] | ConnectionOptions

/** Value of a row's default, or of what an operator wrote. @throws ParseError */
export function parseSetting(row: SettingRow, text: string): SettingAny {
  switch (row.kind) {
    case 'string':
      return parseString(row, text)
    case 'integer':
      return inRange(row, wholeNumber(text))
    case 'boolean':
      return parseBoolean(text)
    case 'duration':
      return inRange(row, parseDuration(text))
    case 'age':
      return parseAge(text)
    case 'choice':
      return parseChoice(row, text)
    case 'url':
      return parseUrl(text)
    case 'listen':
      return listOf(text, parseListen)
    case 'cidrs':
      return listOf(text, parseCidr)
    case 'ports':
      return listOf(text, part => parsePort(part, 1))
    case 'connection-options':
      return parseConnectionOptions(text)
  }
}

/** Kinds whose empty text is a value of its own; for all others it is the same as not set. */
export function emptyIsValue(row: SettingRow): boolean {
  return row.kind === 'string' || row.kind === 'listen' || row.kind === 'cidrs'
}

function parseString(row: SettingRow, text: string): string {
  if (row.filled && text.trim() === '') throw new ParseError('must not be empty')
  if (text.includes('\0')) throw new ParseError('must not hold a NUL character')
  return text
}

function wholeNumber(text: string): number {
  if (!/^-?\d{1,15}$/.test(text.trim())) throw new ParseError('must be a whole number')
  return Number(text)
}

function parseBoolean(text: string): boolean {
  if (/^(?:1|t|true)$/i.test(text.trim())) return true
  if (/^(?:0|f|false)$/i.test(text.trim())) return false
  throw new ParseError('must be true or false')
}

const units: Record<string, number> = {
  milliseconds: 0.001,
  seconds: 1,
  minutes: 60,
  hours: 3600,
  days: 86_400,
  weeks: 604_800,
}

function parseDuration(text: string): number {
  const trimmed = text.trim()
  if (/^\d+(?:\.\d+)?$/.test(trimmed)) return Number(trimmed)
  let seconds = 0
  for (const part of trimmed.split(';')) {
    const pair = /^\s*([a-z]+)\s*=\s*(\d+(?:\.\d+)?)\s*$/.exec(part)
    const unit = pair === null ? undefined : units[pair[1] ?? '']
    if (pair === null || unit === undefined)
      throw new ParseError('must be a number of seconds, or a text such as hours=1;minutes=30')
    seconds += unit * Number(pair[2])
  }
  return seconds
}

function parseAge(text: string): number {
  if (text.trim().toLowerCase() === 'null') return Number.POSITIVE_INFINITY
  const seconds = wholeNumber(text)
  return seconds <= 0 ? 1800 : seconds
}

function parseChoice(row: SettingRow, text: string): string {
  const choice = text.trim().toLowerCase()
  const values = row.values ?? []
  if (values.includes(choice)) return choice
  throw new ParseError(`must be one of ${values.filter(value => value !== '').join(', ')}`)
}

function parseUrl(text: string): string {
  const trimmed = text.trim()
  if (trimmed === '') return ''
  const url = URL.canParse(trimmed) ? new URL(trimmed) : undefined
  if (url === undefined || (url.protocol !== 'http:' && url.protocol !== 'https:'))
    throw new ParseError('must be a URL that begins with http:// or https://')
  if (url.username !== '' || url.password !== '') throw new ParseError('must not hold a user or a password')
  if (url.search !== '' || url.hash !== '') throw new ParseError('must hold neither a query nor a fragment')
  return trimmed
}

function parseListen(text: string): ListenAddress {
  const parts = /^(?:\[([^\]]*)\]|([^:[\]]*)):(\d{1,5})$/.exec(text)
  if (parts === null)
    throw new ParseError('must be addresses such as 127.0.0.1:9000 or [::]:9000, comma-separated')
  const [, six, name, port = ''] = parts
  if (six !== undefined && isIP(six) !== 6)
    throw new ParseError('must hold an IPv6 address between the brackets')
  return { host: six ?? (name === '' ? '0.0.0.0' : (name ?? '')), port: parsePort(port, 0) }
}

function parsePort(text: string, lowest: number): number {
  if (!/^\d{1,5}$/.test(text) || Number(text) < lowest || Number(text) > 65_535)
    throw new ParseError(`must be a port between ${lowest} and 65535`)
  return Number(text)
}

function parseCidr(text: string): string {
  const parts = /^([0-9a-f.:]+)(?:\/(\d{1,3}))?$/i.exec(text)
  const family = isIP(parts?.[1] ?? '')
  if (parts === null || family === 0 || Number(parts[2] ?? 0) > (family === 4 ? 32 : 128))
    throw new ParseError('must be networks such as 10.0.0.0/8 or fd00::/8, comma-separated')
  return text
}

function listOf<T>(text: string, parse: (part: string) => T): T[] {
  if (text.trim() === '') return []
  return text.split(',').map(part => parse(part.trim()))
}

function inRange(row: SettingRow, value: number): number {
  const { min = Number.NEGATIVE_INFINITY, max = Number.POSITIVE_INFINITY } = row
  if (value < min || value > max) throw new ParseError(`must be between ${min} and ${max}`)
  return value
}
