import { defineConfig } from 'vite'

/** Where `npm run dev:ui` finds the service. */
const SERVICE = 'http://127.0.0.1:3000'

export default defineConfig({
  base: '/ui/',
  build: {
    outDir: '../../dist/ui',
    emptyOutDir: true,
    // Those that know light-dark(), by which every colour has its two sides.
    target: ['chrome123', 'firefox120', 'safari17.5'],
    // The content policy lets a page load files, and nothing that is inside another.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false }
  },
  server: { proxy: { '^/(?!ui(/|$))': SERVICE } }
})
