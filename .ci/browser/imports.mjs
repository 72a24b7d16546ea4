// Checks the imports of the page's modules: `node imports.mjs FOLDER`. Each imported name is exported and used, and blocks share code
// only through other modules.

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

const folder = process.argv[2];
const read = (name) => readFileSync(join(folder, name), "utf8");
const names = readdirSync(folder).filter((name) => name.endsWith(".js"));
const IMPORT = /^import\s+(?:(\w+)|\{([^}]*)\})\s+from\s+"\.\/([^"]+)";$/gm;

/** The imports of a module, and the rest of its text without comments. */
function parse(name) {
  const text = read(name);
  const imports = [...text.matchAll(IMPORT)].map(([, whole, list, from]) => ({
    from,
    names: whole ? [{ exported: "default", local: whole }] : list.split(",").map((part) => part.trim()).filter(Boolean).map((part) => {
      const [exported, local = exported] = part.split(/\s+as\s+/);
      return { exported, local };
    }),
  }));
  const rest = text.replace(IMPORT, "").replace(/\/\*[^]*?\*\//g, "").replace(/(^|\s)\/\/.*$/gm, "");
  const exported = [...rest.matchAll(/^export\s+(?:default\b|(?:async\s+)?(?:const|function|class)\s+(\w+))/gm)].map(([, of]) => of ?? "default");
  return { name, imports, rest, exported, isBlock: /^export default \{\s*id: /m.test(rest) };
}

const modules = new Map(names.map((name) => [name, parse(name)]));
const faults = [];
for (const { name, imports, rest, isBlock } of modules.values()) {
  for (const { from, names: imported } of imports) {
    const source = modules.get(from);
    if (!source) faults.push(`${name}: there is no module ${from}`);
    if (isBlock && source?.isBlock) faults.push(`${name}: a block imports the block ${from}`);
    for (const { exported, local } of imported) {
      if (source && !source.exported.includes(exported)) faults.push(`${name}: ${from} does not export ${exported}`);
      if (!new RegExp(`\\b${local}\\b`).test(rest)) faults.push(`${name}: ${local} is imported, but not used`);
    }
  }
}
const imports = [...modules.values()].reduce((sum, module) => sum + module.imports.length, 0);
const blocks = [...modules.values()].filter(({ isBlock }) => isBlock).length;
if (!imports || !blocks) faults.push("no imports or no blocks found");
faults.forEach((fault) => console.error(fault));
console.log(`${imports} imports of ${modules.size} modules, ${blocks} of them blocks`);
process.exit(faults.length ? 1 : 0);
