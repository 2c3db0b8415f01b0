import react from '@vitejs/plugin-react'
import { defineConfig } from 'vite'

// Nothing is written into the HTML: the policy of the page forbids scripts and styles that are not files.
export default defineConfig({
  plugins: [react()],
  build: { outDir: 'built/page', emptyOutDir: true, assetsInlineLimit: 0, modulePreload: { polyfill: false }, sourcemap: false, target: 'es2022', chunkSizeWarningLimit: 1200 },
  server: { proxy: { '/api': 'http://127.0.0.1:20001' } },
})
