/** Write src/lib/api-schema.d.ts from an OpenAPI file: `npm run gen:api -- path/to/schema.yaml`. */
import { readFile, writeFile } from "node:fs/promises";
import { pathToFileURL } from "node:url";
import { resolve } from "node:path";
import openapiTS, { astToString } from "openapi-typescript";

const [source, target = "src/lib/api-schema.d.ts"] = process.argv.slice(2);
if (!source) {
  process.stderr.write("usage: npm run gen:api -- SCHEMA_FILE [TARGET]\n");
  process.exit(2);
}
await readFile(source); // a clear error for a missing file
const ast = await openapiTS(pathToFileURL(resolve(source)), { defaultNonNullable: false, alphabetize: true });
await writeFile(
  target,
  `/** Generated from the control plane's OpenAPI schema by \`npm run gen:api\`. Do not edit. */\n\n${astToString(ast)}`,
);
