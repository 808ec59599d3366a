// Every page, clicked through.
import { assert, drawn, hostLink, until } from "./help.mjs";

export async function pages({ step, base, title }) {
  await step("overview lists hosts with state as shape and word", async ({ open, shot }) => {
    const page = await open();
    await hostLink(page, base);
    await page.waitForSelector("[data-testid=page-overview]");
    const state = page.locator("[data-testid=host-row] .state").first();
    assert((await state.locator("svg.shape").count()) === 1, "no shape");
    assert(/OK|Warning|Critical|Pending|No data|Silenced/.test(await state.innerText()), "no word");
    await until("a line of the load", () => page.locator("[data-testid=spark]").count(), 60_000);
    await shot(page, "overview");
    await page.getByTestId("filter-hosts").fill("no-such-host-anywhere");
    await page.getByText("Nothing matches the filter").waitFor();
    assert(page.url().includes("q=no-such-host"), "the filter is not in the URL");
    await page.getByRole("button", { name: "Clear the filter" }).click();
    await page.waitForSelector("[data-testid=host-row]");
    await page.getByTestId("as-tiles").click();
    await page.waitForSelector(".tile");
    await shot(page, "overview-tiles");
  });

  await step("host shows graphs that have drawn", async ({ open, shot }) => {
    const page = await open();
    await (await hostLink(page, base)).click();
    await page.waitForSelector("[data-testid=page-host]");
    await drawn(page, 4, 60_000);
    await shot(page, "host");
    await page.evaluate(() => scrollTo(0, document.body.scrollHeight));
    await page.waitForTimeout(1500);
    await drawn(page, 6);
    await page.waitForSelector("[data-testid=disk-table] tbody tr");
    await shot(page, "host-whole", true);
  });

  await step("range buttons, zoom and back live in the URL", async ({ open }) => {
    const page = await open();
    await (await hostLink(page, base)).click();
    await drawn(page, 2, 60_000);
    await page.getByTestId("span-now-1d").click();
    await until("the day in the URL", () => page.url().includes("from=now-1d"));
    // A server that has just begun has one point of the day.
    await drawn(page, 2, 30_000, 1);
    await page.goBack();
    await until("the hour again", () => !page.url().includes("from=now-1d"));
    await page.getByTestId("range").click();
    await page.getByTestId("range-now-15m").click();
    await until("fifteen minutes", () => page.url().includes("from=now-15m"));
    await drawn(page, 2);
    const over = page.locator("[data-testid=chart] .u-over").first();
    const box = await over.boundingBox();
    await page.mouse.move(box.x + box.width * 0.5, box.y + 40);
    await page.mouse.down();
    await page.mouse.move(box.x + box.width * 0.9, box.y + 60, { steps: 5 });
    await page.mouse.up();
    await until("an absolute range", () => /from=\d{4}-/.test(page.url()));
    await page.waitForTimeout(800);
    await over.dblclick();
    await until("the range before", () => page.url().includes("from=now-15m"));
  });

  await step("crosshair shows a table, the legend isolates", async ({ open, shot }) => {
    const page = await open();
    await (await hostLink(page, base)).click();
    await page.getByTestId("range").click();
    await page.getByTestId("range-now-15m").click();
    const all = await drawn(page, 2, 60_000);
    assert(all.some((g) => g.series > 1), "no graph with several series");
    const chart = page.locator("[data-testid=chart]").first();
    const box = await chart.locator(".u-over").boundingBox();
    // The newest samples are at the right, and a fresh server has only those; a refresh may take the table away once.
    let turn = 0;
    await until("rows in the tooltip", async () => {
      const x = [0.995, 0.99, 0.98, 0.97, 0.95, 0.9][turn++ % 6];
      await page.mouse.move(box.x + box.width * x, box.y + box.height / 2 + (turn % 3));
      await page.waitForTimeout(100);
      return (await chart.locator(".chart-tip tr").count()) >= 1;
    });
    assert((await chart.locator(".chart-tip tr.near").count()) === 1, "the nearest line is not marked");
    await shot(page, "tooltip");
    const graph = page.locator("section.graph").first();
    const before = Number(await chart.getAttribute("data-series-count"));
    await graph.locator(".legend-name").first().click();
    await until("one series", async () => (await chart.getAttribute("data-series-count")) === "1");
    await graph.locator(".legend-name").first().click();
    await until("all series", async () => Number(await chart.getAttribute("data-series-count")) === before);
    await graph.locator(".graph-head button").click();
    await page.getByRole("menuitem", { name: "Open in Explore" }).click();
    await page.waitForSelector("[data-testid=page-explore]");
    await drawn(page, 1);
  });

  await step("explore: typed with completion, graph, table, error", async ({ open, shot }) => {
    const page = await open();
    await page.goto(`${base}/explore`);
    await page.waitForSelector("[data-testid=examples]");
    await shot(page, "explore-empty");
    const content = page.locator("[data-testid=editor] .cm-content");
    await content.click();
    await page.keyboard.type("node_lo", { delay: 40 });
    await page.locator(".cm-tooltip-autocomplete li", { hasText: "node_load1" }).first().waitFor();
    await shot(page, "explore-completion");
    await page.keyboard.press("Escape");
    await page.keyboard.press("Control+A");
    await page.keyboard.type("max by (instance) (node_load1)");
    await page.keyboard.press("Escape");
    await page.keyboard.press("Enter");
    await until("the query in the URL", () => page.url().includes("g0.expr=max"));
    await drawn(page, 1);
    await shot(page, "explore-graph");
    await page.getByTestId("tab-table").click();
    await page.waitForSelector("[data-testid=result-table] tbody tr");
    assert(page.url().includes("g0.tab=table"), "the tab is not in the URL");
    await shot(page, "explore-table");
    await page.reload();
    await page.waitForSelector("[data-testid=result-table] tbody tr");
    await page.getByTestId("add-panel").click();
    await until("two panels", async () => (await page.getByTestId("panel").count()) === 2);
    page.expected.push(/400 \(Bad Request\)|422/);
    await page.goto(`${base}/explore?g0.expr=sum(&g0.tab=table`);
    await page.waitForSelector(".error");
    assert(/parse error|unexpected|expected/i.test(await page.locator(".error-text").innerText()), "not the server's words");
    assert((await page.locator(".error .code").innerText()).includes("curl"), "no request to copy");
    await shot(page, "explore-error");
  });

  await step("targets: filter, open a row", async ({ open, shot }) => {
    const page = await open();
    await page.goto(`${base}/targets`);
    await page.waitForSelector("[data-testid=page-targets]");
    await page.waitForSelector("[data-testid=target-row]");
    await shot(page, "targets");
    const row = page.locator("[data-testid=target-row]").first();
    await row.locator(".linkbtn").click();
    await page.getByTestId("target-labels").waitFor();
    assert(page.url().includes("open="), "the open row is not in the URL");
    if ((await row.getAttribute("data-health")) === "down") assert((await page.getByTestId("target-error").innerText()).length > 10, "no error in full");
    await shot(page, "targets-open");
    await page.reload();
    await page.getByTestId("target-labels").waitFor();
    await page.getByTestId("pool-row").first().locator("button").click();
    await until("the folded job in the URL", () => page.url().includes("fold="));
    await page.getByTestId("filter-targets").fill("zzz-none");
    await page.getByText("Nothing matches the filter").waitFor();
  });

  await step("service discovery: kept, dropped, and the rule that dropped", async ({ open, shot }) => {
    const page = await open();
    await page.goto(`${base}/targets`);
    await page.getByTestId("tab-service-discovery").click();
    await page.waitForSelector("[data-testid=page-discovery]");
    await page.waitForSelector("[data-testid=found-row]");
    await page.locator("[data-testid=found-row][data-state=kept] .linkbtn").first().click();
    await page.getByTestId("found-labels").waitFor();
    await page.getByTestId("relabel-steps").waitFor();
    await shot(page, "discovery");
    const dropped = page.locator("[data-testid=found-row][data-state=dropped] .linkbtn").first();
    if ((await dropped.count()) === 0) return;
    await page.getByTestId("state-dropped").click();
    await until("dropped ones alone", async () => (await page.locator("[data-testid=found-row][data-state=kept]").count()) === 0);
    await dropped.click();
    await page.locator("[data-testid=relabel-step][data-dropped=true]").getByText("This rule drops the target").waitFor();
    await shot(page, "discovery-dropped");
  });

  await step("rules: health, filter, a rule opened leads to Explore", async ({ open, shot }) => {
    const page = await open();
    await page.goto(`${base}/rules`);
    await page.waitForSelector("[data-testid=rule-row]");
    assert((await page.getByTestId("group-row").first().innerText()).includes("every"), "no interval");
    const wrong = page.getByTestId("health-err");
    if ((await wrong.count()) > 0) {
      await wrong.click();
      await until("broken ones alone", async () => (await page.locator("[data-testid=rule-row]:not([data-health=err])").count()) === 0);
      await page.locator("[data-testid=rule-row] .linkbtn").first().click();
      assert((await page.getByTestId("rule-error").innerText()).length > 10, "no error in full");
      await shot(page, "rules-error");
      await wrong.click();
    }
    await page.getByTestId("filter-rules").fill("zzz-none");
    await page.getByText("Nothing matches the filter").waitFor();
    await page.goto(`${base}/rules?q=TargetDown`);
    await page.locator("[data-testid=rule-row] .linkbtn").first().click();
    await shot(page, "rules");
    await page.getByTestId("rule-details").getByText("Open in Explore").click();
    await page.waitForSelector("[data-testid=page-explore]");
  });

  await step("alerts by rule, as Prometheus shows them", async ({ open, shot }) => {
    const page = await open();
    await page.goto(`${base}/alerts`);
    await page.getByTestId("by-rule").click();
    await until("the view in the URL", () => page.url().includes("by=rule"));
    await page.waitForSelector("[data-testid=rule-row]");
    await shot(page, "alerts-by-rule");
    const firing = page.locator("[data-testid=rule-row][data-state=firing] .linkbtn").first();
    if ((await firing.count()) === 0) return;
    await firing.click();
    await page.getByTestId("active-alerts").first().waitFor();
    await shot(page, "alerts-by-rule-open");
  });

  await step("maintenance: a window is previewed, made, ended, deleted", async ({ open, shot }) => {
    const page = await open();
    await page.goto(`${base}/maintenance`);
    await page.waitForSelector("[data-testid=page-maintenance]");
    const name = `browser ${Date.now()}`;
    await page.getByTestId("new-window").click();
    await page.getByTestId("window-name").fill(name);
    await page.getByTestId("window-matchers").fill('alertname=~".*"');
    assert(await page.getByTestId("window-submit").isDisabled(), "a window may hide everything");
    await page.getByTestId("window-matchers").fill(`alertname="${name}"`);
    await page.getByTestId("window-zone").fill("UTC");
    await page.getByTestId("window-owner").fill("browser test");
    await page.getByTestId("window-reason").fill("made by the browser test");
    // A rule that the server does not take is refused in its words, before anything is made.
    page.expected.push(/400 \(Bad Request\)/);
    await page.getByTestId("window-repeat").selectOption("custom");
    await page.getByTestId("window-rule").fill("FREQ=HOURLY");
    await until("the server's words", async () => /BYHOUR/.test(await page.getByTestId("window-refused").innerText()));
    assert(await page.getByTestId("window-submit").isDisabled(), "a wrong rule may be sent");
    await shot(page, "maintenance-refused");
    await page.getByTestId("window-repeat").selectOption("daily");
    // It began an hour ago, so it runs at once.
    await page.getByTestId("window-start").fill(new Date(Date.now() - 3_600_000).toISOString().slice(0, 16));
    await until("five runs", async () => (await page.getByTestId("window-runs").locator("li").count()) === 5);
    await until("the preview", async () => (await page.getByTestId("window-preview").getAttribute("data-count")) === "0");
    await shot(page, "maintenance-form");
    await page.getByTestId("window-submit").click();
    const row = page.locator("[data-testid=window-row]", { hasText: name });
    await row.waitFor();
    assert((await row.getAttribute("data-state")) === "active", "it does not run");
    // Opened by the keyboard.
    await row.focus();
    await page.keyboard.press("Enter");
    await page.getByTestId("window-details").waitFor();
    await shot(page, "maintenance-open");
    await row.getByTestId("end-window").click();
    await until("planned again", async () => (await row.getAttribute("data-state")) === "waiting");
    await row.getByTestId("change-window").click();
    assert((await page.getByTestId("window-repeat").inputValue()) === "daily", "the rule is not read back");
    await page.getByTestId("window-repeat").selectOption("weekly");
    await page.getByTestId("window-submit").click();
    await until("changed", async () => /Every week/.test(await row.innerText()));
    await page.getByTestId("delete-window").click();
    await until("gone", async () => (await row.count()) === 0);
    await page.getByRole("button", { name: "Undo" }).click();
    await row.waitFor();
    await row.focus();
    await page.keyboard.press("Enter");
    if ((await page.getByTestId("delete-window").count()) === 0) await page.keyboard.press("Enter");
    await page.getByTestId("delete-window").click();
    await until("gone for good", async () => (await row.count()) === 0);
  });

  await step("alerts: a silence is made, ended, undone", async ({ open, shot }) => {
    const page = await open();
    await page.goto(`${base}/alerts`);
    await page.waitForSelector("[data-testid=page-alerts]");
    await page.locator("[data-testid=alert-row], .empty").first().waitFor();
    await shot(page, "alerts");
    await page.getByTestId("tab-silences").click();
    await page.waitForSelector("[data-testid=page-silences]");
    const name = `BrowserTest${Date.now()}`;
    await page.getByTestId("new-silence").click();
    await page.getByTestId("silence-matchers").fill('alertname=~".*"');
    await page.getByText("This would hide every alert").waitFor();
    await page.getByTestId("silence-matchers").fill(`alertname="${name}"`);
    await page.getByTestId("silence-length").fill("5m");
    await page.getByTestId("silence-author").fill("browser test");
    await page.getByTestId("silence-comment").fill("made by the browser test");
    await page.getByText("None fires now").waitFor();
    await shot(page, "silence-form");
    await page.getByTestId("silence-submit").click();
    const row = page.locator("[data-testid=silence-row]", { hasText: name });
    await row.waitFor();
    await page.getByTestId("filter-silences").fill("nobody made this");
    await row.waitFor({ state: "detached" });
    await page.getByTestId("filter-silences").fill("browser test");
    await row.waitFor();
    await shot(page, "silence-made");
    await row.getByTestId("expire-silence").click();
    await row.waitFor({ state: "detached" });
    await page.getByTestId("toast").filter({ hasText: "ended" }).getByTestId("toast-action").click();
    await row.waitFor();
    await row.getByTestId("expire-silence").click();
    await row.waitFor({ state: "detached" });
  });

  await step("alerts: taken in hand by the keyboard, many at once, and given back", async ({ open, shot }) => {
    const page = await open();
    await page.goto(`${base}/alerts`);
    await page.locator("[data-testid=alert-row], .empty").first().waitFor();
    const row = page.locator("[data-testid=alert-row]", { has: page.getByTestId("ack-alert") }).first();
    if ((await row.count()) === 0) return;
    const name = await row.locator("b").innerText();
    await row.focus();
    // A dialog that is closed gives the focus back to the row.
    await page.keyboard.press("u");
    await page.getByTestId("on-call-form").waitFor();
    await page.keyboard.press("Escape");
    await page.getByTestId("on-call-form").waitFor({ state: "detached" });
    await until("the focus on the row", () => row.evaluate((e) => e === document.activeElement));
    await page.keyboard.press("x");
    await page.getByTestId("bulkbar").waitFor();
    await shot(page, "alerts-picked");
    await page.getByTestId("bulk-ack").click();
    await page.getByTestId("on-call-author").fill("browser test");
    await page.getByTestId("on-call-comment").fill("made by the browser test");
    await shot(page, "alerts-ack-form");
    await page.getByTestId("on-call-submit").click();
    const held = page.locator("[data-testid=alert-row]", { hasText: name }).filter({ hasText: "browser test has it" }).first();
    await held.waitFor();
    await shot(page, "alerts-acknowledged");
    await held.getByTestId("unack-alert").click();
    await held.waitFor({ state: "detached" });
  });

  await step("alerts: silencing a firing alert shows what it hides", async ({ open, shot }) => {
    const page = await open();
    await page.goto(`${base}/alerts`);
    await page.locator("[data-testid=alert-row], .empty").first().waitFor();
    const button = page.getByTestId("silence-alert").first();
    if ((await button.count()) === 0) {
      assert((await page.getByText("All quiet").count()) + (await page.locator("[data-state=pending],[data-state=silenced]").count()) > 0, "neither an alert nor the word that there is none");
      await shot(page, "alerts-quiet");
      return;
    }
    await button.click();
    await until("the preview", async () => Number(await page.getByTestId("silence-preview").getAttribute("data-count")) >= 1);
    await shot(page, "silence-preview");
  });

  await step("status: build, configuration, flags, cardinality, Alertmanager", async ({ open, shot }) => {
    const page = await open();
    await page.goto(`${base}/status`);
    await page.waitForSelector("[data-testid=page-status]");
    await page.getByText("No query runs right now.").waitFor();
    await shot(page, "status", true);
    await page.getByTestId("tab-tsdb-status").click();
    await page.getByText("Metrics by series").waitFor();
    await page.getByText("What to do about it").first().click();
    await page.getByTestId("tsdb-limit").selectOption("20");
    await until("the number in the URL", () => page.url().includes("limit=20"));
    await shot(page, "cardinality", true);
    await page.getByTestId("tab-config").click();
    await page.waitForSelector("[data-testid=config-yaml]");
    await shot(page, "config");
    await page.getByTestId("tab-flags").click();
    await page.getByTestId("filter-flags").fill("external-url");
    await until("one flag", async () => (await page.locator("[data-testid=flags] tr").count()) === 1);
    await shot(page, "flags");
    await page.getByTestId("tab-alertmanager-discovery").click();
    await page.getByText("Alerts are sent to").waitFor();
    await shot(page, "alertmanagers");
    await page.goto(`${base}/status#config`);
    await page.waitForSelector("[data-testid=page-config]");
  });

  await step("a slow query is seen and stopped", async ({ open, shot }) => {
    const page = await open();
    page.expected.push(/422|503|499/);
    await page.goto(`${base}/status`);
    const now = Date.now() / 1000;
    // Sorting millions of values thousands of times: it would take minutes.
    const slow = new URLSearchParams({ query: "quantile_over_time(0.5, vector(time())[20m:1ms])", start: String(now - 10_000), end: String(now), step: "1" });
    const answer = page.evaluate((url) => fetch(url).then((got) => got.status, () => 0), `${base}/api/v1/query_range?${slow}`);
    const row = page.locator("[data-testid=query-row]", { hasText: "quantile_over_time" });
    await row.waitFor();
    await shot(page, "queries");
    await row.getByTestId("stop-query").click();
    await row.waitFor({ state: "detached" });
    const status = await answer;
    assert(status !== 200, `a stopped query answers ${status}`);
  });

  await step("deleting series asks for the selector first", async ({ open, shot }) => {
    const page = await open();
    await page.goto(`${base}/tsdb-status`);
    await page.getByText("Metrics by series").waitFor();
    const button = page.getByTestId("delete-series").first();
    if ((await button.count()) === 0) {
      await page.getByText("--web.enable-admin-api").waitFor();
      return;
    }
    await button.click();
    await page.getByTestId("delete-form").waitFor();
    assert(await page.getByTestId("delete-go").isDisabled(), "nothing was typed");
    const selector = await page.getByTestId("delete-confirm").getAttribute("placeholder");
    await page.getByTestId("delete-confirm").fill(selector);
    assert(!(await page.getByTestId("delete-go").isDisabled()), "the selector was typed");
    await shot(page, "delete-series");
    await page.keyboard.press("Escape");
    await page.getByTestId("delete-form").waitFor({ state: "detached" });
  });

  await step("notices are shown live, and go", async ({ open, shot }) => {
    const page = await open();
    // The real stream says nothing while all is well: this one does.
    const at = new Date().toISOString();
    const event = (active) => `data: ${JSON.stringify({ text: "Configuration reload has failed.", date: at, active })}\n\n`;
    let turn = 0;
    await page.route("**/api/v1/notifications/live", (route) => route.fulfill({ contentType: "text/event-stream", body: `retry: 300\n${event(turn++ < 3)}` }));
    await page.goto(`${base}/targets`);
    await page.getByTestId("notice").getByText("could not be reloaded").waitFor();
    await shot(page, "notice");
    await page.getByTestId("notice").waitFor({ state: "detached" });
  });

  await step("keyboard: palette, help, g a, j, filter", async ({ open, shot }) => {
    const page = await open();
    await hostLink(page, base);
    await page.keyboard.press("Control+k");
    await page.getByTestId("palette").waitFor();
    await page.keyboard.type("node_load1");
    await page.locator(".palette-item", { hasText: "node_load15" }).waitFor();
    await shot(page, "palette");
    await page.keyboard.press("Enter");
    await page.waitForSelector("[data-testid=page-explore]");
    await drawn(page, 1);
    await page.goto(`${base}/`);
    await page.waitForSelector("[data-testid=host-row]");
    await page.keyboard.press("?");
    await page.getByTestId("help").waitFor();
    await shot(page, "help");
    await page.keyboard.press("Escape");
    await page.getByTestId("help").waitFor({ state: "detached" });
    await page.keyboard.press("j");
    assert(await page.evaluate(() => document.activeElement?.hasAttribute("data-row")), "j does not reach a row");
    await page.keyboard.press("/");
    assert(await page.evaluate(() => document.activeElement?.hasAttribute("data-filter")), "/ does not reach the filter");
    await page.keyboard.press("Escape");
    await page.evaluate(() => document.activeElement?.blur());
    await page.keyboard.press("g");
    await page.keyboard.press("a");
    await page.waitForSelector("[data-testid=page-alerts]");
  });

  await step("unknown paths lead on, old Prometheus paths still work", async ({ open, shot }) => {
    const page = await open();
    await page.goto(`${base}/no/such/page`);
    await page.waitForSelector("[data-testid=page-notfound]");
    await shot(page, "notfound");
    await page.goto(`${base}/graph?g0.expr=up&g0.tab=1&g0.range_input=6h`);
    await page.waitForSelector("[data-testid=result-table]");
    assert(page.url().includes("/explore?from=now-6h"), page.url());
    for (const [path, id] of [["/rules", "page-rules"], ["/config", "page-config"], ["/flags", "page-flags"], ["/tsdb-status", "page-tsdb"], ["/service-discovery", "page-discovery"], ["/alertmanager-discovery", "page-alertmanagers"], ["/classic/targets", "page-targets"], ["/classic/rules", "page-rules"], ["/classic/alerts", "page-alerts"], ["/classic/status", "page-status"], ["/alerts#rules", "page-rules"], ["/agent", "page-status"]]) {
      await page.goto(`${base}${path}`);
      await page.waitForSelector(`[data-testid=${id}]`);
    }
    await page.goto(`${base}/hosts/no.such.host:9100`);
    await page.getByText("No host is called no.such.host:9100").waitFor();
  });

  await step("every page from its address, whatever stands before it", async ({ open }) => {
    const page = await open();
    const prefix = new URL(base).pathname.replace(/\/$/, "");
    for (const path of ["/", "/explore", "/alerts", "/rules", "/targets", "/service-discovery", "/status", "/tsdb-status", "/config", "/flags", "/alertmanager-discovery", "/hosts/no.such.host:9100", "/classic/graph"]) {
      await page.goto(`${base}${path}`);
      await page.locator("[data-testid^=page-]").first().waitFor();
      const links = await page.locator("nav.rail a").evaluateAll((list) => list.map((a) => new URL(a.href).pathname));
      assert(links.length > 0 && links.every((l) => l.startsWith(`${prefix}/`)), `${path}: ${links}`);
      assert(title === "" || (await page.title()).endsWith(` · ${title}`), `${path}: ${await page.title()}`);
    }
    // A proxy that takes a path off before it passes a request on: the server knows nothing of it.
    const { origin } = new URL(base);
    await page.route(`${origin}/behind/a/proxy/**`, async (route) => {
      const url = route.request().url().replace("/behind/a/proxy", prefix);
      if (url.endsWith("/live")) return route.fulfill({ status: 204 });
      return route.fulfill({ response: await route.fetch({ url }) });
    });
    for (const path of ["/targets", "/hosts/no.such.host:9100", "/"]) {
      await page.goto(`${origin}/behind/a/proxy${path}`);
      await page.locator("[data-testid^=page-]").first().waitFor();
      const link = await page.getByTestId("nav-navStatus").getAttribute("href");
      assert(link.startsWith("/behind/a/proxy/"), `${path}: ${link}`);
    }
    // What is still on its way is asked of the server, which does not know that path.
    page.expected.push(/404|Refused to apply style/);
    await page.unrouteAll({ behavior: "ignoreErrors" });
    // Without the slash at the end the page's files would be looked for one folder too high.
    await page.goto(base);
    await page.locator("[data-testid^=page-]").first().waitFor();
  });

  await step("history lists what happened, filtered in the address", async ({ open, shot }) => {
    const page = await open();
    const told = await page.request.post(`${base}/api/v2/alerts`, { data: [{ labels: { alertname: "Remembered", severity: "page", instance: "web1:9100" } }] });
    assert(told.ok(), "the alert was not taken");
    await page.goto(`${base}/history`);
    await page.waitForSelector("[data-testid=history-row]");
    await page.getByTestId("filter-history").fill("Remembered");
    await until("its row", async () => (await page.locator("[data-testid=history-row][data-kind=firing]").count()) === 1);
    assert(page.url().includes("q=Remembered"), "the filter is not in the address");
    assert(/Fires/.test(await page.locator("[data-testid=history-row]").first().innerText()), "no word for what happened");
    await shot(page, "history");
    await page.getByTestId("kind-histSent").click();
    await page.getByText("Nothing that is kept fits the filter").waitFor();
    await page.goto(`${base}/alerts?q=Remembered`);
    await page.locator("[data-testid=alert-row]").first().click();
    await page.waitForSelector("[data-testid=alert-history] [data-testid=history-row]");
    await shot(page, "alert-history");
    await page.request.post(`${base}/api/v2/alerts`, { data: [{ labels: { alertname: "Remembered", severity: "page", instance: "web1:9100" }, endsAt: new Date().toISOString() }] });
  });

  await step("routes are explained, receivers are listed", async ({ open, shot }) => {
    const page = await open();
    await page.goto(`${base}/routes`);
    await page.waitForSelector("[data-testid=route]");
    await page.getByTestId("explain-labels").fill('alertname="Remembered", severity="page"');
    await page.getByTestId("explain").click();
    await page.waitForSelector("[data-testid=route][data-outcome=taken]");
    await page.getByTestId("hold").first().waitFor();
    assert(page.url().includes("labels="), "the labels are not in the address");
    await shot(page, "routes");
    await page.goto(`${base}/receivers`);
    await page.waitForSelector("[data-testid=receiver]");
    await shot(page, "receivers");
  });

  await step("a rule is tried over what is stored", async ({ open, shot }) => {
    const page = await open();
    await page.goto(`${base}/rules?type=alerting`);
    await page.locator("[data-testid=rule-row] button").first().click();
    await page.getByTestId("try-expr").fill("up >= 0");
    await page.getByTestId("try-for").fill("0s");
    await page.getByTestId("try-run").click();
    await page.waitForSelector("[data-testid=try-answer] tbody tr");
    assert(/firings/.test(await page.getByTestId("try-answer").innerText()), "no count of firings");
    await shot(page, "try-rule");
  });
}
