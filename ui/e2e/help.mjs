// What the browser tests share.

export function assert(ok, text) {
  if (!ok) throw new Error(text);
}

/** Waits until `check` gives something true; the last value is in the message otherwise. */
export async function until(what, check, ms = 20_000) {
  const end = Date.now() + ms;
  let last;
  for (;;) {
    last = await check();
    if (last) return last;
    if (Date.now() > end) throw new Error(`not within ${ms} ms: ${what}`);
    await new Promise((r) => setTimeout(r, 150));
  }
}

/** The graphs of the page as drawn: series, points, and how many pixels and colours are on the canvas. */
export function graphs(page) {
  return page.$$eval("[data-testid=chart]", (els) =>
    els.map((el) => {
      const canvas = el.querySelector("canvas");
      let inked = 0;
      const colours = new Set();
      if (canvas && canvas.width > 0) {
        const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
        for (let i = 0; i < data.length; i += 4) {
          if (data[i + 3] > 0) {
            inked++;
            // Strong colours only: grid and text are grey.
            const spread = Math.max(data[i], data[i + 1], data[i + 2]) - Math.min(data[i], data[i + 1], data[i + 2]);
            if (spread > 40 && data[i + 3] > 200) colours.add((data[i] << 16) | (data[i + 1] << 8) | data[i + 2]);
          }
        }
      }
      return { title: el.closest("section")?.getAttribute("aria-label"), series: Number(el.dataset.seriesCount ?? 0), points: Number(el.dataset.pointCount ?? 0), inked, colours: colours.size };
    }),
  );
}

/** At least `n` graphs have points, and those are visible on their canvas. */
export async function drawn(page, n, ms = 30_000, points = 2) {
  let last = [];
  try {
    return await until(`${n} graphs drawn`, async () => {
      last = await graphs(page);
      const good = last.filter((g) => g.points >= points && g.series >= 1 && g.inked > 500 && g.colours > 0);
      return good.length >= n ? last : undefined;
    }, ms);
  } catch (e) {
    throw new Error(`${e.message}\n${JSON.stringify(last)}`);
  }
}

/** Nothing sticks out of the window to the right. */
export async function fits(page) {
  const [inner, all] = await page.evaluate(() => [innerWidth, document.documentElement.scrollWidth]);
  assert(all <= inner, `the page is ${all} px wide in a window of ${inner}`);
}

/** The first host with graphs of its own, as a link on the Overview. */
export async function hostLink(page, base) {
  await page.goto(`${base}/`);
  await page.waitForSelector("[data-testid=host-row]", { timeout: 30_000 });
  return until("a host with metrics", async () => {
    const rows = await page.$$("[data-testid=host-row]");
    for (const r of rows) if (await r.$(".c-cpu .num")) return r.$("a[data-row]");
    return undefined;
  }, 60_000);
}
