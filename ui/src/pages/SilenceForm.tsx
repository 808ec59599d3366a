/** A new silence: what it hides is shown before it is made, and making it can be undone. */
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { type FormEvent, useEffect, useMemo, useState } from "react";
import { api } from "../api/client";
import { useT } from "../i18n";
import { matcherText, matchesEverything, parseMatchers } from "../lib/alerts";
import { formatInstant, parseDuration } from "../lib/time";
import { Dialog } from "../parts/Dialog";
import { ErrorBox, LabelList } from "../parts/parts";
import { change, settings, toast, useStore } from "../state";

const LENGTHS = ["30m", "1h", "2h", "4h", "8h", "1d", "3d", "1w"] as const;

/** In the address: a form with nothing in it yet, since an empty parameter is none. */
export const BLANK = "new";

export function SilenceForm({ initial, onClose }: { initial: string; onClose: () => void }) {
  const t = useT();
  const s = useStore(settings);
  const client = useQueryClient();
  const [text, setText] = useState(initial === BLANK ? "" : initial);
  const [length, setLength] = useState("2h");
  const [author, setAuthor] = useState(s.author);
  const [comment, setComment] = useState("");
  const [error, setError] = useState<unknown>();
  const [busy, setBusy] = useState(false);
  const parsed = useMemo(() => parseMatchers(text), [text]);
  const matchers = "matchers" in parsed ? parsed.matchers : [];
  const ms = parseDuration(length);
  const tooWide = matchers.length > 0 && matchesEverything(matchers);
  const filters = matchers.map(matcherText);
  const [asked, setAsked] = useState<string[]>(filters);
  useEffect(() => {
    const id = setTimeout(() => setAsked(filters), 250);
    return () => clearTimeout(id);
  }, [filters.join("\n")]);
  const preview = useQuery({ queryKey: ["silence-preview", asked], queryFn: ({ signal }) => api.amAlerts(asked, signal), enabled: asked.length > 0 && !tooWide, retry: 0, placeholderData: (old) => old });
  const problem = "error" in parsed ? t("matcherBad", { text: parsed.error }) : tooWide ? t("matcherWide") : ms === undefined || ms <= 0 ? t("durationBad") : undefined;
  const ready = matchers.length > 0 && problem === undefined && author.trim() !== "" && comment.trim() !== "";
  const again = () => {
    void client.invalidateQueries({ queryKey: ["silences"] });
    void client.invalidateQueries({ queryKey: ["am-alerts"] });
  };
  const submit = async (e: FormEvent) => {
    e.preventDefault();
    if (!ready || ms === undefined) return;
    setBusy(true);
    const now = Date.now();
    try {
      const { silenceID } = await api.createSilence({ matchers, startsAt: new Date(now).toISOString(), endsAt: new Date(now + ms).toISOString(), createdBy: author.trim(), comment: comment.trim() });
      change({ author: author.trim() });
      toast(t("silenceMade", { until: formatInstant(now + ms, s.zone) }), {
        action: { label: t("undo"), run: () => void api.expireSilence(silenceID).then(() => toast(t("silenceExpired")), (x: unknown) => toast(x instanceof Error ? x.message : String(x), { bad: true })).finally(again) },
      });
      again();
      onClose();
    } catch (x) {
      setError(x);
    } finally {
      setBusy(false);
    }
  };
  const hit = preview.data ?? [];
  return (
    <Dialog onClose={onClose} title={t("newSilence")} size={640}>
      <form className="form" onSubmit={(e) => void submit(e)} data-testid="silence-form">
        <label>
          <span>{t("matchers")}</span>
          <textarea className="input mono" rows={3} value={text} onChange={(e) => setText(e.target.value)} placeholder={'alertname="HostGone", instance=~"db.*"'} spellCheck={false} data-autofocus={text === "" ? true : undefined} data-testid="silence-matchers" aria-invalid={problem !== undefined && text !== ""} />
        </label>
        {problem !== undefined && text !== "" ? <p className="st-critical">{problem}</p> : null}
        <div className="formrow">
          <label>
            <span>{t("duration")}</span>
            <input className="input" value={length} onChange={(e) => setLength(e.target.value)} data-testid="silence-length" />
          </label>
          <div className="chips">
            {LENGTHS.map((l) => (
              <button type="button" key={l} className={`chip${l === length ? " on" : ""}`} onClick={() => setLength(l)}>{l}</button>
            ))}
          </div>
          <span className="faint">{ms === undefined ? "" : t("until", { time: formatInstant(Date.now() + ms, s.zone, true) })}</span>
        </div>
        <div className="formrow two">
          <label>
            <span>{t("by")}</span>
            <input className="input" value={author} onChange={(e) => setAuthor(e.target.value)} required autoComplete="username" data-testid="silence-author" />
          </label>
          <label>
            <span>{t("comment")}</span>
            <input className="input" value={comment} onChange={(e) => setComment(e.target.value)} required placeholder={t("commentHint")} data-testid="silence-comment" data-autofocus={text === "" ? undefined : true} />
          </label>
        </div>
        <div className="preview" aria-live="polite" data-testid="silence-preview" data-count={hit.length}>
          <h3>{matchers.length === 0 || problem !== undefined ? t("previewNone") : t("previewHides", { n: hit.length })}</h3>
          {preview.error ? <ErrorBox error={preview.error} /> : null}
          {matchers.length > 0 && problem === undefined ? (
            <ul>
              {hit.slice(0, 20).map((a) => (
                <li key={a.fingerprint}>
                  <b>{a.labels.alertname}</b> <LabelList labels={a.labels} without={["alertname"]} />
                </li>
              ))}
              {hit.length > 20 ? <li className="faint">{t("andMore", { n: hit.length - 20 })}</li> : null}
              {hit.length === 0 && preview.isFetched ? <li className="faint">{t("previewLater")}</li> : null}
            </ul>
          ) : null}
        </div>
        {error === undefined ? null : <ErrorBox error={error} />}
        <div className="formend">
          <button type="button" className="btn" onClick={onClose}>{t("cancel")}</button>
          <button type="submit" className="btn primary" disabled={!ready || busy} data-testid="silence-submit">{t("silenceDo")}</button>
        </div>
      </form>
    </Dialog>
  );
}
