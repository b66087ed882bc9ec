// What `docs/asyncapi.json` says of what is sent: asked of every message that reaches a test client, and closed, so that a key it does
// not describe is an error too.
import fs from "node:fs";
import Ajv from "ajv";

export const document = JSON.parse(fs.readFileSync(new URL("../../docs/asyncapi.json", import.meta.url)));

/** RFC 3339 in UTC, as the contract promises. */
const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/;
const FORMATS = { "date-time": TIME, int32: true, uint32: true, uint64: true };

/** Forbids what is not described. */
function close(schema) {
  if (typeof schema !== "object" || schema === null) return;
  Object.values(schema).forEach(close);
  if (schema.type === "object") schema.additionalProperties ??= false;
}

const closed = structuredClone(document);
close(closed.components.schemas);
Object.values(closed.components.messages).forEach((message) => close(message.payload));

const ajv = new Ajv({ strict: true, allErrors: true, allowUnionTypes: true, formats: FORMATS });
ajv.addVocabulary(Object.keys(closed));
ajv.addSchema(closed, "contract");

/** Why `value` is not what stands at `path` of the document; nothing when it is. */
export function flaw(path, value) {
  const validate = ajv.getSchema(`contract#${path}`);
  if (!validate) return `docs/asyncapi.json has no ${path}`;
  return validate(value) ? undefined : `${path}: ${ajv.errorsText(validate.errors)} in ${JSON.stringify(value)}`;
}

const message = (kind, name) => `${kind}.${name.replaceAll(":", ".")}`;

/** Why an event with these arguments is not as the contract has it. */
export function flawOfEvent(name, ...args) {
  const key = message("event", name);
  const described = closed.components.messages[key];
  if (!described) return `docs/asyncapi.json has no event ${name}`;
  const wanted = described.traits ? 2 : 1;
  if (args.length !== wanted) return `${name} came with ${args.length} arguments, not ${wanted}`;
  return flaw(`/components/messages/${key}/payload`, args[0])
    ?? (wanted === 2 ? flaw("/components/messageTraits/durable/headers", args[1]) : undefined);
}

/** Why an acknowledgement is not as the contract has it; a command that it doesn't know is refused like any other. */
export function flawOfAnswer(command, answer) {
  const key = message("answer", command);
  if (closed.components.messages[key]) return flaw(`/components/messages/${key}/payload`, answer);
  return flaw("/components/schemas/Refusal", answer);
}
