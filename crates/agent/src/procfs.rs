//! The kernel's text files, parsed: text in, values out.
//!
//! In from the collectors, which read the files; never reads one itself. A line that is not as the kernel writes it
//! is an error with its number; fields that newer kernels add at the end are passed over.

/// What is wrong with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FieldError {
    /// From 1.
    pub line: usize,
    /// What was expected.
    pub what: &'static str,
}

/// Parsed, or where not.
pub type Result<T> = std::result::Result<T, FieldError>;

/// Fields of one line, with its number for errors.
#[derive(Debug)]
struct Line<'a> {
    number: usize,
    fields: std::str::SplitAsciiWhitespace<'a>,
}

impl<'a> Line<'a> {
    fn fail<T>(&self, what: &'static str) -> Result<T> {
        Err(FieldError { line: self.number, what })
    }

    fn text(&mut self, what: &'static str) -> Result<&'a str> {
        self.fields.next().ok_or(FieldError { line: self.number, what })
    }

    fn integer(&mut self, what: &'static str) -> Result<u64> {
        let line = self.number;
        self.text(what)?.parse().map_err(|_| FieldError { line, what })
    }

    fn float(&mut self, what: &'static str) -> Result<f64> {
        let line = self.number;
        float(self.text(what)?).ok_or(FieldError { line, what })
    }

    /// The numbers up to the end of the line or the first that is none.
    fn integers(self) -> Vec<u64> {
        self.fields.map_while(|field| field.parse().ok()).collect()
    }
}

/// The lines that are not blank.
fn lines(text: &str) -> impl Iterator<Item = Line<'_>> {
    let numbered = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    numbered.map(|(i, line)| Line { number: i + 1, fields: line.split_ascii_whitespace() })
}

fn float(text: &str) -> Option<f64> {
    model::float::parse(text).ok()
}

/// `/proc/stat`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Stat {
    /// Each processor's number and its ticks: user, nice, system, idle, iowait, irq, softirq, steal, guest,
    /// guest_nice. Old kernels have fewer; the rest is 0.
    pub cpus: Vec<(String, [u64; 10])>,
    /// Interrupts served.
    pub interrupts: u64,
    /// Context switches.
    pub context_switches: u64,
    /// When the kernel started, Unix seconds.
    pub boot_time_secs: u64,
    /// Forks.
    pub forks: u64,
    /// Processes that could run.
    pub procs_running: u64,
    /// Processes that wait for I/O.
    pub procs_blocked: u64,
}

/// Parses `/proc/stat`.
///
/// # Errors
/// When a known line has no number.
pub fn stat(text: &str) -> Result<Stat> {
    let mut stat = Stat::default();
    for mut line in lines(text) {
        let key = line.text("a key")?;
        if let Some(cpu) = key.strip_prefix("cpu") {
            if cpu.is_empty() {
                continue;
            }
            let mut ticks = [0; 10];
            ticks[0] = line.integer("ticks of a processor")?;
            for (tick, value) in ticks[1..].iter_mut().zip(line.integers()) {
                *tick = value;
            }
            stat.cpus.push((cpu.to_owned(), ticks));
            continue;
        }
        let value = match key {
            "intr" => &mut stat.interrupts,
            "ctxt" => &mut stat.context_switches,
            "btime" => &mut stat.boot_time_secs,
            "processes" => &mut stat.forks,
            "procs_running" => &mut stat.procs_running,
            "procs_blocked" => &mut stat.procs_blocked,
            _ => continue,
        };
        *value = line.integer("a number")?;
    }
    Ok(stat)
}

/// Parses `/proc/meminfo`: names as in metrics (`Active_anon_bytes`, `HugePages_Total`), values in bytes or counts.
///
/// # Errors
/// When a line is not a name and a number.
pub fn meminfo(text: &str) -> Result<Vec<(String, f64)>> {
    let mut fields = Vec::new();
    for mut line in lines(text) {
        let key = line.text("a name")?.trim_end_matches(':').replace('(', "_").replace(')', "");
        let value = line.float("a number")?;
        match line.fields.next() {
            None => fields.push((key, value)),
            Some("kB") => fields.push((key + "_bytes", value * 1024.0)),
            Some(_) => return line.fail("kB or the end of the line"),
        }
    }
    Ok(fields)
}

/// Parses `/proc/loadavg`: the load over 1, 5 and 15 minutes.
///
/// # Errors
/// When there are no three numbers.
pub fn loadavg(text: &str) -> Result<[f64; 3]> {
    let mut line = lines(text).next().ok_or(FieldError { line: 1, what: "a line" })?;
    Ok([line.float("a load")?, line.float("a load")?, line.float("a load")?])
}

/// One line of `/proc/diskstats`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskStats {
    /// Of the device's number.
    pub major: u64,
    /// Of the device's number.
    pub minor: u64,
    /// Its name.
    pub device: String,
    /// 11 to 17 numbers, in the kernel's order.
    pub fields: Vec<u64>,
}

/// Parses `/proc/diskstats`.
///
/// # Errors
/// When a line is not two numbers, a name and numbers.
pub fn diskstats(text: &str) -> Result<Vec<DiskStats>> {
    lines(text)
        .map(|mut line| {
            let major = line.integer("a device's major number")?;
            let minor = line.integer("a device's minor number")?;
            let device = line.text("a device's name")?.to_owned();
            Ok(DiskStats { major, minor, device, fields: line.integers() })
        })
        .collect()
}

/// One line of `/proc/<pid>/mounts`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// What is mounted.
    pub device: String,
    /// Where.
    pub mount_point: String,
    /// The file system's type.
    pub fs_type: String,
    /// Whether it is mounted read-only.
    pub is_read_only: bool,
}

/// Parses `/proc/<pid>/mounts`, whose blanks are octal escapes.
///
/// # Errors
/// When a line has fewer than four fields.
pub fn mounts(text: &str) -> Result<Vec<Mount>> {
    lines(text)
        .map(|mut line| {
            Ok(Mount {
                device: octal_unescaped(line.text("a device")?),
                mount_point: octal_unescaped(line.text("a mount point")?),
                fs_type: line.text("a file system's type")?.to_owned(),
                is_read_only: line.text("options")?.split(',').any(|option| option == "ro"),
            })
        })
        .collect()
}

/// `\040` for a blank, and so on for any byte.
fn octal_unescaped(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let octal = after.first_chunk::<3>().filter(|_| byte == b'\\');
        let code = octal
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|s| u8::from_str_radix(s, 8).ok());
        out.push(code.unwrap_or(byte));
        rest = if code.is_some() { &after[3..] } else { after };
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Parses `/proc/net/dev`: each interface with its 16 counters.
///
/// # Errors
/// When an interface has fewer.
pub fn net_dev(text: &str) -> Result<Vec<(String, [u64; 16])>> {
    let mut devices = Vec::new();
    // Two lines of headings; the name ends at the last colon, since an alias may have one in it.
    for (i, line) in text.lines().enumerate().skip(2) {
        let Some((name, counters)) = line.rsplit_once(':') else { continue };
        let counters: Vec<u64> =
            counters.split_ascii_whitespace().map_while(|field| field.parse().ok()).collect();
        let counters = counters.first_chunk::<16>().ok_or(FieldError { line: i + 1, what: "16 counters" })?;
        devices.push((name.trim().to_owned(), *counters));
    }
    Ok(devices)
}

/// Parses `/proc/net/netstat` and `/proc/net/snmp`: a line of names and one of values for each protocol. Keys are
/// `Protocol_Name`.
///
/// # Errors
/// When names and values do not fit each other.
pub fn netstat(text: &str) -> Result<Vec<(String, f64)>> {
    let mut fields = Vec::new();
    let mut lines = text.lines().enumerate();
    while let (Some((_, names)), Some((i, values))) = (lines.next(), lines.next()) {
        let error = FieldError { line: i + 1, what: "as many values as names, of the same protocol" };
        let (Some((protocol, names)), Some((same, values))) = (names.split_once(':'), values.split_once(':'))
        else {
            return Err(error);
        };
        let (mut names, mut values) = (names.split_ascii_whitespace(), values.split_ascii_whitespace());
        if protocol != same {
            return Err(error);
        }
        loop {
            match (names.next(), values.next()) {
                (Some(name), Some(value)) => {
                    fields.push((format!("{protocol}_{name}"), float(value).ok_or(error)?));
                }
                (None, None) => break,
                _ => return Err(error),
            }
        }
    }
    Ok(fields)
}

/// Parses `/proc/net/snmp6`: `Ip6InReceives 5` becomes `Ip6_InReceives`.
///
/// # Errors
/// When a line is not a name and a number.
pub fn snmp6(text: &str) -> Result<Vec<(String, f64)>> {
    let mut fields = Vec::new();
    for mut line in lines(text) {
        let name = line.text("a name")?;
        let Some((protocol, field)) = name.split_once('6') else { continue };
        fields.push((format!("{protocol}6_{field}"), line.float("a number")?));
    }
    Ok(fields)
}

/// One line of sockstat: the protocol, and its fields.
pub type SockstatLine = (String, Vec<(String, f64)>);

/// Parses `/proc/net/sockstat` and `sockstat6`.
///
/// # Errors
/// When a line is not a protocol and pairs.
pub fn sockstat(text: &str) -> Result<Vec<SockstatLine>> {
    lines(text)
        .map(|mut line| {
            let protocol = line.text("a protocol")?.trim_end_matches(':').to_owned();
            let mut pairs = Vec::new();
            while let Some(name) = line.fields.next() {
                pairs.push((name.to_owned(), line.float("a number")?));
            }
            Ok((protocol, pairs))
        })
        .collect()
}

/// Pairs of a name and a number, such as `/proc/vmstat`.
///
/// # Errors
/// When a line is no such pair.
pub fn pairs(text: &str) -> Result<Vec<(String, f64)>> {
    lines(text).map(|mut line| Ok((line.text("a name")?.to_owned(), line.float("a number")?))).collect()
}

/// Microseconds that tasks waited: some of them, and all of them. `/proc/pressure/*` has one or both.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pressure {
    /// At least one task waited.
    pub some_us: Option<u64>,
    /// No task could go on.
    pub full_us: Option<u64>,
}

/// Parses a file of `/proc/pressure`.
///
/// # Errors
/// When a line has no total.
pub fn pressure(text: &str) -> Result<Pressure> {
    let mut pressure = Pressure::default();
    for mut line in lines(text) {
        let kind = line.text("some or full")?;
        let total = line.fields.clone().find_map(|field| field.strip_prefix("total="));
        let Some(total) = total.and_then(|total| total.parse().ok()) else {
            return line.fail("total=<number>");
        };
        match kind {
            "some" => pressure.some_us = Some(total),
            "full" => pressure.full_us = Some(total),
            _ => {}
        }
    }
    Ok(pressure)
}

/// Parses `/proc/net/stat/nf_conntrack`: names, and the sum over all processors of each column.
///
/// # Errors
/// When a value is not hexadecimal.
pub fn conntrack_stat(text: &str) -> Result<Vec<(String, u64)>> {
    let mut lines = lines(text);
    let Some(names) = lines.next() else { return Ok(Vec::new()) };
    let mut sums: Vec<(String, u64)> = names.fields.map(|name| (name.to_owned(), 0)).collect();
    for line in lines {
        let what = "a hexadecimal number";
        let error = FieldError { line: line.number, what };
        for ((_, sum), field) in sums.iter_mut().zip(line.fields) {
            *sum = sum.wrapping_add(u64::from_str_radix(field, 16).map_err(|_| error)?);
        }
    }
    Ok(sums)
}

/// Parses `/proc/net/softnet_stat`: hexadecimal columns, one line for each processor.
///
/// # Errors
/// When a value is not hexadecimal.
pub fn softnet(text: &str) -> Result<Vec<Vec<u64>>> {
    lines(text)
        .map(|line| {
            let error = FieldError { line: line.number, what: "a hexadecimal number" };
            line.fields.map(|field| u64::from_str_radix(field, 16).map_err(|_| error)).collect()
        })
        .collect()
}

/// Parses `/proc/net/udp` and `udp6`: bytes waiting in all queues, sent and received.
///
/// # Errors
/// When a socket has no queues.
pub fn udp_queues(text: &str) -> Result<(u64, u64)> {
    let (mut sent, mut received) = (0u64, 0u64);
    for mut line in lines(text).skip(1) {
        let error = FieldError { line: line.number, what: "tx_queue:rx_queue" };
        let (tx, rx) = line.fields.nth(4).and_then(|queues| queues.split_once(':')).ok_or(error)?;
        sent = sent.saturating_add(u64::from_str_radix(tx, 16).map_err(|_| error)?);
        received = received.saturating_add(u64::from_str_radix(rx, 16).map_err(|_| error)?);
    }
    Ok((sent, received))
}

/// Parses `/proc/net/arp`: the device of each entry.
pub fn arp_devices(text: &str) -> impl Iterator<Item = &str> {
    text.lines().skip(1).filter_map(|line| line.split_ascii_whitespace().nth(5))
}

/// Parses `/proc/schedstat`: for each processor nanoseconds run, nanoseconds waited, and time slices.
///
/// # Errors
/// When a processor's line is too short.
pub fn schedstat(text: &str) -> Result<Vec<(String, [u64; 3])>> {
    let mut cpus = Vec::new();
    for mut line in lines(text) {
        let Some(cpu) = line.text("a name")?.strip_prefix("cpu") else { continue };
        let error = FieldError { line: line.number, what: "nine numbers" };
        let numbers = line.integers();
        let times = numbers.get(6..).and_then(<[u64]>::first_chunk::<3>).ok_or(error)?;
        cpus.push((cpu.to_owned(), *times));
    }
    Ok(cpus)
}

/// Parses `os-release`: shell assignments, quoted or not.
#[must_use]
pub fn os_release(text: &str) -> Vec<(String, String)> {
    let assignments = text.lines().map(str::trim).filter(|line| !line.starts_with('#'));
    assignments
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| {
            let value = value.trim();
            let quoted =
                ['"', '\''].iter().find_map(|quote| value.strip_prefix(*quote)?.strip_suffix(*quote));
            let plain = quoted.unwrap_or(value);
            let mut out = String::with_capacity(plain.len());
            let mut chars = plain.chars();
            while let Some(c) = chars.next() {
                out.extend(if c == '\\' { chars.next() } else { Some(c) });
            }
            (name.to_owned(), out)
        })
        .collect()
}

/// What `/proc/<pid>/stat` says of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProcessStat {
    /// Ticks of processor time, user and system.
    pub cpu_ticks: u64,
    /// When it started, in ticks after the kernel.
    pub start_ticks: u64,
    /// Its virtual memory.
    pub virtual_bytes: u64,
    /// Its pages in memory.
    pub resident_pages: u64,
}

/// Parses `/proc/<pid>/stat`, whose second field is in parentheses and may hold anything.
///
/// # Errors
/// When it is too short.
pub fn process_stat(text: &str) -> Result<ProcessStat> {
    let error = FieldError { line: 1, what: "(name) and 22 numbers" };
    let (_, after) = text.rsplit_once(')').ok_or(error)?;
    let fields: Vec<&str> = after.split_ascii_whitespace().collect();
    // The first field here is the third of the file.
    let number = |nth: usize| fields.get(nth - 3).and_then(|field| field.parse::<u64>().ok()).ok_or(error);
    Ok(ProcessStat {
        cpu_ticks: number(14)?.saturating_add(number(15)?),
        start_ticks: number(22)?,
        virtual_bytes: number(23)?,
        resident_pages: number(24)?,
    })
}

/// Parses `/proc/<pid>/limits`: the soft limit named `name`; `None` when it is not there, infinity when there is no
/// limit.
#[must_use]
pub fn soft_limit(text: &str, name: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    match line.split_ascii_whitespace().next()? {
        "unlimited" => Some(f64::INFINITY),
        number => float(number),
    }
}

#[cfg(test)]
mod tests;
