/** A page of a server, opened on an agent: why it is not there, and a way on. */
import { Link } from "wouter";
import { type Key, useT } from "../i18n";
import { PAGES } from "../frame/pages";
import { Empty } from "../parts/parts";
import { useLinkTo } from "../view";

export default function NotInAgent({ word }: { word: Key }) {
  const t = useT();
  const to = useLinkTo();
  return (
    <div className="page" data-testid="page-not-in-agent">
      <Empty title={t("notInAgent", { page: t(word) })} why={t("notInAgentWhy")}>
        <p className="ways">
          {PAGES.map((page) => <Link key={page.path} className="btn" href={to(page.path)}>{t(page.word)}</Link>)}
        </p>
      </Empty>
    </div>
  );
}
