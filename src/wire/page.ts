// What Core writes into the page shells (`/if/flow/<slug>/`, `/if/user/`) for the browser: the JSON text of
// `<script type="application/json" id="postern">`. It is public: nothing in it may depend on who is asking.

export type PageTheme = 'automatic' | 'light' | 'dark'

/** The parts of a brand a page shows. Empty texts mean Postern's own. */
export interface PageBrand {
  branding_title: string
  /** URL or path of an image of the same origin */
  branding_logo: string
  branding_favicon: string
  /** URL or path of an image of the same origin; empty = the drawn wall */
  default_flow_background: string
}

/** The flow a flow page runs. */
export interface PageFlow {
  slug: string
  title: string
  /** `stacked`, `content_left`, `content_right`, … */
  layout: string
}

export interface PageData {
  brand: PageBrand
  /** only on the flow page */
  flow?: PageFlow
  /** name of the cookie whose value goes into `X-authentik-CSRF` */
  csrf_cookie: string
  version: string
  theme: PageTheme
}
