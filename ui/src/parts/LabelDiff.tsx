/** Label sets side by side: what came in, what came out, and which of them differ. */
import { type Key, useT } from "../i18n";
import type { Labels } from "../lib/labels";
import { type LabelChange, compareLabels } from "../lib/relabel";

const MARK: Readonly<Record<LabelChange["kind"], readonly [string, Key]>> = { same: ["", "labelSame"], added: ["+", "labelAdded"], removed: ["−", "labelRemoved"], changed: ["~", "labelChanged"] };

export function LabelDiff({ before, after, testid }: { before: Labels; after: Labels; testid?: string }) {
  const t = useT();
  return (
    <table className="tbl labeldiff" data-testid={testid}>
      <thead>
        <tr>
          <th scope="col" className="c-mark"><span className="offscreen">{t("state")}</span></th>
          <th scope="col">{t("label")}</th>
          <th scope="col">{t("discoveredAs")}</th>
          <th scope="col">{t("storedAs")}</th>
        </tr>
      </thead>
      <tbody>
        {compareLabels(before, after).map((c) => (
          <tr key={c.name} className={`lc-${c.kind}`}>
            <td className="c-mark" title={t(MARK[c.kind][1])}><span aria-hidden="true">{MARK[c.kind][0]}</span><span className="offscreen">{t(MARK[c.kind][1])}</span></td>
            <th scope="row" className="mono wrap">{c.name}</th>
            <td className="mono wrap">{c.before ?? <span className="faint">–</span>}</td>
            <td className="mono wrap">{c.after ?? <span className="faint">–</span>}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
