// Every page, clicked through.
import { assert, drawn, hostLink, until } from "./help.mjs";

export async function pages({ step, base }) {
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
    await page.locator("[data-testid=target-row] .linkbtn").first().click();
    await page.getByText("Before relabelling").waitFor();
    await page.getByTestId("filter-targets").fill("zzz-none");
    await page.getByText("Nothing matches the filter").waitFor();
  });

  await step("alerts: a silence is made, ended, undone", async ({ open, shot }) => {
    const page = await open();
    await page.goto(`${base}/alerts`);
    await page.waitForSelector("[data-testid=page-alerts]");
    await page.waitForSelector("[data-testid=rule-row]");
    await shot(page, "alerts");
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
    await shot(page, "silence-made");
    await row.getByTestId("expire-silence").click();
    await row.waitFor({ state: "detached" });
    await page.getByTestId("toast").filter({ hasText: "ended" }).getByTestId("toast-action").click();
    await row.waitFor();
    await row.getByTestId("expire-silence").click();
    await row.waitFor({ state: "detached" });
  });

  await step("alerts: silencing a firing alert shows what it hides", async ({ open, shot }) => {
    const page = await open();
    await page.goto(`${base}/alerts`);
    await page.waitForSelector("[data-testid=rule-row]");
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

  await step("status: build, configuration, flags, cardinality", async ({ open, shot }) => {
    const page = await open();
    await page.goto(`${base}/status`);
    await page.waitForSelector("[data-testid=page-status]");
    await page.waitForSelector("[data-testid=config-yaml]");
    await page.waitForSelector("[data-testid=flags] tr");
    await page.getByText("Metrics by series").waitFor();
    await page.getByText("No query runs right now.").waitFor();
    await shot(page, "status", true);
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
    for (const [path, id] of [["/rules", "page-alerts"], ["/config", "page-status"], ["/flags", "page-status"], ["/tsdb-status", "page-status"]]) {
      await page.goto(`${base}${path}`);
      await page.waitForSelector(`[data-testid=${id}]`);
    }
    await page.goto(`${base}/hosts/no.such.host:9100`);
    await page.getByText("No host is called no.such.host:9100").waitFor();
  });
}
