// Runs the front-end example of the README as it stands there, checked and compiled first. What it would ask the forum's REST API for is asked
// of the test: "load N" on the output is answered by a line [N, posts]. "shows" on the output is what a page would show.
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import readline from "node:readline";
import { fileURLToPath, pathToFileURL } from "node:url";
import { QueryClient, QueryObserver } from "@tanstack/query-core";
import ts from "typescript";

const here = path.dirname(fileURLToPath(import.meta.url)), root = path.join(here, "../..");
const [url, token] = process.argv.slice(2);
const say = (...words) => fs.writeSync(1, `${words.join(" ")}\n`);

async function compiled() {
  const place = fs.mkdtempSync(path.join(os.tmpdir(), "curia-example-"));
  try {
    const [, example] = fs.readFileSync(path.join(root, "README.md"), "utf8").match(/```ts\n(.*?)```/s);
    fs.writeFileSync(path.join(place, "live.ts"), example);
    fs.copyFileSync(path.join(root, "clients/typescript/src/contract.ts"), path.join(place, "contract.ts"));
    fs.writeFileSync(path.join(place, "package.json"), '{"type": "module"}');
    fs.symlinkSync(path.join(here, "node_modules"), path.join(place, "node_modules"), "dir");
    const program = ts.createProgram([path.join(place, "live.ts")], {
      strict: true, target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.ESNext, lib: ["lib.es2022.d.ts", "lib.dom.d.ts"],
      moduleResolution: ts.ModuleResolutionKind.Bundler, types: [], preserveSymlinks: true,
    });
    const flaws = ts.getPreEmitDiagnostics(program).concat(program.emit().diagnostics);
    if (flaws.length) throw new Error(flaws.map((flaw) => ts.flattenDiagnosticMessageText(flaw.messageText, "\n")).join("\n"));
    return await import(pathToFileURL(path.join(place, "live.js")));
  } finally {
    fs.rmSync(place, { recursive: true });
  }
}

const { live } = await compiled();
const asked = new Map();
readline.createInterface({ input: process.stdin }).on("line", (line) => {
  const [number, posts] = JSON.parse(line);
  asked.get(number)?.(posts);
}).on("close", () => process.exit());

const queries = new QueryClient();
let loads = 0;
const observer = new QueryObserver(queries, {
  queryKey: ["board", 1],
  queryFn: () => new Promise((resolve) => { asked.set(++loads, resolve); say("load", loads); }),
  retry: false,
});
observer.subscribe(({ data }) => say("shows", JSON.stringify(data ?? null)));
live(queries, url, 1, async () => token);
