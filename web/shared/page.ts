import type { PageData } from '../../src/wire/page.ts'

/**
 * Reads what Core wrote into the page.
 * @returns the page's data; where the page carries none, plain defaults, so that an error can still be shown
 */
export function readPage(): PageData {
  const text = document.getElementById('postern')?.textContent ?? ''
  const value = parse(text)
  const brand = value.brand
  return {
    brand: {
      branding_title: brand?.branding_title || 'Postern',
      branding_logo: brand?.branding_logo ?? '',
      branding_favicon: brand?.branding_favicon ?? '',
      default_flow_background: brand?.default_flow_background ?? '',
    },
    flow: value.flow,
    csrf_cookie: value.csrf_cookie || 'authentik_csrf',
    version: value.version ?? '',
    theme: value.theme ?? 'automatic',
  }
}

/** The nonce of this page's Content-Security-Policy, for `<style>` elements made at run time; empty when there is none. */
export function styleNonce(): string {
  return document.querySelector<HTMLMetaElement>('meta[property="csp-nonce"]')?.nonce ?? ''
}

function parse(text: string): Partial<PageData> {
  try {
    const value: unknown = JSON.parse(text)
    return value !== null && typeof value === 'object' ? value : {}
  } catch {
    return {}
  }
}
