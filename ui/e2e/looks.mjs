// The same pages in the dark, on a phone, and in Japanese and Korean.
import { assert, drawn, fits, hostLink, until } from "./help.mjs";

const PATHS = [["explore", "/explore?g0.expr=node_load1"], ["alerts", "/alerts"], ["silences", "/silences"], ["maintenance", "/maintenance"], ["rules", "/rules"], ["history", "/history"], ["receivers", "/receivers"], ["routes", "/routes"], ["targets", "/targets"], ["discovery", "/service-discovery"], ["status", "/status"], ["tsdb", "/tsdb-status"], ["config", "/config"], ["flags", "/flags"], ["alertmanagers", "/alertmanager-discovery"], ["notfound", "/nowhere"]];

export async function looks({ step, base }) {
  await step("dark and light from the menu, kept over a reload", async ({ open, shot }) => {
    const page = await open();
    await hostLink(page, base);
    const paper = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    const light = await paper();
    await page.getByTestId("settings").click();
    await page.getByTestId("theme-dark").click();
    await until("dark paper", async () => (await paper()) !== light);
    await page.reload();
    await page.waitForSelector("[data-testid=host-row]");
    assert((await paper()) !== light, "the theme is lost on reload");
    assert((await paper()) !== "rgb(0, 0, 0)", "dark is not black");
    await page.keyboard.press("Escape");
    await shot(page, "dark-overview");
    await (await hostLink(page, base)).click();
    await drawn(page, 4, 60_000);
    await shot(page, "dark-host");
    for (const [name, path] of PATHS) {
      await page.goto(base + path);
      if (name === "explore") await drawn(page, 1);
      await page.waitForSelector(`[data-testid=page-${name}]`);
      await page.waitForTimeout(700);
      await shot(page, `dark-${name}`);
    }
    await page.getByTestId("settings").click();
    await page.getByTestId("theme-light").click();
    await until("light paper", async () => (await paper()) === light);
  });

  await step("a dark system gives a dark page", async ({ open }) => {
    const page = await open({ scheme: "dark" });
    await page.goto(`${base}/`);
    await until("dark", () => page.evaluate(() => document.documentElement.dataset.theme === "dark"));
  });

  await step("phone width: nothing sticks out, the bar is at the bottom", async ({ open, shot }) => {
    for (const scheme of ["light", "dark"]) {
      const page = await open({ width: 390, height: 844, scheme });
      const host = await hostLink(page, base);
      await fits(page);
      const bar = await page.locator("nav.rail").boundingBox();
      assert(bar.y > 700 && bar.width === 390, "no bar at the bottom");
      await shot(page, `phone-${scheme}-overview`);
      await host.click();
      await drawn(page, 1, 60_000);
      await page.waitForTimeout(500);
      await fits(page);
      await shot(page, `phone-${scheme}-host`);
      for (const [name, path] of PATHS) {
        await page.goto(base + path);
        await page.waitForSelector(`[data-testid=page-${name}]`);
        if (name === "explore") await drawn(page, 1);
        await page.waitForTimeout(700);
        await fits(page);
        await shot(page, `phone-${scheme}-${name}`);
      }
      if (scheme === "light") await page.context().close();
    }
  });

  await step("Japanese and Korean", async ({ open, shot }) => {
    const page = await open();
    await hostLink(page, base);
    for (const [lang, word, alerts] of [["ja", "概要", "アラート"], ["ko", "개요", "경보"]]) {
      await page.getByTestId("settings").click();
      await page.getByTestId(`lang-${lang}`).click();
      await page.getByTestId("nav-navOverview").getByText(word).waitFor();
      await page.keyboard.press("Escape");
      assert((await page.evaluate(() => document.documentElement.lang)) === lang, "lang is not set");
      await page.waitForTimeout(300);
      await shot(page, `${lang}-overview`);
      await (await hostLink(page, base)).click();
      await drawn(page, 2, 60_000);
      await shot(page, `${lang}-host`);
      await page.goto(`${base}/alerts`);
      await page.getByTestId("nav-navAlerts").getByText(alerts, { exact: true }).waitFor();
      await fits(page);
      await shot(page, `${lang}-alerts`);
      for (const [name, path] of PATHS.slice(2)) {
        await page.goto(base + path);
        await page.waitForSelector(`[data-testid=page-${name}]`);
        await page.waitForTimeout(500);
        await fits(page);
        await shot(page, `${lang}-${name}`);
      }
      await page.goto(`${base}/`);
      await page.waitForSelector("[data-testid=host-row]");
    }
  });
}
