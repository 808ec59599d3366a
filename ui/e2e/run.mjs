// Browser tests: a real Chromium opens every page of a running server and uses it like a person.
// node e2e/run.mjs --base http://127.0.0.1:9090 --out DIR [--chromium /usr/bin/chromium] [--only WORD] [--title TITLE]
// Writes screenshots into DIR; ends with "N passed, M failed" and the exit code.
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { chromium } from "playwright-core";
import { pages } from "./pages.mjs";
import { looks } from "./looks.mjs";
import { many } from "./many.mjs";

const arg = (name, fallback) => {
  const i = process.argv.indexOf(`--${name}`);
  return i > 0 ? process.argv[i + 1] : fallback;
};
const base = arg("base", "http://127.0.0.1:9090").replace(/\/$/, "");
const out = arg("out", "e2e-out");
const only = arg("only", "");
mkdirSync(out, { recursive: true });

const browser = await chromium.launch({
  executablePath: arg("chromium", process.env.CHROMIUM ?? "/usr/bin/chromium"),
  args: ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
});

const faults = [];
/** A page that notes every console error, fault, and request that leaves the origin. */
async function open({ width = 1440, height = 900, scheme = "light", settings } = {}) {
  const context = await browser.newContext({ viewport: { width, height }, colorScheme: scheme, locale: "en-US", timezoneId: "Asia/Tokyo", permissions: ["clipboard-read", "clipboard-write"] });
  if (settings) await context.addInitScript((s) => { if (!localStorage.getItem("hinomi.settings")) localStorage.setItem("hinomi.settings", JSON.stringify(s)); }, settings);
  const page = await context.newPage();
  page.setDefaultTimeout(15_000);
  page.expected = [];
  const own = new URL(base).origin;
  page.on("console", (m) => {
    // A path that is none is answered by a page and by 404, which the browser says.
    if (/\/(nowhere|no\/such\/page)$/.test(m.location().url)) return;
    if (m.type() === "error" && !page.expected.some((e) => e.test(m.text()))) faults.push(`console at ${page.url()}: ${m.text()}`);
  });
  page.on("pageerror", (e) => faults.push(`fault at ${page.url()}: ${e.message}`));
  page.on("request", (r) => {
    const u = new URL(r.url());
    if (!["data:", "blob:"].includes(u.protocol) && u.origin !== own) faults.push(`request left the origin: ${r.url()}`);
  });
  return page;
}

let passed = 0;
let failed = 0;
async function step(name, run) {
  if (only !== "" && !name.includes(only)) return;
  const begun = Date.now();
  const page = { current: undefined };
  try {
    await run({
      open: async (o) => (page.current = await open(o)),
      shot: (p, file, full = false) => p.screenshot({ path: join(out, `${file}.png`), fullPage: full }),
    });
    passed++;
    console.log(`ok   ${name} (${Date.now() - begun} ms)`);
  } catch (e) {
    failed++;
    console.log(`FAIL ${name}\n     ${String(e?.stack ?? e).split("\n").slice(0, 8).join("\n     ")}`);
    await page.current?.screenshot({ path: join(out, `FAIL-${name.replace(/[^a-z0-9]+/gi, "-")}.png`) }).catch(() => undefined);
  } finally {
    await page.current?.context().close().catch(() => undefined);
  }
}

await pages({ step, base, title: arg("title", "") });
await many({ step, base });
await looks({ step, base });
await step("no console error, no fault, no request outside", async () => {
  if (faults.length > 0) throw new Error([...new Set(faults)].slice(0, 10).join("\n"));
});
await browser.close();
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed > 0 ? 1 : 0);
