// The picture of the README: two people's windows side by side, and what one of the browsers is told.
// `picture.mjs <address of the demo> <chromium> <folder> <picture.png>`
import { chromium } from "playwright-core";
import fs from "node:fs/promises";

const [demo, executablePath, profile, file] = process.argv.slice(2);
/** Tells hanging from working. */
const PATIENCE_MS = 30_000;
const HEIGHT = 860;
/** Below 700 the page shows one thing at a time, above 1080 the event log too. */
const WIDTHS = { ada: 600, chidi: 1140 };
const TITLE = "The lathe hums again";

const browser = await chromium.launchPersistentContext(profile, {
  executablePath,
  headless: true,
  colorScheme: "light",
  reducedMotion: "reduce",
  deviceScaleFactor: 1,
  // Root, which containers run as, has no sandbox; the rest keeps the browser from asking anybody but the service.
  args: [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
  ],
});
browser.setDefaultTimeout(PATIENCE_MS);

async function open(userId) {
  const page = await browser.newPage();
  await page.setViewportSize({ width: WIDTHS[userId], height: HEIGHT });
  await page.goto(`${demo}#as=${userId}&board=1`);
  await page.locator('[data-testid="connection-state"][data-state="connected"]').waitFor();
  await page.getByTestId("compose-form").waitFor();
  return page;
}

const post = (page) => page.getByTestId("post-item").filter({ has: page.locator("h2", { hasText: TITLE }) });

/** Writes as somebody, by the forum's own REST API. */
async function write(userId, method, path, body) {
  const answer = await fetch(`${demo}/api${path}`, {
    method,
    headers: { "x-demo-user": userId, "content-type": "application/json" },
    body: body && JSON.stringify(body),
  });
  if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${await answer.text()}`);
  return answer.json();
}

const ada = await open("ada");
const chidi = await open("chidi");

await ada.getByTestId("compose-title").fill(TITLE);
await ada.getByTestId("compose-content").fill("New bearings, and it starts without a hammer. Thank you, @bruno. Who turns the first bowl?");
await ada.getByTestId("compose-submit").click();
await post(chidi).waitFor();
const postId = Number(await post(chidi).getAttribute("data-post-id"));

for (const page of [ada, chidi]) {
  await post(page).getByTestId("post-open").click();
  await page.locator('[data-testid="thread"][data-state="live"]').waitFor();
}
await chidi.getByTestId("log-clear").click();

/** Waits until both windows show what was written last. */
const seen = (text) => Promise.all([ada, chidi].map((page) => page.getByTestId("comment-item").filter({ hasText: text }).first().waitFor()));
await post(chidi).getByTestId("vote-button").click();
for (const userId of ["bruno", "dalia"]) await write(userId, "PUT", `/posts/${postId}/vote`);
const { comment_id: first } = await write("chidi", "POST", `/posts/${postId}/comments`, { content: "Me! There is a plum log under the stairs with my name on it." });
await seen("a plum log");
await write("bruno", "POST", `/posts/${postId}/comments`, { content: "Half of the bearings are Dalia’s. I only held the lamp." });
await seen("held the lamp");
await write("ada", "POST", `/posts/${postId}/comments`, {
  content: 'Thursday at seven, @{"id":"chidi","label":"Chidi Obi"}. I bring the gouges.',
  parent_comment_id: first,
});
await seen("bring the gouges");
await write("eero", "PUT", `/posts/${postId}/vote`);
for (const page of [ada, chidi]) await post(page).getByTestId("vote-count").filter({ hasText: /^4$/ }).waitFor();

await chidi.locator('[data-testid="log-entry"][data-event="post:voteChanged"] summary').first().click();
await chidi.getByTestId("log-cursor").first().waitFor();
// One notice is enough, and none over the log.
for (const notice of await chidi.getByTestId("toast").all()) await notice.evaluate((node) => node.remove());
await ada.getByTestId("toast").evaluateAll((notices) => notices.slice(0, -1).forEach((node) => node.remove()));
for (const page of [ada, chidi]) await post(page).evaluate((node) => node.scrollIntoView({ block: "start" }));

/** The window as it comes to rest. */
async function shot(page) {
  await page.bringToFront();
  await page.mouse.move(0, 0);
  await page.evaluate(async () => {
    document.activeElement?.blur();
    await Promise.allSettled(document.getAnimations().map((animation) => animation.finished));
  });
  return `data:image/png;base64,${(await page.screenshot()).toString("base64")}`;
}

const windows = [
  { title: "Ada’s window", image: await shot(ada) },
  { title: "Chidi’s window, and what his browser is told", image: await shot(chidi) },
];
const frame = await browser.newPage();
// From there the fonts of the page may be used.
await frame.goto(String(new URL("/healthz", demo)));
await frame.setViewportSize({ width: WIDTHS.ada + WIDTHS.chidi + 96, height: HEIGHT + 104 });
await frame.setContent(`<!doctype html><style>
  @font-face { font-family: Schibsted; src: url(/demo/fonts/schibsted-grotesk.woff2); font-weight: 400 900; }
  body { margin: 0; display: flex; gap: 32px; padding: 32px; background: #cfd8d2; font: 600 15px/36px Schibsted; color: #33413a; }
  figure { margin: 0; border-radius: 12px; overflow: hidden; box-shadow: 0 1px 3px #15201b33, 0 18px 40px -18px #15201b80; background: #fbfcfa; }
  figcaption { height: 36px; padding: 0 16px; border-bottom: 1px solid #d5dcd7; display: flex; align-items: center; gap: 7px; }
  i { width: 10px; height: 10px; border-radius: 50%; background: #b9c4bd; } i:last-of-type { margin-right: 9px; }
  img { display: block; }
</style>${windows.map(({ title, image }) => `<figure><figcaption><i></i><i></i><i></i>${title}</figcaption><img src="${image}"></figure>`).join("")}`);
await frame.evaluate(() => document.fonts.ready);
await frame.evaluate(() => Promise.all([...document.images].map((image) => image.decode())));
await fs.writeFile(file, await frame.screenshot());
await browser.close();
