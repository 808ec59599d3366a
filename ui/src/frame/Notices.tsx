/** What the server wants everybody to know: heard live while the page is seen, asked for where that is not possible. */
import { useEffect, useState } from "react";
import { PREFIX, api } from "../api/client";
import type { Notice } from "../api/types";
import { type Key, useT } from "../i18n";
import { Ago, Shape } from "../parts/parts";

/** How often to ask when there is no live stream. */
const ASK_EVERY = 15_000;

/** The server's sentences that have a translation. */
const WORDS: readonly (readonly [string, Key])[] = [
  ["Configuration reload has failed.", "noticeReload"],
  ["Hinomi is starting and replaying its log.", "noticeStarting"],
  ["Hinomi is shutting down and stopping all operations.", "noticeStopping"],
  ["The disk of the data directory is nearly full: samples will be refused when it is. Shorten retention or make room.", "noticeDisk"],
  ["The log cannot be written to the disk: acknowledged samples are at risk. The server's log says why.", "noticeLog"],
  ["Store maintenance fails and is tried again. The server's log says why.", "noticeMaintenance"],
];

export function noticeWord(text: string): Key | undefined {
  return WORDS.find(([known]) => known === text)?.[1];
}

function put(list: readonly Notice[], one: Notice): Notice[] {
  const rest = list.filter((n) => n.text !== one.text);
  return one.active ? [...rest, one] : rest;
}

export function useNotices(): readonly Notice[] {
  const [list, setList] = useState<readonly Notice[]>([]);
  useEffect(() => {
    let source: EventSource | undefined;
    let timer: ReturnType<typeof setInterval> | undefined;
    const ask = () => void api.notices().then((a) => setList(a.data), () => undefined);
    const poll = () => {
      ask();
      timer ??= setInterval(() => document.hidden || ask(), ASK_EVERY);
    };
    const stop = () => {
      source?.close();
      source = undefined;
      clearInterval(timer);
      timer = undefined;
    };
    const start = () => {
      stop();
      // A page in the background must not hold one of the few connections that browsers open to a server.
      if (document.hidden) return;
      source = new EventSource(`${PREFIX}/api/v1/notifications/live`);
      // The stream begins with all that hold: what was cleared meanwhile goes.
      source.onopen = () => setList([]);
      source.onmessage = (e) => {
        try {
          const one = JSON.parse(String(e.data)) as Notice;
          setList((old) => put(old, one));
        } catch {
          // Not one of ours: nothing to show.
        }
      };
      source.onerror = () => {
        // Closed for good: as many listen as may. Otherwise the browser tries again by itself.
        if (source?.readyState === EventSource.CLOSED) {
          source = undefined;
          poll();
        }
      };
    };
    start();
    document.addEventListener("visibilitychange", start);
    return () => {
      document.removeEventListener("visibilitychange", start);
      stop();
    };
  }, []);
  return list;
}

export function Notices() {
  const t = useT();
  const list = useNotices();
  return (
    <div className="notices" role="status" aria-live="polite" aria-label={t("notices")}>
      {list.map((n) => {
        const word = noticeWord(n.text);
        return (
          <p key={n.text} className="notice" data-testid="notice">
            <Shape state="warning" /> <b>{word ? t(word) : n.text}</b> <Ago at={Date.parse(n.date)} />
          </p>
        );
      })}
    </div>
  );
}
