// Fifty thousand targets, three thousand hosts: the pages stay quick under the hand, and the document small.
import { assert, fits, until } from "./help.mjs";

const N = 50_000;
/** Elements in the document, however many targets there are. */
const NODES_MAX = 3000;
/** From a key press to the list that fits it, in ms. Generous: a machine under load shall pass, a page that draws all rows shall not. */
const KEY_MS_MAX = 1000;
/** Time between two frames while scrolling, in ms: the median, since one alone may be another program's fault. */
const FRAME_MS_MAX = 1000;

/** As the server says it: ten jobs, one target of a hundred down. */
export function targetsAnswer(n = N) {
  const at = new Date().toISOString();
  const target = (i) => {
    const job = `job-${i % 10}`;
    const instance = `host-${String(i).padStart(5, "0")}.example:9100`;
    const down = i % 100 === 7;
    return {
      discoveredLabels: { __address__: instance, __metrics_path__: "/metrics", __scheme__: "http", __scrape_interval__: "15s", __scrape_timeout__: "10s", job, __meta_zone: `zone-${i % 7}` },
      labels: { instance, job, zone: `zone-${i % 7}` },
      scrapePool: job,
      scrapeUrl: `http://${instance}/metrics`,
      globalUrl: `http://${instance}/metrics`,
      lastError: down ? `Get "http://${instance}/metrics": dial tcp 10.0.0.1:9100: connect: connection refused` : "",
      lastScrape: at,
      lastScrapeDuration: 0.012,
      health: down ? "down" : "up",
      scrapeInterval: "15s",
      scrapeTimeout: "10s",
    };
  };
  return JSON.stringify({ status: "success", data: { activeTargets: Array.from({ length: n }, (_, i) => target(i)), droppedTargets: [], droppedTargetCounts: {} } });
}

const nodes = (page) => page.evaluate(() => document.getElementsByTagName("*").length);

/** Longest time between frames, in ms, while the page is scrolled from top to bottom in `steps`. */
function scrolled(page, steps) {
  return page.evaluate(async (steps) => {
    const whole = document.documentElement.scrollHeight - innerHeight;
    const gaps = [];
    let last = performance.now();
    for (let i = 1; i <= steps; i++) {
      scrollTo(0, (whole * i) / steps);
      await new Promise((r) => requestAnimationFrame(r));
      const now = performance.now();
      gaps.push(now - last);
      last = now;
    }
    gaps.sort((a, b) => a - b);
    return { longest: gaps.at(-1), median: gaps[gaps.length >> 1] };
  }, steps);
}

/** Types `key` into the filter; ms until the list is the one for it and has been painted. */
async function pressed(page, key) {
  await page.evaluate(() => {
    const table = document.querySelector("[data-testid=page-targets]");
    const input = document.querySelector("[data-testid=filter-targets]");
    window.pressTook = new Promise((done) => {
      input.addEventListener("input", () => {
        const begun = performance.now();
        const seen = new MutationObserver(() => {
          seen.disconnect();
          requestAnimationFrame(() => setTimeout(() => done(performance.now() - begun)));
        });
        seen.observe(table.querySelector("[role=rowgroup]") ?? table, { childList: true, subtree: true, characterData: true, attributes: true });
      }, { once: true });
    });
  });
  await page.keyboard.press(key);
  return page.evaluate(() => window.pressTook);
}

/** What the queries of the Overview say of `n` hosts of ten services, one of a hundred down. */
function hostsAnswer(query, n) {
  const values = { up: (i) => (i % 100 === 7 ? 0 : 1), node_uname_info: () => 1, node_load1: (i) => (i % 40) / 10 };
  const value = values[query.replace(/^last_over_time\((\w+)\[1d\]\)$/, "$1")];
  const now = Date.now() / 1000;
  const labels = (i) => ({ instance: `host-${String(i).padStart(5, "0")}.example:9100`, job: `job-${i % 10}`, nodename: `host-${String(i).padStart(5, "0")}` });
  const result = value ? Array.from({ length: n }, (_, i) => ({ metric: labels(i), value: [now, String(value(i))] })) : [];
  return JSON.stringify({ status: "success", data: { resultType: "vector", result } });
}

/** As the manager says it: ten names in two hundred groups of ten, a third of them critical. */
function alertsAnswer() {
  const startsAt = new Date(Date.now() - 600_000).toISOString();
  const alert = (i) => ({
    labels: { alertname: `Storm${i % 10}`, cluster: `cluster-${i % 200}`, instance: `host-${i}.cluster-${i % 200}.example.com:9100`, job: "node", severity: i % 3 === 0 ? "critical" : "warning" },
    annotations: { summary: `Storm on host-${i}: a long text that does not fit beside a long name of a host, ${"word ".repeat(i % 17)}` },
    startsAt, updatedAt: startsAt, endsAt: new Date(Date.now() + 600_000).toISOString(),
    fingerprint: i.toString(16).padStart(16, "0"), receivers: [{ name: "team" }], status: { state: "active", silencedBy: [], inhibitedBy: [], mutedBy: [] },
  });
  return JSON.stringify(Array.from({ length: 2000 }, (_, i) => alert(i)));
}

export async function many({ step, base }) {
  for (const [name, width, height] of [["wide", 1440, 900], ["phone", 390, 844]]) {
    await step(`two thousand alerts, ${name}: in groups, few elements, taken by group`, async ({ open, shot }) => {
      const page = await open({ width, height });
      await page.route(/\/api\/v2\/alerts(\?|$)/, (route) => route.fulfill({ contentType: "application/json", body: alertsAnswer() }));
      await page.goto(`${base}/alerts?refresh=off`);
      const storm = page.locator("[data-testid=alert-group]", { hasText: "Storm3" });
      await storm.waitFor();
      assert((await page.locator("[data-testid=alert-row]").count()) === 0, "so many alerts do not begin folded");
      await shot(page, `many-alerts-groups-${name}`);
      await storm.focus();
      await page.keyboard.press("ArrowRight");
      await page.locator("[data-testid=alert-row]").first().waitFor();
      await fits(page);
      await shot(page, `many-alerts-${name}`);
      const still = await nodes(page);
      const scroll = await scrolled(page, 60);
      const moved = await nodes(page);
      assert(Math.max(still, moved) < NODES_MAX, `${still} elements, ${moved} after scrolling`);
      await page.getByTestId("filter-alerts").fill("cluster=cluster-77 ");
      await until("ten alerts of one cluster, open", async () => (await page.locator("[data-testid=alert-row]").count()) === 10);
      await page.getByTestId("group-by").selectOption("severity");
      await until("groups of severities", async () => (await page.locator("[data-testid=alert-group]").count()) === 2);
      assert(page.url().includes("group=severity"), "the grouping is not in the address");
      await page.locator("[data-testid=alert-group]").first().focus();
      await page.keyboard.press("x");
      await page.getByTestId("bulkbar").waitFor();
      await shot(page, `many-alerts-picked-${name}`);
      assert(scroll.median < FRAME_MS_MAX, `a frame ${scroll.median.toFixed(0)} ms`);
    });
  }
  for (const [name, width, height] of [["wide", 1440, 900], ["phone", 390, 844]]) {
    for (const layout of ["list", "tiles"]) {
      await step(`three thousand hosts, ${name}, ${layout}: few elements`, async ({ open, shot }) => {
        const page = await open({ width, height, settings: { overview: layout } });
        await page.route("**/api/v1/query?*", (route) => route.fulfill({ contentType: "application/json", body: hostsAnswer(new URL(route.request().url()).searchParams.get("query"), 3000) }));
        await page.goto(`${base}/?refresh=off`);
        await page.waitForSelector(layout === "list" ? "[data-testid=host-row]" : ".tile", { timeout: 30_000 });
        assert((await page.getByText("3000").count()) > 0, "not all are counted");
        await fits(page);
        const still = await nodes(page);
        const scroll = await scrolled(page, 60);
        const moved = await nodes(page);
        await shot(page, `many-hosts-${layout}-${name}`);
        const figures = `${still} elements (${moved} after scrolling), a frame ${scroll.median.toFixed(0)} ms (worst ${scroll.longest.toFixed(0)})`;
        console.log(`     ${figures}`);
        assert(Math.max(still, moved) < NODES_MAX, figures);
        assert(scroll.median < FRAME_MS_MAX, figures);
      });
    }
  }
  for (const [name, width, height] of [["wide", 1440, 900], ["phone", 390, 844]]) {
    await step(`fifty thousand targets, ${name}: few elements, quick keys, smooth scrolling`, async ({ open, shot }) => {
      const body = targetsAnswer();
      const page = await open({ width, height });
      await page.route("**/api/v1/targets?*", (route) => route.fulfill({ contentType: "application/json", body }));
      const begun = Date.now();
      await page.goto(`${base}/targets?refresh=off`);
      await page.waitForSelector("[data-testid=target-row]", { timeout: 30_000 });
      const first = Date.now() - begun;
      assert((await page.getByText("50000").count()) > 0, "not all are counted");
      await fits(page);
      const still = await nodes(page);
      const scroll = await scrolled(page, 120);
      const moved = await nodes(page);
      assert(Math.max(still, moved) < NODES_MAX, `${still} elements, ${moved} after scrolling`);
      await page.evaluate(() => scrollTo(0, 0));
      await page.getByTestId("filter-targets").click();
      const took = [];
      // Every one of these changes what is shown: the counts of the jobs at least.
      for (const key of [..."23456", ...Array.from({ length: 4 }, () => "Backspace"), ..."345"]) took.push(await pressed(page, key));
      await until("those with the digits", async () => (await page.locator("[data-testid=target-row]").count()) > 0 && (await page.getByTestId("filter-targets").inputValue()) === "2345");
      took.sort((a, b) => a - b);
      await shot(page, `many-${name}`);
      await page.goto(`${base}/targets?refresh=off&health=down`);
      await page.waitForSelector("[data-testid=target-row][data-health=down]");
      const figures = `${still} elements (${moved} after scrolling), first rows after ${first} ms, a key ${took[took.length >> 1].toFixed(0)} ms (worst ${took.at(-1).toFixed(0)}), a frame ${scroll.median.toFixed(0)} ms (worst ${scroll.longest.toFixed(0)})`;
      console.log(`     ${figures}`);
      assert(took[took.length >> 1] < KEY_MS_MAX, figures);
      assert(scroll.median < FRAME_MS_MAX, figures);
    });
  }
}
