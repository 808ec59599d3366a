/** Icons: 16 px outlines drawn here, so that nothing is fetched. Decorative; the word beside them carries the meaning. */
const PATHS = {
  overview: "M2 3h5v5H2zM9 3h5v5H9zM2 10h5v3H2zM9 10h5v3H9z",
  explore: "M2 13V3M2 13h12M4.5 10.5l3-4 2.5 2 3.5-5",
  alerts: "M8 2a4 4 0 0 0-4 4v3l-1.5 2.5h11L12 9V6a4 4 0 0 0-4-4zM6.5 13.5h3",
  targets: "M8 2.5v2M8 11.5v2M2.5 8h2M11.5 8h2M8 4.5a3.5 3.5 0 1 0 0 7 3.5 3.5 0 0 0 0-7zM8 7.5v1",
  status: "M3 4h10M3 8h10M3 12h10M5 3v2M10 7v2M7 11v2",
  search: "M7 2.5a4.5 4.5 0 1 0 0 9 4.5 4.5 0 0 0 0-9zM10.5 10.5l3 3",
  refresh: "M13 8a5 5 0 1 1-1.5-3.6M13 2.5v2.7h-2.7",
  clock: "M8 2.5a5.5 5.5 0 1 0 0 11 5.5 5.5 0 0 0 0-11zM8 5v3.2l2 1.3",
  more: "M3.5 8h.01M8 8h.01M12.5 8h.01",
  copy: "M5.5 5.5h7v8h-7zM10 5.5V2.5H3.5v8h2",
  close: "M4 4l8 8M12 4l-8 8",
  plus: "M8 3v10M3 8h10",
  chevron: "M5 6.5l3 3 3-3",
  right: "M6.5 5l3 3-3 3",
  left: "M9.5 5l-3 3 3 3",
  settings: "M3 5h6M12 5h1M3 11h1M7 11h6M10.5 3.5v3M5.5 9.5v3",
  silence: "M8 2a4 4 0 0 0-4 4v3l-1.5 2.5h11L12 9V6a4 4 0 0 0-4-4zM2.5 2.5l11 11",
  list: "M3 4h10M3 8h10M3 12h10",
  tiles: "M2.5 2.5h4v4h-4zM9.5 2.5h4v4h-4zM2.5 9.5h4v4h-4zM9.5 9.5h4v4h-4z",
  out: "M6 3.5H3v9.5h9.5V10M9 3h4v4M13 3L7.5 8.5",
  check: "M3.5 8.5l3 3 6-7",
  rail: "M2.5 3h11v10h-11zM6 3v10",
} as const;

export type IconName = keyof typeof PATHS;

export function Icon({ name, size = 16 }: { name: IconName; size?: number }) {
  return (
    <svg className="icon" width={size} height={size} viewBox="0 0 16 16" fill="none" stroke="currentColor" strokeWidth={name === "more" ? 2.2 : 1.4} strokeLinecap="round" strokeLinejoin="round" aria-hidden="true" focusable="false">
      <path d={PATHS[name]} />
    </svg>
  );
}

/** The mark: a lookout tower with its bell. */
export function Logo({ size = 22 }: { size?: number }) {
  return (
    <svg width={size} height={size} viewBox="0 0 24 24" fill="none" stroke="currentColor" strokeWidth="1.6" strokeLinecap="round" strokeLinejoin="round" aria-hidden="true" focusable="false">
      <path d="M5 7.5 12 3l7 4.5" />
      <path d="M7.5 7.5v4h9v-4" />
      <path d="M8.5 11.5 6 21M15.5 11.5 18 21M7.4 15.5h9.2M6.8 18.5h10.4" />
      <path d="M12 7.2v1.2" />
      <circle cx="12" cy="9.2" r=".9" fill="currentColor" stroke="none" />
    </svg>
  );
}
