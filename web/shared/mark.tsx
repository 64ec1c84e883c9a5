import { useState } from 'react'
import type { PageBrand } from '../../src/wire/page.ts'

/** Postern's mark: an arched side door, lit from within. Decorative; give the name beside it. */
export function Mark({ size }: { size: number }) {
  return (
    <svg className="mark" viewBox="0 0 40 40" width={size} height={size} aria-hidden="true" focusable="false">
      <path className="mark-arch" d="M9 34V18.5a11 11 0 0 1 22 0V34" />
      <path className="mark-door" d="M14 34V19a6 6 0 0 1 12 0v15z" />
      <circle className="mark-knob" cx="22.8" cy="26.4" r="1.3" />
      <path className="mark-arch" d="M5 34h30" />
    </svg>
  )
}

/** The brand's logo, or the mark when it has none or its image does not load. `size` is its height in pixels. */
export function BrandLogo({ brand, size }: { brand: PageBrand; size: number }) {
  const [broken, setBroken] = useState(false)
  if (brand.branding_logo === '' || broken) return <Mark size={size} />
  return (
    <img
      className="brand-logo"
      src={brand.branding_logo}
      height={size}
      alt=""
      onError={() => setBroken(true)}
    />
  )
}
