import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

export default defineConfig({
  resolve: {
    alias: { rostra: fileURLToPath(new URL('js/src/index.ts', import.meta.url)) },
  },
  test: {
    include: ['js/test/**/*.test.ts', 'web/test/**/*.test.ts', 'examples/*/test/**/*.test.ts'],
    environment: 'node',
  },
});
