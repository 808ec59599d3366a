/** A long list in the page itself: only what is near the window is in the document. Rows may grow when they are opened. */
import { useWindowVirtualizer } from "@tanstack/react-virtual";
import { type ReactNode, useEffect, useLayoutEffect, useRef, useState } from "react";

interface Props {
  count: number;
  keyOf: (index: number) => string;
  /** Height of a row before it was measured, in px. */
  estimate: number;
  /** Row to begin at, once. */
  at?: number | undefined;
  children: (index: number) => ReactNode;
}

export function VirtualRows({ count, keyOf, estimate, at, children }: Props) {
  const box = useRef<HTMLDivElement>(null);
  const [top, setTop] = useState(0);
  // What stands above may change at any time: a notice, an error, a wrapped toolbar.
  useLayoutEffect(() => {
    const now = Math.round((box.current?.getBoundingClientRect().top ?? 0) + scrollY);
    if (now !== top) setTop(now);
  });
  const scroller = useWindowVirtualizer({ count, estimateSize: () => estimate, overscan: 12, getItemKey: keyOf, scrollMargin: top });
  const begun = useRef(false);
  useEffect(() => {
    if (begun.current || count === 0) return;
    begun.current = true;
    if (at !== undefined && at >= 0) scroller.scrollToIndex(at, { align: "center" });
  }, [at, count, scroller]);
  return (
    <div className="vbody" ref={box} style={{ height: scroller.getTotalSize() }} role="rowgroup">
      {scroller.getVirtualItems().map((v) => (
        <div key={v.key} data-index={v.index} ref={scroller.measureElement} className="vrow" style={{ transform: `translateY(${v.start - top}px)` }} role="presentation">
          {children(v.index)}
        </div>
      ))}
    </div>
  );
}
