import './doorway.css'
import type { CSSProperties, ReactNode } from 'react'
import type { PageData } from '../../src/wire/page.ts'
import { BrandLogo } from '../shared/mark.tsx'
import { ThemeSwitch } from '../shared/theme-switch.tsx'
import type { FlowInfo } from './challenge.ts'

interface DoorwayProps {
  page: PageData
  info: FlowInfo | undefined
  busy: boolean
  children: ReactNode
}

/** The frame of every flow page: a wall, an arched door, the brand in its crown. */
export function Doorway({ page, info, busy, children }: DoorwayProps) {
  const style = backdrop(page, info)
  return (
    <div
      className="wall"
      data-layout={info?.layout ?? page.flow?.layout ?? 'stacked'}
      data-backdrop={Object.keys(style).length > 0 || undefined}
      style={style}
    >
      <main className="door" aria-busy={busy}>
        <div className="crown">
          <BrandLogo brand={page.brand} size={56} />
          <span className="brand-name">{page.brand.branding_title}</span>
        </div>
        {children}
        <div className="progress" data-on={busy} aria-hidden="true" />
      </main>
      <footer className="foot">
        <ThemeSwitch />
      </footer>
    </div>
  )
}

/** The backdrop as a style: custom properties, so that the style sheet decides which scheme shows which image. */
function backdrop(page: PageData, info: FlowInfo | undefined): CSSProperties {
  const plain = info?.background || page.brand.default_flow_background
  const light = info?.background_themed_urls?.light || plain
  const dark = info?.background_themed_urls?.dark || plain
  const style: Record<string, string> = {}
  if (light) style['--backdrop-light'] = cssUrl(light)
  if (dark) style['--backdrop-dark'] = cssUrl(dark)
  return style
}

function cssUrl(url: string): string {
  return `url("${url.replace(/["\\\n\r]/g, encodeURIComponent)}")`
}
