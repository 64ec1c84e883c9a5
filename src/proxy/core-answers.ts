// Plain checks of what Core answers. They keep the fields an outpost reads, tolerate any other, and name the field that is
// wrong: an outpost that works with half an answer locks people out in ways nobody can explain.
import { errorText } from '../log.ts'
import { type BrokenProvider, LinkError } from '../wire/link.ts'
import type {
  OidcConfiguration,
  OutpostInstance,
  ProxyMode,
  ProxyProviderConfig,
  RootConfig,
} from '../wire/outpost.ts'

type Json = Record<string, unknown>

/** One page of a list. */
export interface Page {
  results: unknown[]
  /** number of the next page, 0 when this is the last */
  next: number
  /** rows in all pages; null when Core does not say */
  count: number | null
}

/** @throws LinkError (kind `invalid`) naming the field */
export function toPage(value: unknown, at: string): Page {
  const page = object(value, at)
  if (!Array.isArray(page.results)) throw wrong(`${at} results`, 'a list', page.results)
  const pagination = object(page.pagination, `${at} pagination`)
  const { next, count } = pagination
  if (!Number.isInteger(next) || (next as number) < 0)
    throw wrong(`${at} pagination.next`, 'a page number', next)
  return {
    results: page.results,
    next: next as number,
    count: Number.isInteger(count) ? (count as number) : null,
  }
}

/** A row of `outposts/instances/`. @throws LinkError (kind `invalid`) naming the field */
export function toInstance(value: unknown, at: string): OutpostInstance {
  const row = object(value, at)
  const config = object(row.config, `${at} config`)
  for (const name of ['log_level', 'session_backend', 'authentik_host_browser'])
    if (config[name] !== undefined && config[name] !== null) text(config, name, `${at} config.`)
  return {
    pk: uuid(row.pk, `${at} pk`),
    name: text(row, 'name', `${at} `),
    managed: row.managed === null || row.managed === undefined ? null : text(row, 'managed', `${at} `),
    refresh_interval_s: number(row, 'refresh_interval_s', `${at} `),
    config: { ...config, authentik_host: text(config, 'authentik_host', `${at} config.`) },
  }
}

/** `root/config/`. @throws LinkError (kind `invalid`) naming the field */
export function toRootConfig(value: unknown, at: string): RootConfig {
  const config = object(value, at)
  const reporting = object(config.error_reporting, `${at} error_reporting`)
  const enabled = flag(reporting, 'enabled', `${at} error_reporting.`)
  return { ...config, error_reporting: { ...reporting, enabled } }
}

/**
 * Rows of `outposts/proxy/`, each for itself.
 * @param broken told each row that cannot be used, which is left out
 */
export function toProviders(
  rows: unknown[],
  at: string,
  broken: (row: BrokenProvider) => void,
): ProxyProviderConfig[] {
  return rows.flatMap((row, index) => {
    try {
      return [toProvider(row, `${at} results[${index}]`)]
    } catch (error) {
      const { pk, name } = row !== null && typeof row === 'object' ? (row as Json) : {}
      broken({
        pk: Number.isSafeInteger(pk) ? (pk as number) : null,
        name: typeof name === 'string' ? name : '',
        problem: errorText(error),
      })
      return []
    }
  })
}

/** A row of `outposts/proxy/`. @throws LinkError (kind `invalid`) naming the field */
export function toProvider(value: unknown, at: string): ProxyProviderConfig {
  const row = object(value, at)
  const field = `${at} `
  const problem = text(row, 'problem', field, '')
  if (problem !== '') throw new LinkError('invalid', `Core says: ${problem}`)
  return {
    pk: number(row, 'pk', field),
    name: text(row, 'name', field),
    external_host: present(row, 'external_host', field),
    internal_host: text(row, 'internal_host', field, ''),
    internal_host_ssl_validation: flag(row, 'internal_host_ssl_validation', field, true),
    client_id: present(row, 'client_id', field),
    // An empty secret would make tokens and cookies that anybody can forge.
    client_secret: present(row, 'client_secret', field),
    cookie_secret: present(row, 'cookie_secret', field),
    oidc_configuration: toOidcConfiguration(row.oidc_configuration, `${field}oidc_configuration`),
    certificate:
      row.certificate === null || row.certificate === undefined
        ? null
        : uuid(row.certificate, `${field}certificate`),
    skip_path_regex: text(row, 'skip_path_regex', field, ''),
    basic_auth_enabled: flag(row, 'basic_auth_enabled', field, false),
    basic_auth_user_attribute: text(row, 'basic_auth_user_attribute', field, ''),
    basic_auth_password_attribute: text(row, 'basic_auth_password_attribute', field, ''),
    // A mode this version does not know is judged when its application is set up, so that it takes no other one down.
    mode: text(row, 'mode', field, 'proxy') as ProxyMode,
    cookie_domain: text(row, 'cookie_domain', field, ''),
    access_token_validity:
      row.access_token_validity === null || row.access_token_validity === undefined
        ? null
        : number(row, 'access_token_validity', field),
    intercept_header_auth: flag(row, 'intercept_header_auth', field, true),
    scopes_to_request: texts(row, 'scopes_to_request', field),
    assigned_application_slug: text(row, 'assigned_application_slug', field),
    assigned_application_name: text(row, 'assigned_application_name', field),
  }
}

/** The `data` of a certificate or key view. @throws LinkError (kind `invalid`) naming the field */
export function toPem(value: unknown, at: string): string {
  return present(object(value, at), 'data', `${at} `)
}

/** The fingerprint of a key pair. @throws LinkError (kind `invalid`) naming the field */
export function toFingerprint(value: unknown, at: string): string {
  return present(object(value, at), 'fingerprint_sha256', `${at} `)
}

function toOidcConfiguration(value: unknown, at: string): OidcConfiguration {
  const row = object(value, at)
  const field = `${at}.`
  return {
    issuer: present(row, 'issuer', field),
    authorization_endpoint: address(row, 'authorization_endpoint', field),
    token_endpoint: address(row, 'token_endpoint', field),
    userinfo_endpoint: address(row, 'userinfo_endpoint', field),
    end_session_endpoint: address(row, 'end_session_endpoint', field),
    introspection_endpoint: address(row, 'introspection_endpoint', field),
    jwks_uri: address(row, 'jwks_uri', field),
    response_types_supported: texts(row, 'response_types_supported', field),
    id_token_signing_alg_values_supported: texts(row, 'id_token_signing_alg_values_supported', field),
    subject_types_supported: texts(row, 'subject_types_supported', field),
    token_endpoint_auth_methods_supported: texts(row, 'token_endpoint_auth_methods_supported', field),
  }
}

function object(value: unknown, at: string): Json {
  if (value === null || typeof value !== 'object' || Array.isArray(value)) throw wrong(at, 'an object', value)
  return value as Json
}

/** @param otherwise taken when the field is missing or null */
function text(row: Json, name: string, at: string, otherwise?: string): string {
  const value = row[name] ?? otherwise
  if (typeof value !== 'string') throw wrong(at + name, 'a text', value)
  return value
}

function present(row: Json, name: string, at: string): string {
  const value = text(row, name, at)
  if (value === '') throw new LinkError('invalid', `Core's answer: ${at}${name} is empty`)
  return value
}

function address(row: Json, name: string, at: string): string {
  const value = present(row, name, at)
  const url = URL.parse(value)
  if (url === null || (url.protocol !== 'http:' && url.protocol !== 'https:'))
    throw new LinkError('invalid', `Core's answer: ${at}${name} is no http or https URL`)
  return value
}

function uuid(value: unknown, at: string): string {
  if (typeof value !== 'string' || !/^[0-9a-f]{8}(-?[0-9a-f]{4}){3}-?[0-9a-f]{12}$/i.test(value))
    throw wrong(at, 'a UUID', value)
  return value
}

function number(row: Json, name: string, at: string): number {
  const value = row[name]
  if (typeof value !== 'number' || !Number.isFinite(value)) throw wrong(at + name, 'a number', value)
  return value
}

function flag(row: Json, name: string, at: string, otherwise?: boolean): boolean {
  const value = row[name] ?? otherwise
  if (typeof value !== 'boolean') throw wrong(at + name, 'true or false', value)
  return value
}

function texts(row: Json, name: string, at: string): string[] {
  const value = row[name]
  if (!Array.isArray(value) || !value.every(item => typeof item === 'string'))
    throw wrong(at + name, 'a list of texts', value)
  return value
}

/** Only the kind of the value is told: the value itself may be a secret. */
function wrong(at: string, expected: string, value: unknown): LinkError {
  const found = value === null ? 'null' : Array.isArray(value) ? 'a list' : typeof value
  return new LinkError('invalid', `Core's answer: ${at} must be ${expected}, but is ${found}`)
}
