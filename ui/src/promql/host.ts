/**
 * The queries behind the Overview and Host pages. Pure text building; nothing is fetched here.
 * `W` is the rate window, `S` the selector of one host.
 */
import { quote } from "../lib/labels";
import { expandMacros } from "../lib/step";
import type { UnitId } from "../lib/units";

export interface GraphQuery {
  expr: string;
  /** Legend with {{label}}; empty = what tells the series apart. */
  legend: string;
}

export interface GraphDef {
  id: string;
  unit: UnitId;
  stacked?: boolean;
  /** Upper end of the axis, where there is a natural one. */
  max?: number;
  /** A dashed line with a name. */
  threshold?: { value: number; key: "limitCores" };
  /** A query for the threshold's value, evaluated at the end of the range. */
  thresholdExpr?: string;
  queries: GraphQuery[];
  /** Legend names from the bottom of the stack up. */
  order?: readonly string[];
  /** Fixed colours by legend are never used: colour is by label hash. Series beyond this many are cut by topk in the query. */
  height?: number;
}

export interface SectionDef {
  id: "cpu" | "memory" | "load" | "pressure" | "disk" | "filesystem" | "network" | "scrape" | "other";
  /** Shown if any of these metrics exists on the host. */
  needs: readonly string[];
  /** Collector that makes them, for the empty state. */
  collector: string;
  graphs: GraphDef[];
}

const R = "$__rate_interval";
/** Pseudo file systems say nothing about disks. */
export const REAL_FS = 'fstype!~"tmpfs|ramfs|devtmpfs|overlay|squashfs|iso9660|autofs|proc|sysfs|cgroup2?|nsfs|fuse.lxcfs|efivarfs|rootfs"';
const REAL_DISK = 'device!~"(loop|ram|fd|zram|dm-|md|sr)[0-9]+.*"';
const REAL_NIC = 'device!~"lo|veth.*|ifb.*|dummy.*|docker.*|br-.*|cali.*|tap.*|virbr.*"';

/** What one looks at first: CPU, load, memory, file systems, disks, network. */
export const KEY_GRAPHS: readonly string[] = ["cpuModes", "load", "memory", "fsUsed", "diskBytes", "netBytes"];

const CPU_ORDER = ["user", "system", "iowait", "softirq", "irq", "steal", "nice"] as const;

/** Sections of one host's page, in order. `sel` is `instance="…"` and what else narrows it. */
export function hostSections(sel: string): SectionDef[] {
  return [
    {
      id: "cpu",
      needs: ["node_cpu_seconds_total"],
      collector: "cpu",
      graphs: [
        { id: "cpuModes", unit: "percentunit", stacked: true, max: 1, order: CPU_ORDER, queries: [{ expr: `avg by (mode) (rate(node_cpu_seconds_total{${sel},mode!="idle"}[${R}]))`, legend: "{{mode}}" }] },
        {
          id: "load",
          unit: "short",
          thresholdExpr: `count(count by (cpu) (node_cpu_seconds_total{${sel}}))`,
          threshold: { value: 0, key: "limitCores" },
          queries: [
            { expr: `node_load1{${sel}}`, legend: "1m" },
            { expr: `node_load5{${sel}}`, legend: "5m" },
            { expr: `node_load15{${sel}}`, legend: "15m" },
          ],
        },
        { id: "switches", unit: "cps", queries: [{ expr: `rate(node_context_switches_total{${sel}}[${R}])`, legend: "context switches" }, { expr: `rate(node_intr_total{${sel}}[${R}])`, legend: "interrupts" }] },
        { id: "procs", unit: "short", queries: [{ expr: `node_procs_running{${sel}}`, legend: "running" }, { expr: `node_procs_blocked{${sel}}`, legend: "blocked" }] },
      ],
    },
    {
      id: "memory",
      needs: ["node_memory_MemTotal_bytes"],
      collector: "meminfo",
      graphs: [
        {
          id: "memory",
          unit: "bytes",
          stacked: true,
          queries: [
            { expr: `node_memory_MemTotal_bytes{${sel}} - node_memory_MemFree_bytes{${sel}} - node_memory_Buffers_bytes{${sel}} - node_memory_Cached_bytes{${sel}} - node_memory_SReclaimable_bytes{${sel}}`, legend: "used" },
            { expr: `node_memory_Buffers_bytes{${sel}}`, legend: "buffers" },
            { expr: `node_memory_Cached_bytes{${sel}} + node_memory_SReclaimable_bytes{${sel}}`, legend: "cache" },
            { expr: `node_memory_MemFree_bytes{${sel}}`, legend: "free" },
          ],
        },
        { id: "swap", unit: "bytes", queries: [{ expr: `node_memory_SwapTotal_bytes{${sel}} - node_memory_SwapFree_bytes{${sel}}`, legend: "swap used" }, { expr: `node_memory_Dirty_bytes{${sel}}`, legend: "dirty" }] },
        { id: "swapIo", unit: "cps", queries: [{ expr: `rate(node_vmstat_pswpin{${sel}}[${R}])`, legend: "pages in" }, { expr: `rate(node_vmstat_pswpout{${sel}}[${R}])`, legend: "pages out" }, { expr: `rate(node_vmstat_pgmajfault{${sel}}[${R}])`, legend: "major faults" }] },
      ],
    },
    {
      id: "pressure",
      needs: ["node_pressure_cpu_waiting_seconds_total"],
      collector: "pressure",
      graphs: [
        {
          id: "pressure",
          unit: "percentunit",
          queries: [
            { expr: `rate(node_pressure_cpu_waiting_seconds_total{${sel}}[${R}])`, legend: "cpu waiting" },
            { expr: `rate(node_pressure_memory_waiting_seconds_total{${sel}}[${R}])`, legend: "memory waiting" },
            { expr: `rate(node_pressure_io_waiting_seconds_total{${sel}}[${R}])`, legend: "io waiting" },
          ],
        },
        {
          id: "stalled",
          unit: "percentunit",
          queries: [
            { expr: `rate(node_pressure_memory_stalled_seconds_total{${sel}}[${R}])`, legend: "memory stalled" },
            { expr: `rate(node_pressure_io_stalled_seconds_total{${sel}}[${R}])`, legend: "io stalled" },
          ],
        },
      ],
    },
    {
      id: "filesystem",
      needs: ["node_filesystem_size_bytes"],
      collector: "filesystem",
      graphs: [
        {
          id: "fsUsed",
          unit: "percentunit",
          max: 1,
          queries: [{ expr: `max by (mountpoint) (1 - node_filesystem_avail_bytes{${sel},${REAL_FS}} / node_filesystem_size_bytes{${sel},${REAL_FS}})`, legend: "{{mountpoint}}" }],
        },
        { id: "inodes", unit: "percentunit", max: 1, queries: [{ expr: `max by (mountpoint) (1 - node_filesystem_files_free{${sel},${REAL_FS}} / (node_filesystem_files{${sel},${REAL_FS}} > 0))`, legend: "{{mountpoint}}" }] },
      ],
    },
    {
      id: "disk",
      needs: ["node_disk_io_time_seconds_total", "node_disk_read_bytes_total"],
      collector: "diskstats",
      graphs: [
        { id: "diskBusy", unit: "percentunit", queries: [{ expr: `topk(10, rate(node_disk_io_time_seconds_total{${sel},${REAL_DISK}}[${R}]))`, legend: "{{device}}" }] },
        {
          id: "diskBytes",
          unit: "binBps",
          queries: [
            { expr: `topk(5, rate(node_disk_read_bytes_total{${sel},${REAL_DISK}}[${R}]))`, legend: "{{device}} read" },
            { expr: `topk(5, rate(node_disk_written_bytes_total{${sel},${REAL_DISK}}[${R}]))`, legend: "{{device}} written" },
          ],
        },
        {
          id: "diskOps",
          unit: "iops",
          queries: [
            { expr: `topk(5, rate(node_disk_reads_completed_total{${sel},${REAL_DISK}}[${R}]))`, legend: "{{device}} reads" },
            { expr: `topk(5, rate(node_disk_writes_completed_total{${sel},${REAL_DISK}}[${R}]))`, legend: "{{device}} writes" },
          ],
        },
      ],
    },
    {
      id: "network",
      needs: ["node_network_receive_bytes_total"],
      collector: "netdev",
      graphs: [
        {
          id: "netBytes",
          unit: "bps",
          queries: [
            { expr: `topk(5, rate(node_network_receive_bytes_total{${sel},${REAL_NIC}}[${R}])) * 8`, legend: "{{device}} in" },
            { expr: `topk(5, rate(node_network_transmit_bytes_total{${sel},${REAL_NIC}}[${R}])) * 8`, legend: "{{device}} out" },
          ],
        },
        {
          id: "netErrors",
          unit: "pps",
          queries: [
            { expr: `topk(5, rate(node_network_receive_errs_total{${sel},${REAL_NIC}}[${R}]) + rate(node_network_receive_drop_total{${sel},${REAL_NIC}}[${R}]))`, legend: "{{device}} in" },
            { expr: `topk(5, rate(node_network_transmit_errs_total{${sel},${REAL_NIC}}[${R}]) + rate(node_network_transmit_drop_total{${sel},${REAL_NIC}}[${R}]))`, legend: "{{device}} out" },
          ],
        },
        { id: "tcp", unit: "short", queries: [{ expr: `node_netstat_Tcp_CurrEstab{${sel}}`, legend: "established" }] },
        { id: "retrans", unit: "cps", queries: [{ expr: `rate(node_netstat_Tcp_RetransSegs{${sel}}[${R}])`, legend: "retransmitted segments" }] },
      ],
    },
  ];
}

/** For an instance without host metrics: what its scrape and its process say. */
export function plainSections(sel: string): SectionDef[] {
  return [
    {
      id: "scrape",
      needs: [],
      collector: "",
      graphs: [
        { id: "up", unit: "short", max: 1, queries: [{ expr: `up{${sel}}`, legend: "{{job}}" }] },
        { id: "scrapeTime", unit: "s", queries: [{ expr: `scrape_duration_seconds{${sel}}`, legend: "{{job}}" }] },
        { id: "scrapeSamples", unit: "short", queries: [{ expr: `scrape_samples_scraped{${sel}}`, legend: "{{job}}" }] },
      ],
    },
    {
      id: "other",
      needs: ["process_cpu_seconds_total", "process_resident_memory_bytes"],
      collector: "",
      graphs: [
        { id: "procCpu", unit: "percentunit", queries: [{ expr: `rate(process_cpu_seconds_total{${sel}}[${R}])`, legend: "{{job}}" }] },
        { id: "procMemory", unit: "bytes", queries: [{ expr: `process_resident_memory_bytes{${sel}}`, legend: "{{job}}" }] },
        { id: "procFds", unit: "short", queries: [{ expr: `process_open_fds{${sel}}`, legend: "{{job}}" }] },
      ],
    },
  ];
}

export function instanceSelector(instance: string): string {
  return `instance=${quote(instance)}`;
}

/** Queries of the Overview, each an instant one over all hosts. `window` like "1m". */
export function overviewQueries(window: string) {
  return {
    uname: "node_uname_info",
    up: "up",
    upTime: "timestamp(up)",
    unameTime: "timestamp(node_uname_info)",
    known: "last_over_time(up[1d])",
    knownUname: "last_over_time(node_uname_info[1d])",
    cpu: `1 - avg by (instance) (rate(node_cpu_seconds_total{mode="idle"}[${window}]))`,
    memory: "1 - node_memory_MemAvailable_bytes / node_memory_MemTotal_bytes",
    disk: `topk by (instance) (1, 1 - node_filesystem_avail_bytes{${REAL_FS}} / node_filesystem_size_bytes{${REAL_FS}})`,
    load: "node_load1",
    cores: 'count by (instance) (node_cpu_seconds_total{mode="idle"})',
  } as const;
}

export { expandMacros };
