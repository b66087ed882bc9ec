// Checks `docs/asyncapi.json` against AsyncAPI's own schema, then values against it: each line of the input is [path, value], each line
// of the output why the value is not what stands at that path of the document, or null.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import readline from "node:readline";
import Ajv from "ajv";
import { document, flaw } from "./contract.mjs";

const specification = createRequire(import.meta.url)("@asyncapi/specs/schemas/3.0.0-without-$id.json");
const ajv = new Ajv({ strict: false, allErrors: true, validateFormats: false, logger: false });
const valid = ajv.compile(specification);
assert.ok(valid(document), ajv.errorsText(valid.errors));

for await (const line of readline.createInterface({ input: process.stdin })) {
  console.log(JSON.stringify(flaw(...JSON.parse(line)) ?? null));
}
