/** No such page, and a way on. */
import { Link, useLocation } from "wouter";
import { useT } from "../i18n";
import { Empty } from "../parts/parts";
import { useLinkTo } from "../view";

export default function NotFound() {
  const t = useT();
  const [path] = useLocation();
  const to = useLinkTo();
  return (
    <div className="page" data-testid="page-notfound">
      <Empty title={t("notFound")} why={t("notFoundWhy", { path })}>
        <p className="ways">
          <Link className="btn" href={to("/")}>{t("navOverview")}</Link>
          <Link className="btn" href={to("/explore")}>{t("navExplore")}</Link>
          <Link className="btn" href={to("/alerts")}>{t("navAlerts")}</Link>
          <Link className="btn" href={to("/targets")}>{t("navTargets")}</Link>
          <Link className="btn" href={to("/rules")}>{t("rules")}</Link>
          <Link className="btn" href={to("/service-discovery")}>{t("discovery")}</Link>
          <Link className="btn" href={to("/status")}>{t("navStatus")}</Link>
        </p>
      </Empty>
    </div>
  );
}
