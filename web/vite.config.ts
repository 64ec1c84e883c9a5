import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import react from '@vitejs/plugin-react'
import { defineConfig } from 'vite'

const here = dirname(fileURLToPath(import.meta.url))

// Two entries, one manifest; Core reads the manifest and writes the page shells itself.
export default defineConfig({
  root: here,
  base: '/static/dist/',
  plugins: [react()],
  build: {
    outDir: join(here, 'dist'),
    emptyOutDir: true,
    manifest: true,
    // `light-dark()` must stay as it is: the colour scheme is chosen at run time.
    target: ['chrome123', 'edge123', 'firefox121', 'safari17.5'],
    modulePreload: { polyfill: false },
    assetsInlineLimit: 0,
    rollupOptions: { input: { flow: join(here, 'flow/main.tsx'), user: join(here, 'user/main.tsx') } },
  },
})
