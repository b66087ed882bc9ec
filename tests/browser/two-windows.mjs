// The demo page in Chromium, with two windows, as a person uses it: `two-windows.mjs <url> <chromium> <empty folder>`.
// It says each step it has seen, and ends with an error at the first that it doesn't.
import assert from "node:assert/strict";
import { chromium } from "playwright-core";

const [url, executablePath, profile] = process.argv.slice(2);
/** Tells hanging from working. */
const PATIENCE_MS = 30_000;

const browser = await chromium.launchPersistentContext(profile, {
  executablePath,
  headless: true,
  // Root, which containers run tests as, has no sandbox; the rest keeps the browser from asking anybody but the service.
  args: [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
  ],
});
browser.setDefaultTimeout(PATIENCE_MS);

/** A window, and all that has reached it. */
class Window {
  frames = [];
  errors = [];

  static async open() {
    const window = new Window();
    window.page = await browser.newPage();
    window.page.on("pageerror", (error) => window.errors.push(String(error)));
    window.page.on("websocket", (socket) => socket.on("framereceived", ({ payload }) => window.frames.push(String(payload))));
    return window;
  }

  by(testid) {
    return this.page.locator(`[data-testid="${testid}"]`);
  }

  /** An element that holds this text. */
  text(testid, text) {
    return this.by(testid).filter({ hasText: text }).first();
  }

  post(title) {
    return this.by("post-item").filter({ has: this.page.locator("h2", { hasText: title }) });
  }

  board(id) {
    return this.page.locator(`[data-testid="board-item"][data-board-id="${id}"]`);
  }

  /** An entry of the event log; its payload is unfolded by a click. */
  logged(event, gist = "") {
    return this.page.locator(`[data-testid="log-entry"][data-kind="event"][data-event="${event}"]`).filter({ hasText: gist }).first();
  }

  refusal(code) {
    return this.page.locator(`[data-testid="refusal"][data-code="${code}"]`);
  }

  /** Chooses somebody on the page a newcomer sees, and waits until events come by WebSocket. */
  async become(userId) {
    await this.page.goto(`${url}/demo`);
    await this.page.locator(`[data-testid="person-card"][data-user-id="${userId}"]`).click();
    await this.page.locator('[data-testid="connection-state"][data-state="connected"]').waitFor();
    await this.text("transport", "websocket").waitFor();
  }

  /** Opens a board and waits until its posts can be followed. */
  async enter(boardId, name) {
    const joined = this.page.locator('[data-testid="log-entry"][data-kind="ack"][data-event="board:join"]')
      .filter({ hasText: `boardId ${boardId}` }).first();
    await Promise.all([joined.waitFor({ state: "attached" }), this.text("board-name", name).waitFor(), this.board(boardId).click()]);
    await this.by("compose-form").waitFor();
  }
}

/** Does something in one window and sees the answer in the other: who waits begins to before anything is done. */
async function seen(what, waits, act) {
  const armed = Promise.all([waits].flat().map((locator) => locator.waitFor()));
  // A failure is told by whichever comes first; the other must not end the process unheard.
  armed.catch(() => {});
  await act();
  await armed;
  console.log(`seen: ${what}`);
}

const ada = await Window.open();
const chidi = await Window.open();
await ada.become("ada");
await chidi.become("chidi");
await ada.enter(1, "Workshop floor");
await chidi.enter(1, "Workshop floor");

const TITLE = "The lathe hums again";
await seen("a post", chidi.post(TITLE), async () => {
  await ada.by("compose-title").fill(TITLE);
  await ada.by("compose-content").fill("New bearings. Thank you, @bruno.");
  await ada.by("compose-submit").click();
});

const counted = (window, count) => window.post(TITLE).locator('[data-testid="vote-count"]', { hasText: new RegExp(`^${count}$`) });
await seen("a vote", [counted(ada, 1), counted(chidi, 1)], () => chidi.post(TITLE).getByTestId("vote-button").click());
await seen("a vote taken back", [counted(ada, 0), counted(chidi, 0)], () => chidi.post(TITLE).getByTestId("vote-button").click());

for (const window of [ada, chidi]) {
  const live = window.page.locator('[data-testid="thread"][data-state="live"]');
  await Promise.all([live.waitFor(), window.post(TITLE).getByTestId("post-open").click()]);
}
const COMMENT = "It sounds like it did in May.";
await seen("a comment", [ada.text("comment-item", COMMENT), ada.text("comment-count", "1 comment"), ada.text("toast", "Chidi Obi")], async () => {
  await chidi.by("comment-input").fill(COMMENT);
  await chidi.by("comment-submit").click();
});

await seen("the log's payloads", ada.text("log-entry", /"newCount": 1/), () => ada.logged("post:commentCountChanged").click());
const entry = ada.logged("post:commentCountChanged");
const { postId, boardId, newCount } = JSON.parse(await entry.locator("pre").textContent());
assert.deepEqual([typeof postId, boardId, newCount], ["number", 1, 1]);
assert.match(await entry.getByTestId("log-cursor").textContent(), /\S/);

await seen("a restricted board refused", chidi.refusal("forbidden"), () => chidi.board(4).click());
const reason = await chidi.by("refusal-message").textContent();
assert.match(reason, /roles .*board/, reason);
assert.equal(await chidi.by("post-item").count(), 0);
assert.equal(await chidi.by("compose-form").isVisible(), false);

await chidi.enter(1, "Workshop floor");
await chidi.post(TITLE).waitFor();
await seen("a board closed while somebody reads it", chidi.refusal("board_roles"), async () => {
  await ada.by("board-settings").locator("summary").click();
  await ada.page.locator('[data-testid="settings-form"] input[value="keyholder"]').check();
  await ada.by("settings-save").click();
});
assert.match(await chidi.by("refusal-message").textContent(), /closed this board to your roles/);
assert.equal(await chidi.by("post-item").count(), 0, "what was there is gone from the page");

const SECRET = "Where the spare key lies";
await seen("a post behind the closed door, by those inside", ada.post(SECRET), async () => {
  await ada.by("compose-title").fill(SECRET);
  await ada.by("compose-content").fill("Under the third flowerpot.");
  await ada.by("compose-submit").click();
});
// Events come in the order of their commits: once a later one is here, nothing earlier is still under way.
const LATER = "Everybody's board";
await seen("a later change, by everybody", [chidi.logged("board:created", LATER), ada.logged("board:created", LATER)], async () => {
  await ada.by("new-board").click();
  await ada.by("new-board-name").fill(LATER);
  await ada.by("new-board-submit").click();
});
const told = (window, text) => window.frames.filter((frame) => frame.includes(text));
assert.equal(told(ada, SECRET).length, 1, "frames are looked into");
assert.deepEqual(told(chidi, SECRET), [], "nothing of it was sent to who is shut out");
assert.deepEqual(told(chidi, "flowerpot"), []);
assert.equal(await chidi.text("log", SECRET).count(), 0);

// A telephone shows one part at a time, and nothing of it stands out sideways.
const bruno = await Window.open();
await bruno.become("bruno");
await bruno.page.setViewportSize({ width: 360, height: 780 });
const tab = (pane) => bruno.page.locator(`.tabs [data-show="${pane}"]`);
const fits = async (what) => {
  const wide = await bruno.page.evaluate(() => [...document.querySelectorAll("body *")]
    .filter((part) => part.checkVisibility() && part.getBoundingClientRect().right > innerWidth + 1)
    .map((part) => part.outerHTML.slice(0, 80)));
  assert.deepEqual(wide, [], `${what} is wider than a telephone`);
};
await fits("the board");
await tab("boards").click();
await fits("the list of boards");
await bruno.enter(1, "Workshop floor");
const POCKET = "From somebody's pocket";
await seen("a post written on a telephone", [ada.post(POCKET), bruno.post(POCKET)], async () => {
  await bruno.by("compose-title").fill(POCKET);
  await bruno.by("compose-content").fill("On the stairs already.");
  await bruno.by("compose-submit").click();
});
await seen("a vote on a telephone", bruno.post(POCKET).locator('[data-testid="vote-count"]', { hasText: /^1$/ }), () =>
  ada.post(POCKET).getByTestId("vote-button").click());
// The longest that stands in the bar.
await bruno.page.evaluate(() => {
  document.querySelector('[data-testid="person-picker"]').value = "juno";
  document.querySelector('[data-testid="connection-state"]').textContent = "Reconnecting";
});
await fits("the bar");
await tab("events").click();
await bruno.logged("post:voteAdded").waitFor();
await fits("the event log");
assert.deepEqual([...ada.errors, ...chidi.errors, ...bruno.errors], []);

await browser.close();
