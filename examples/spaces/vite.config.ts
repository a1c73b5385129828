import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vite';

const at = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
/** `python -m spaces` beside `vite`, for work on the page. */
const SERVER = 'http://127.0.0.1:8090';

export default defineConfig({
  resolve: { alias: { rostra: at('../../js/src/index.ts') } },
  server: {
    proxy: {
      '/socket': { target: SERVER, ws: true },
      '/gate': { target: SERVER, ws: true },
    },
  },
  build: { target: 'es2022', outDir: at('spaces/static'), emptyOutDir: true },
});
