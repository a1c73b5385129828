// Bundles one module with what it imports from node_modules, for a page that loads a single file.
//
//     node bundle.mjs ENTRY > bundle.js
import { build } from "vite";

const [entry] = process.argv.slice(2);
const { output } = [
  await build({
    configFile: false,
    logLevel: "error",
    build: { write: false, minify: false, lib: { entry, formats: ["es"], fileName: "bundle" } },
  }),
].flat()[0];
const chunks = output.filter(({ type }) => type === "chunk");
if (chunks.length !== 1) throw new Error(`${chunks.length} files instead of one`);
process.stdout.write(chunks[0].code);
