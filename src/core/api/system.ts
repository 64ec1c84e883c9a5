// What a client asks before it knows anything (`/root/config/`), and what an operator asks about the installation.
import { arch, version as kernel, release, type } from 'node:os'
import type { FastifyRequest } from 'fastify'
import Type from 'typebox'
import { embeddedOutpostManaged } from '../../wire/outpost.ts'
import type { CoreApp } from '../app.ts'
import type { Core } from '../core.ts'
import { canSaveMedia } from '../media/store.ts'
import { findBrandFor } from './brands.sql.ts'
import { errorResponses, Json, nullable, Time } from './shapes.ts'
import { embeddedOutpostHost, hasOutdatedOutpost } from './system.sql.ts'

const text = Type.String()

export function registerSystemRoutes(app: CoreApp, core: Core): void {
  registerConfig(app, core)
  app.get(
    '/api/v3/admin/version/',
    {
      config: { access: 'authenticated' },
      schema: {
        operationId: 'admin_version_retrieve',
        tags: ['admin'],
        response: {
          200: Type.Object({
            version_current: text,
            version_latest: text,
            version_latest_valid: Type.Boolean(),
            build_hash: text,
            outdated: Type.Boolean(),
            outpost_outdated: Type.Boolean(),
          }),
          ...errorResponses,
        },
      },
    },
    async () => ({
      version_current: core.version,
      // Nobody is asked for a newer version: an installation calls nobody by itself.
      version_latest: core.version,
      version_latest_valid: false,
      build_hash: core.buildHash,
      outdated: false,
      outpost_outdated: await hasOutdatedOutpost(core.db, core.version),
    }),
  )
  registerSystem(app, core)
}

function registerConfig(app: CoreApp, core: Core): void {
  app.get(
    '/api/v3/root/config/',
    {
      config: { access: 'public' },
      schema: {
        operationId: 'root_config_retrieve',
        tags: ['root'],
        response: {
          200: Type.Object({
            error_reporting: Type.Object({
              enabled: Type.Boolean(),
              sentry_dsn: text,
              environment: text,
              send_pii: Type.Boolean(),
              traces_sample_rate: Type.Number(),
            }),
            capabilities: Type.Array(text),
            cache_timeout: Type.Integer(),
            cache_timeout_flows: Type.Integer(),
            cache_timeout_policies: Type.Integer(),
          }),
          ...errorResponses,
        },
      },
    },
    async () => ({
      error_reporting: {
        enabled: false,
        sentry_dsn: '',
        environment: '',
        send_pii: false,
        traces_sample_rate: 0,
      },
      capabilities: (await canSaveMedia(core.mediaDirectory)) ? ['can_save_media'] : [],
      cache_timeout: 0,
      cache_timeout_flows: 0,
      cache_timeout_policies: 0,
    }),
  )
}

function registerSystem(app: CoreApp, core: Core): void {
  app.get(
    '/api/v3/admin/system/',
    {
      config: { access: { permission: 'authentik_rbac.view_system_info' } },
      schema: {
        operationId: 'admin_system_retrieve',
        tags: ['admin'],
        response: {
          200: Type.Object({
            http_headers: Json,
            http_host: text,
            http_is_secure: Type.Boolean(),
            runtime: Type.Object({
              python_version: text,
              environment: text,
              architecture: text,
              platform: text,
              uname: text,
              openssl_version: text,
              openssl_fips_enabled: nullable(Type.Boolean()),
              authentik_version: text,
            }),
            brand: text,
            server_time: Time,
            embedded_outpost_disabled: Type.Boolean(),
            embedded_outpost_host: text,
            base_url: text,
          }),
          ...errorResponses,
        },
      },
    },
    async request => {
      const [brand, outpost] = await Promise.all([
        findBrandFor(core.db, request.client.host.replace(/:\d+$/, '')),
        embeddedOutpostHost(core.db, embeddedOutpostManaged),
      ])
      return {
        http_headers: harmlessHeaders(request),
        http_host: request.client.host,
        http_is_secure: request.client.scheme === 'https',
        runtime: {
          // The clients' name for the version of the language the server is written in.
          python_version: `Node.js ${process.versions.node}`,
          environment: 'node',
          architecture: arch(),
          platform: `${type()} ${release()}`,
          uname: kernel(),
          openssl_version: process.versions.openssl,
          openssl_fips_enabled: null,
          authentik_version: core.version,
        },
        brand: brand?.domain ?? '',
        server_time: core.now().toISOString(),
        embedded_outpost_disabled: outpost === undefined,
        embedded_outpost_host: outpost === undefined ? '' : outpost || core.baseUrl.origin,
        base_url: core.baseUrl.origin,
      }
    },
  )
}

/** Headers that help to set up a front proxy; never one that authenticates. */
const shownHeaders =
  /^(host|user-agent|accept.*|x-forwarded-.*|forwarded|x-real-ip|via|content-type|sec-fetch-.*|upgrade|connection)$/

function harmlessHeaders(request: FastifyRequest): Record<string, string> {
  const shown: Record<string, string> = {}
  for (const [name, value] of Object.entries(request.headers))
    if (shownHeaders.test(name) && value !== undefined) shown[name] = String(value)
  return shown
}
