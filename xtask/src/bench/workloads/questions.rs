//! What `query` asks, and the data that the questions need.

use super::super::load::series::{Kind, N_BUCKETS, STEP_MS, Set};

/// Series of a host in the target's data set.
const HOST_SERIES: usize = 1_100;

/// Sizes and times of the data.
pub struct Data {
    scale: f64,
    /// What stands for a day: less in small runs, and with it all windows.
    day_ms: i64,
    /// Where all data ends.
    pub end_ms: i64,
}

/// One query.
pub struct Question {
    pub name: String,
    pub expr: String,
    pub start_ms: i64,
    pub end_ms: i64,
    /// 0 for an instant query at the end.
    pub step_ms: i64,
    /// How much faster than Prometheus it must be.
    pub asked: &'static str,
}

impl Data {
    pub fn new(scale: f64, hours: u64, end_ms: i64) -> Self {
        Self { scale, day_ms: hours as i64 * 3_600_000, end_ms }
    }

    fn scaled(&self, count: usize, at_least: usize) -> usize {
        ((count as f64 * self.scale).round() as usize).max(at_least)
    }

    /// Steps of a minute of the long windows; fewer than a thousand when a day is short.
    fn long_range_ms(&self) -> i64 {
        1_000 * 60_000 * self.day_ms / 86_400_000
    }

    pub fn sets(&self) -> Vec<Set> {
        let end_ms = self.end_ms;
        let ago = |length_ms: i64| end_ms - length_ms.div_euclid(STEP_MS) * STEP_MS;
        let set = |kind, groups, series, length_ms| Set::new(kind, groups, series, ago(length_ms), end_ms);
        vec![
            set(Kind::Node, self.scaled(200, 2), HOST_SERIES, self.day_ms),
            set(Kind::Counter, 20, self.scaled(100, 1), self.day_ms + self.long_range_ms()),
            Set { interval_ms: 4 * STEP_MS, ..set(Kind::Long, 20, self.scaled(500, 5), 7 * self.day_ms) },
            set(Kind::Many, 200, self.scaled(100, 1), 3_600_000.min(self.day_ms)),
            set(Kind::One, 200, 1, 3_600_000.min(self.day_ms)),
            set(Kind::Bucket, self.scaled(100, 1), 10 * N_BUCKETS, self.day_ms),
            set(Kind::Native, self.scaled(100, 1), 10, self.day_ms),
        ]
    }

    pub fn description(&self) -> String {
        let shown = |set: &Set| format!("{} × {} {:?}", set.groups, set.series, set.kind);
        format!(
            "Scale {}, a day has {} hours: {}; 15 s apart, `Long` a minute apart over seven days.",
            self.scale,
            self.day_ms / 3_600_000,
            self.sets().iter().map(shown).collect::<Vec<_>>().join(", ")
        )
    }
}

/// The questions of the target, in its order.
pub fn questions(data: &Data) -> Vec<Question> {
    let (day, end_ms) = (data.day_ms, data.end_ms - STEP_MS);
    let range = |name: &str, expr: String, length_ms: i64, step_ms: i64, asked| Question {
        name: name.to_owned(),
        expr,
        start_ms: end_ms - length_ms,
        end_ms,
        step_ms,
        asked,
    };
    let instant = |name: &str, expr: String, asked| range(name, expr, 0, 0, asked);
    let week = 7 * day;
    vec![
        range("rates of all CPUs", "sum by (mode) (rate(node_cpu_seconds_total[5m]))".to_owned(), day, 60_000, "10×; goal 25×"),
        range("rate[1d]", format!("rate(bench_counter[{day}ms])"), data.long_range_ms(), 60_000, "40×; goal 100×"),
        instant("max_over_time[7d]", format!("max_over_time(bench_long[{week}ms])"), "20×; goal 50×"),
        instant("increase[7d]", format!("increase(bench_long[{week}ms])"), "20×; goal 50×"),
        instant("topk", "topk(10, {job=\"node\"})".to_owned(), "5×; goal 10×"),
        instant("count by name", "count by (__name__) ({__name__!=\"\"})".to_owned(), "5×; goal 10×"),
        instant(
            "regex over all",
            "count({__name__=~\"node_(cpu|disk|network).*\",instance=~\"host-.*[02468]\\\\.example.*\",env!~\"stag.*\"})".to_owned(),
            "5×; goal 10×",
        ),
        instant("negative matchers", "count({job=\"node\",instance!=\"host-00000.example:9100\",__name__!~\"node_.*\"})".to_owned(), "5×; goal 10×"),
        range("many-to-one join", "bench_many * on (host) group_left (version) bench_one".to_owned(), 239 * STEP_MS, STEP_MS, "5×; goal 10×"),
        range(
            "histogram_quantile",
            "histogram_quantile(0.9, sum by (le, path) (rate(bench_duration_seconds_bucket[5m])))".to_owned(),
            day,
            60_000,
            "6×; goal 12×",
        ),
        range(
            "native histogram_quantile",
            "histogram_quantile(0.9, sum by (path) (rate(bench_native_seconds[5m])))".to_owned(),
            day,
            60_000,
            "6×; goal 12×",
        ),
        instant("one series", "node_load1{instance=\"host-00000.example:9100\"}".to_owned(), "not slower"),
    ]
}

/// Metrics of a host dashboard; counters are shown as rates.
const PANELS: &[&str] = &[
    "node_cpu_seconds_total",
    "node_context_switches_total",
    "node_interrupts_total",
    "node_disk_read_bytes_total",
    "node_disk_written_bytes_total",
    "node_disk_io_time_seconds_total",
    "node_network_receive_bytes_total",
    "node_network_transmit_bytes_total",
    "node_network_receive_packets_total",
    "node_vmstat_pgfault",
    "node_load1",
    "node_load5",
    "node_memory_MemAvailable_bytes",
    "node_memory_Cached_bytes",
    "node_memory_Buffers_bytes",
    "node_memory_Dirty_bytes",
    "node_filesystem_avail_bytes",
    "node_filesystem_files_free",
    "node_procs_running",
    "node_sockstat_TCP_inuse",
];

/// A hundred panels: each metric in five ways, three hours every half minute.
pub fn dashboard(data: &Data) -> Vec<Question> {
    let mut panels = Vec::new();
    for metric in PANELS {
        let is_counter = metric.ends_with("_total") || metric.starts_with("node_vmstat");
        let base = if is_counter { format!("rate({metric}[5m])") } else { (*metric).to_owned() };
        for expr in [
            format!("sum by (instance) ({base})"),
            format!("max by (rack) ({base})"),
            format!("avg({base})"),
            format!("topk(3, sum by (instance) ({base}))"),
            format!("{base} and on (instance) node_load1{{instance=\"host-00001.example:9100\"}}"),
        ] {
            let end_ms = data.end_ms - STEP_MS;
            panels.push(Question {
                name: String::new(),
                expr,
                start_ms: end_ms - 10_800_000.min(data.day_ms / 2),
                end_ms,
                step_ms: 30_000,
                asked: "",
            });
        }
    }
    panels
}
