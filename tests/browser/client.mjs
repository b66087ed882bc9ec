// The official client, driven line by line: `client.mjs <url> <token> <transport,...> [returns]` writes one JSON array for each thing
// that happens, and takes one JSON array a line, [event, ...arguments], to emit with a callback, or {"tell": [event, ...arguments]}
// without one, or {"time": [event, argument]} to be told beside the answer how many milliseconds it took, or "again" to disconnect and
// connect at once. It ends with its input. With `returns` it comes back by itself, as it does when nobody tells it otherwise. FROM is the
// address that it connects from. What is not as `docs/asyncapi.json` has it is told as "breaks the contract" instead.
import http from "node:http";
import readline from "node:readline";
import { io } from "socket.io-client";
import { flawOfAnswer, flawOfEvent } from "./contract.mjs";

const [url, token, transports, returns] = process.argv.slice(2);
const { FROM: localAddress } = process.env;
const say = (...what) => process.stdout.write(`${JSON.stringify(what)}\n`);
const agent = localAddress && new http.Agent({ localAddress, keepAlive: true });
const socket = io(url, { auth: { token }, transports: transports.split(","), reconnection: returns === "returns", agent });

socket.on("connect", () => say("connect"));
socket.on("connect_error", (error) => say("connect_error", error.message));
socket.on("disconnect", (reason) => say("disconnect", reason));
const sayIf = (flaw, ...what) => (flaw ? say("breaks the contract", flaw) : say(...what));
socket.onAny((event, ...rest) => sayIf(flawOfEvent(event, ...rest), event, ...rest));

readline.createInterface({ input: process.stdin }).on("line", (line) => {
  const wanted = JSON.parse(line);
  if (wanted === "again") return socket.disconnect().connect();
  if (wanted.tell) return socket.emit(...wanted.tell);
  if (wanted.time) {
    const [event, argument] = wanted.time;
    const began = performance.now();
    return socket.emit(event, argument, (answer) => sayIf(flawOfAnswer(event, answer), "took", performance.now() - began, answer));
  }
  const [event, ...rest] = wanted;
  socket.emit(event, ...rest, (answer) => sayIf(flawOfAnswer(event, answer), "ack", event, answer));
}).on("close", () => process.exit(0));
