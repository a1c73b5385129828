import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { defineConfig, type Plugin } from 'vite';

const at = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

/** Serves the client library beside the page, for pages that import it from the server. */
function withLibrary(): Plugin {
  return {
    name: 'with-library',
    generateBundle() {
      const source = readFileSync(at('../js/dist/rostra.js'), 'utf8').replace(
        /\n\/\/# sourceMappingURL=.*\s*$/,
        '\n',
      );
      this.emitFile({ type: 'asset', fileName: 'sdk/rostra.js', source });
    },
  };
}

export default defineConfig({
  base: './', // a proxy may serve the page below a path
  plugins: [withLibrary()],
  resolve: { alias: { rostra: at('../js/src/index.ts') } },
  build: {
    target: 'es2022',
    outDir: at('../python/rostra/static'),
    emptyOutDir: true,
  },
});
