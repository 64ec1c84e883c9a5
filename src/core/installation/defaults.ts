// The objects every installation begins with. Administrators may change or delete all of them.

import type { Tx } from '../../pg/db.ts'
import { readCertificate } from '../crypto/read-certificate.ts'
import { createSelfSigned } from '../crypto/self-signed.ts'
import { managedScopes } from '../oidc/claims.ts'
import type { Secrets } from '../secrets.ts'
import { insertUser } from '../users/new-user.sql.ts'
import { administrator } from './administrator.ts'
import type { DefaultCertificate } from './installation.sql.ts'
import {
  addMember,
  bindStage,
  insertCertificate,
  insertDefaultBrand,
  insertFlow,
  insertGroup,
  insertScopeMapping,
  insertStage,
} from './installation.sql.ts'

/** What takes time and needs no transaction: two key pairs. */
export interface Prepared {
  rsa: DefaultCertificate
  ec: DefaultCertificate
}

export async function prepareDefaults(secrets: Secrets): Promise<Prepared> {
  const [rsa, ec] = await Promise.all([
    selfSigned(secrets, 'authentik Self-signed Certificate', 'goauthentik.io/crypto/jwt-managed', 'rsa'),
    selfSigned(secrets, 'Postern EC P-256 Certificate', 'postern/crypto/jwt-ec', 'ecdsa'),
  ])
  return { rsa, ec }
}

async function selfSigned(
  secrets: Secrets,
  name: string,
  managed: string,
  algorithm: 'rsa' | 'ecdsa',
): Promise<DefaultCertificate> {
  const pair = await createSelfSigned({
    commonName: name,
    alternativeNames: ['localhost'],
    days: 3650,
    algorithm,
  })
  const read = readCertificate(pair.certificatePem)
  return {
    name,
    managed,
    certificatePem: pair.certificatePem,
    privateKeySealed: secrets.seal('private_key', pair.privateKeyPem),
    ...read,
  }
}

/** Stages by name; a value `{ stage: name }` in a configuration becomes the id of a stage above it. */
const stages: { name: string; type: string; config: Record<string, unknown> }[] = [
  { name: 'default-authentication-password', type: 'password', config: {} },
  {
    name: 'default-authentication-identification',
    type: 'identification',
    config: { password_stage: { stage: 'default-authentication-password' }, enable_remember_me: true },
  },
  { name: 'default-authentication-login', type: 'user_login', config: {} },
  { name: 'default-invalidation-logout', type: 'user_logout', config: {} },
  {
    name: 'default-provider-authorization-consent',
    type: 'consent',
    config: { mode: 'expiring', consent_expire_in: 'weeks=4' },
  },
  { name: 'initial-setup', type: 'initial_setup', config: {} },
]

interface FlowDefault {
  slug: string
  name: string
  title: string
  designation: string
  authentication: string
  /** [order, stage] */
  stages: [number, string][]
}

const flows: FlowDefault[] = [
  {
    slug: 'default-authentication-flow',
    name: 'Sign in',
    title: 'Sign in',
    designation: 'authentication',
    authentication: 'none',
    stages: [
      [10, 'default-authentication-identification'],
      [20, 'default-authentication-password'],
      [100, 'default-authentication-login'],
    ],
  },
  {
    slug: 'default-invalidation-flow',
    name: 'Sign out',
    title: 'Sign out',
    designation: 'invalidation',
    authentication: 'none',
    stages: [[0, 'default-invalidation-logout']],
  },
  {
    slug: 'default-provider-invalidation-flow',
    name: 'Sign out of an application',
    title: 'You are signed out of %(app)s',
    designation: 'invalidation',
    authentication: 'none',
    stages: [],
  },
  {
    slug: 'default-provider-authorization-explicit-consent',
    name: 'Authorize with consent',
    title: 'Sign in to %(app)s',
    designation: 'authorization',
    authentication: 'require_authenticated',
    stages: [[0, 'default-provider-authorization-consent']],
  },
  {
    slug: 'default-provider-authorization-implicit-consent',
    name: 'Authorize',
    title: 'Sign in to %(app)s',
    designation: 'authorization',
    authentication: 'require_authenticated',
    stages: [],
  },
  {
    slug: 'initial-setup',
    name: 'Initial set-up',
    title: 'Welcome to Postern',
    designation: 'stage_configuration',
    authentication: 'require_unauthenticated',
    stages: [
      [10, 'initial-setup'],
      [100, 'default-authentication-login'],
    ],
  },
]

/** Creates everything; runs once per installation. */
export async function createDefaults(tx: Tx, installationId: string, prepared: Prepared): Promise<void> {
  const admins = await insertGroup(tx, 'authentik Admins', true)
  const admin = await insertUser(tx, installationId, {
    username: administrator,
    name: 'Postern administrator',
  })
  await addMember(tx, admin.id, admins)
  for (const scope of managedScopes) await insertScopeMapping(tx, scope)
  const certificate = await insertCertificate(tx, prepared.rsa)
  await insertCertificate(tx, prepared.ec)
  const flowIds = await createFlows(tx)
  await insertDefaultBrand(tx, {
    authenticationFlow: flowIds.get('default-authentication-flow')!,
    invalidationFlow: flowIds.get('default-invalidation-flow')!,
    certificate,
  })
}

async function createFlows(tx: Tx): Promise<Map<string, string>> {
  const stageIds = new Map<string, string>()
  for (const { name, type, config } of stages)
    stageIds.set(name, await insertStage(tx, type, name, withIds(config, stageIds)))
  const flowIds = new Map<string, string>()
  for (const flow of flows) {
    const id = await insertFlow(tx, flow)
    flowIds.set(flow.slug, id)
    for (const [order, stage] of flow.stages) await bindStage(tx, id, stageIds.get(stage)!, order)
  }
  return flowIds
}

function withIds(config: Record<string, unknown>, ids: Map<string, string>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(config).map(([key, value]) => [
      key,
      value !== null && typeof value === 'object' && 'stage' in value ? ids.get(String(value.stage)) : value,
    ]),
  )
}
