// `/core/brands/current/`: what the page of this host looks like, for anybody.
import Type from 'typebox'
import type { CoreApp } from '../app.ts'
import type { Core } from '../core.ts'
import { notFound } from '../errors.ts'
import { imageAddress } from '../media/address.ts'
import { isKnownHost } from '../pages/known-host.ts'
import { remember } from '../remembered.ts'
import { type CurrentBrandRow, findBrandFor } from './brands.sql.ts'
import { errorResponses, nullable } from './shapes.ts'

const Themed = nullable(Type.Object({ light: nullable(Type.String()), dark: nullable(Type.String()) }))
const slug = Type.Optional(Type.String())
const CurrentBrand = Type.Object({
  matched_domain: Type.String(),
  branding_title: Type.String(),
  branding_logo: Type.String(),
  branding_logo_themed_urls: Themed,
  branding_favicon: Type.String(),
  branding_favicon_themed_urls: Themed,
  branding_custom_css: Type.String(),
  branding_map_tiles: Type.String(),
  ui_footer_links: Type.Array(Type.Object({ href: nullable(Type.String()), name: Type.String() })),
  ui_theme: Type.Enum(['automatic', 'light', 'dark']),
  flow_authentication: slug,
  flow_invalidation: slug,
  flow_recovery: slug,
  flow_unenrollment: slug,
  flow_user_settings: slug,
  flow_device_code: slug,
  default_locale: Type.String(),
  flags: Type.Object({ flows_continuous_login: Type.Boolean(), flows_refresh_others: Type.Boolean() }),
})

export function registerCurrentBrandRoute(app: CoreApp, core: Core): void {
  app.get(
    '/api/v3/core/brands/current/',
    {
      config: { access: 'public' },
      schema: {
        operationId: 'core_brands_current_retrieve',
        tags: ['core'],
        response: { 200: CurrentBrand, ...errorResponses },
      },
    },
    async request => {
      const brand = await brandOf(core, request.client.host)
      if (brand === undefined) throw notFound()
      const logo = imageAddress(brand.branding_logo, brand.files)
      const favicon = imageAddress(brand.branding_favicon, brand.files)
      return {
        matched_domain: brand.domain,
        branding_title: brand.branding_title,
        branding_logo: logo.url ?? '',
        branding_logo_themed_urls: logo.themed,
        branding_favicon: favicon.url ?? '',
        branding_favicon_themed_urls: favicon.themed,
        branding_custom_css: brand.branding_custom_css,
        branding_map_tiles: '',
        ui_footer_links: [],
        ui_theme: themeOf(brand.attributes),
        flow_authentication: brand.flow_authentication_slug ?? undefined,
        flow_invalidation: brand.flow_invalidation_slug ?? undefined,
        flow_recovery: brand.flow_recovery_slug ?? undefined,
        flow_unenrollment: brand.flow_unenrollment_slug ?? undefined,
        flow_user_settings: brand.flow_user_settings_slug ?? undefined,
        flow_device_code: brand.flow_device_code_slug ?? undefined,
        default_locale: textAt(brand.attributes, 'settings', 'locale') ?? '',
        flags: { flows_continuous_login: false, flows_refresh_others: false },
      }
    },
  )
}

/** Remembered for hosts that are ours by themselves: others are a stranger's choice. */
async function brandOf(core: Core, host: string): Promise<CurrentBrandRow | undefined> {
  const name = host.replace(/:\d+$/, '').replace(/\.$/, '')
  const find = () => findBrandFor(core.db, name)
  if (!isKnownHost(host, core.baseUrl, false)) return await find()
  return (
    (await remember(core.memory, 'brands', `api ${name}`, async () => (await find()) ?? null)) ?? undefined
  )
}

function themeOf(attributes: Record<string, unknown>): 'automatic' | 'light' | 'dark' {
  const base = textAt(attributes, 'settings', 'theme', 'base')
  return base === 'light' || base === 'dark' ? base : 'automatic'
}

function textAt(value: unknown, ...path: string[]): string | undefined {
  let at = value
  for (const key of path) {
    if (at === null || typeof at !== 'object' || Array.isArray(at)) return undefined
    at = (at as Record<string, unknown>)[key]
  }
  return typeof at === 'string' ? at : undefined
}
