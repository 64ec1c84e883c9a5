import {
  createTheme,
  localStorageColorSchemeManager,
  type MantineColorScheme,
  type MantineColorsTuple,
  MantineProvider,
} from '@mantine/core'
import type { ReactNode } from 'react'
import type { PageData } from '../../src/wire/page.ts'
import { styleNonce } from './page.ts'

// Verdigris: the green of an old copper door.
const verdigris: MantineColorsTuple = [
  '#eaf5f1',
  '#d3e8e1',
  '#a8d3c6',
  '#7bbcaa',
  '#57a893',
  '#3f9581',
  '#2c7d6b',
  '#226859',
  '#1d5a4f',
  '#134339',
]

const theme = createTheme({
  primaryColor: 'verdigris',
  primaryShade: { light: 8, dark: 3 },
  colors: { verdigris },
  autoContrast: true,
  luminanceThreshold: 0.35,
  defaultRadius: 'md',
  cursorType: 'pointer',
  respectReducedMotion: true,
  fontFamily: "system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', 'DejaVu Sans', sans-serif",
  focusRing: 'auto',
})

const schemeManager = localStorageColorSchemeManager({ key: 'postern.theme' })

/** Mantine with Postern's colours, the page's theme setting, and the nonce its `<style>` elements need. */
export function Theme({ page, children }: { page: PageData; children: ReactNode }) {
  const scheme: MantineColorScheme = page.theme === 'automatic' ? 'auto' : page.theme
  return (
    <MantineProvider
      theme={theme}
      defaultColorScheme={scheme}
      colorSchemeManager={schemeManager}
      getStyleNonce={styleNonce}
    >
      {children}
    </MantineProvider>
  )
}
