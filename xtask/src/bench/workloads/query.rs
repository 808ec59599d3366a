//! `query`: the same data in every server, the same questions, answers compared; warm, cold, CPU and memory.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use tempfile::TempDir;

use super::super::Bench;
use super::super::http::Client;
use super::super::load::drive;
use super::super::load::series::Set;
use super::super::proc;
use super::super::report::{Kind as Row, Section};
use super::super::server::{Server, Spec};
use super::disk::settle;
use super::questions::{Data, Question, dashboard, questions};
use super::{EMPTY_CONFIG, check_stored, past_start_ms};

/// Times that each question is asked warm. From the target.
const ASKED: usize = 5;

/// Refreshes of the dashboard after the first.
const REFRESHES: i64 = 5;

/// The name under which the dashboard's refreshes are asked for.
const PANELS: &str = "panels";

/// Between two refreshes, as in the target.
const REFRESH_MS: i64 = 30_000;

/// Answers differ when their sums differ by more: servers add in different orders.
const TOLERANCE: f64 = 1e-9;

/// At full scale the slowest question takes Prometheus a minute and a half, on a machine that is not quiet more than its own two.
const TIMEOUT: &str = "--query.timeout=20m";

/// What a server that got blocks has in its head, sent as usual; as much as ours has there, about.
const HEAD_MS: i64 = 20 * 60_000;

/// Prometheus 2.42 takes native histograms only so.
fn extra(spec: &Spec) -> String {
    let feature = if spec.name == "prometheus" { "--enable-feature=native-histograms" } else { "" };
    format!("{TIMEOUT} {feature}")
}

/// Where a server's data is: gone at the end, or kept for the next run.
enum Folder {
    Temporary(TempDir),
    Kept(PathBuf),
}

impl Folder {
    fn new(bench: &Bench, spec: &Spec) -> Result<Self> {
        Ok(match bench.options.text("keep") {
            Some(keep) => Self::Kept(Path::new(keep).join(&spec.name)),
            None => Self::Temporary(bench.folder()?),
        })
    }

    fn path(&self) -> &Path {
        match self {
            Self::Temporary(folder) => folder.path(),
            Self::Kept(path) => path,
        }
    }

    /// Noted once all is loaded.
    fn mark(&self) -> PathBuf {
        self.path().join("loaded")
    }
}

/// Where the data ends: as the kept data has it, or now.
fn end_ms(bench: &Bench) -> Result<i64> {
    // Far enough in the past that two more hours close the last block.
    let now = past_start_ms(7_200_000);
    let Some(keep) = bench.options.text("keep") else { return Ok(now) };
    let noted = Path::new(keep).join("end_ms");
    if !noted.exists() {
        std::fs::create_dir_all(keep)?;
        std::fs::write(&noted, now.to_string())?;
    }
    let text = std::fs::read_to_string(&noted)?;
    text.trim().parse().with_context(|| format!("{} holds no time", noted.display()))
}

/// A server with the data, running or not.
struct Loaded<'a> {
    spec: &'a Spec,
    folder: Folder,
    server: Option<Server>,
}

impl Loaded<'_> {
    fn server(&self) -> Result<&Server> {
        self.server.as_ref().context("it was started before")
    }

    /// As after a boot: a new process, and files not in memory.
    fn restart_cold(&mut self) -> Result<()> {
        if let Some(server) = self.server.take() {
            server.kill();
        }
        proc::drop_page_cache(self.folder.path());
        self.server = Some(self.spec.start(self.folder.path(), EMPTY_CONFIG, &extra(self.spec))?);
        Ok(())
    }
}

pub fn query(bench: &Bench) -> Result<Vec<Section>> {
    let options = &bench.options;
    let (scale, hours) = (options.fraction("scale", 0.1, 0.01)?, options.number("hours", 24, 2)?);
    let data = Data::new(scale, hours, end_ms(bench)?);
    let mut section = Section::new(
        "query",
        format!(
            "{}\nWarm: median of {ASKED} after one more, each a second further in the past so that none repeats; cold: first time after a start with nothing in the page cache, median of {}. \
             Latency over HTTP with the whole answer read; CPU of the process, mean of the {ASKED}; peak: most resident memory while they ran. Answers are compared by number of series, of samples and sum.",
            data.description(),
            options.runs()?
        ),
    );
    let sets = data.sets();
    let mut servers = Vec::new();
    let by_blocks = options.is_on("blocks");
    for spec in bench.order(0) {
        let folder = Folder::new(bench, spec)?;
        let loaded = match servers.first_mut() {
            _ if folder.mark().exists() => Loaded { spec, folder, server: None },
            Some(first) if by_blocks => load_blocks(bench, spec, folder, first, &data, &mut section)?,
            _ => load(bench, spec, folder, &sets, &mut section)?,
        };
        servers.push(loaded);
    }
    let mut questions = questions(&data);
    let wanted = options.list("ask");
    questions.retain(|question| wanted.is_empty() || wanted.contains(&question.name));
    let asks_panels = wanted.is_empty() || wanted.iter().any(|name| name == PANELS);
    if questions.is_empty() && !asks_panels {
        bail!("no question is called {}", wanted.join(" or "));
    }
    for run in 0..options.runs()? {
        for loaded in &mut servers {
            loaded.restart_cold()?;
        }
        for (nth, question) in questions.iter().enumerate() {
            let mut order: Vec<&Loaded> = servers.iter().collect();
            if (run + nth) % 2 == 1 {
                order.reverse();
            }
            for loaded in order {
                let answer = ask(loaded.server()?, question, 0)?;
                section.add(
                    &format!("{}: cold ms", question.name),
                    Row::Cost,
                    "",
                    &loaded.spec.name,
                    answer.ms,
                );
            }
        }
    }
    for (nth, question) in questions.iter().enumerate() {
        warm(&servers, question, nth, &mut section)?;
    }
    if asks_panels {
        refresh(&servers, &data, &mut section)?;
    }
    Ok(vec![section])
}

fn load<'a>(
    bench: &Bench,
    spec: &'a Spec,
    folder: Folder,
    sets: &[Set],
    section: &mut Section,
) -> Result<Loaded<'a>> {
    let server = spec.start(folder.path(), EMPTY_CONFIG, &extra(spec))?;
    let started = Instant::now();
    let sent = drive::run(&bench.options, server.port, sets, 0, |_, _| Ok(()))?;
    println!(
        "  {:>12}  {} samples sent in {:.0} s",
        spec.name,
        sent.samples,
        started.elapsed().as_secs_f64()
    );
    settle(&server)?;
    let stored = check_stored(&server, sets, sent.samples)?;
    section.add("samples stored", Row::Fact, "", &spec.name, stored.samples);
    section.add("CPU s of the load, blocks included", Row::Cost, "", &spec.name, server.cpu_seconds()?);
    std::fs::write(folder.mark(), "")?;
    Ok(Loaded { spec, folder, server: Some(server) })
}

/// The first server's data as blocks, but for what belongs into the head: sizes that another would take hours to be sent.
fn load_blocks<'a>(
    bench: &Bench,
    spec: &'a Spec,
    folder: Folder,
    first: &mut Loaded,
    data: &Data,
    section: &mut Section,
) -> Result<Loaded<'a>> {
    if !first.spec.is_ours || spec.is_ours {
        bail!("--blocks needs ours and another: blocks are exported from ours");
    }
    if let Some(server) = first.server.take() {
        server.kill();
    }
    let started = Instant::now();
    let head_ms = data.end_ms - HEAD_MS;
    first.spec.export(first.folder.path(), folder.path(), head_ms)?;
    println!("  {:>12}  blocks written in {:.0} s", spec.name, started.elapsed().as_secs_f64());
    let server = spec.start(folder.path(), EMPTY_CONFIG, &extra(spec))?;
    let sets = data.sets();
    let newest: Vec<Set> = sets.iter().map(|set| Set { sent_from_ms: head_ms, ..set.clone() }).collect();
    drive::run(&bench.options, server.port, &newest, 0, |_, _| Ok(()))?;
    println!("  {:>12}  head sent after {:.0} s", spec.name, started.elapsed().as_secs_f64());
    settle(&server)?;
    let stored = check_stored(&server, &sets, sets.iter().map(Set::n_samples).sum())?;
    section.add("samples stored", Row::Fact, "", &spec.name, stored.samples);
    std::fs::write(folder.mark(), "")?;
    Ok(Loaded { spec, folder, server: Some(server) })
}

/// An answer and how long it took.
struct Answer {
    ms: f64,
    n_series: usize,
    n_samples: usize,
    sum: f64,
}

impl Answer {
    fn agrees(&self, other: &Self) -> bool {
        let is_near = (self.sum - other.sum).abs() <= TOLERANCE * self.sum.abs().max(1.0);
        let is_same_nan = self.sum.is_nan() && other.sum.is_nan();
        (self.n_series, self.n_samples) == (other.n_series, other.n_samples) && (is_near || is_same_nan)
    }
}

fn ask(server: &Server, question: &Question, back_ms: i64) -> Result<Answer> {
    let at =
        |ms: i64| format!("{}.{:03}", (ms - back_ms).div_euclid(1_000), (ms - back_ms).rem_euclid(1_000));
    let (end, start) = (at(question.end_ms), at(question.start_ms));
    let step = format!("{}", question.step_ms as f64 / 1_000.0);
    let (path, fields) = if question.step_ms == 0 {
        ("/api/v1/query", vec![("query", question.expr.as_str()), ("time", &end)])
    } else {
        (
            "/api/v1/query_range",
            vec![("query", question.expr.as_str()), ("start", &start), ("end", &end), ("step", &step)],
        )
    };
    let mut client = Client::new(server.port);
    // The connection is open before the clock runs.
    client.get("/-/healthy")?;
    let started = Instant::now();
    let answer = client.post_form(path, &fields)?;
    let ms = started.elapsed().as_secs_f64() * 1e3;
    if answer.status != 200 {
        let body = String::from_utf8_lossy(&answer.body[..answer.body.len().min(300)]).into_owned();
        bail!("{}: {}: answered {}: {body}", server.name, question.expr, answer.status);
    }
    let json: Value = serde_json::from_slice(&answer.body).context("not JSON")?;
    let (mut found, mut sum) = (Answer { ms, n_series: 0, n_samples: 0, sum: 0.0 }, 0.0);
    for series in json["data"]["result"].as_array().into_iter().flatten() {
        found.n_series += 1;
        let samples =
            series["values"].as_array().map_or_else(|| vec![&series["value"]], |all| all.iter().collect());
        for sample in samples {
            found.n_samples += 1;
            sum += sample[1].as_str().and_then(|value| value.parse::<f64>().ok()).unwrap_or(f64::NAN);
        }
    }
    found.sum = sum;
    Ok(found)
}

fn warm(servers: &[Loaded], question: &Question, nth: usize, section: &mut Section) -> Result<()> {
    let mut all: Vec<Vec<Answer>> = servers.iter().map(|_| Vec::new()).collect();
    let mut order: Vec<usize> = (0..servers.len()).collect();
    if nth % 2 == 1 {
        order.reverse();
    }
    for place in order {
        let (server, name) = (servers[place].server()?, &servers[place].spec.name);
        ask(server, question, 0)?;
        proc::forget_peak(server.pid())?;
        let cpu_before = server.cpu_seconds()?;
        for repeat in 1..=ASKED {
            all[place].push(ask(server, question, repeat as i64 * 1_001)?);
        }
        let cpu_ms = (server.cpu_seconds()? - cpu_before) * 1e3 / ASKED as f64;
        let peak = server.memory()?.peak as f64 / f64::from(1 << 20);
        let latencies: Vec<f64> = all[place].iter().map(|answer| answer.ms).collect();
        let middle = super::super::report::median(&latencies);
        section.add(&format!("{}: warm ms", question.name), Row::Cost, question.asked, name, middle);
        section.add(&format!("{}: CPU ms", question.name), Row::Cost, "", name, cpu_ms);
        section.add(&format!("{}: peak MiB", question.name), Row::Cost, "2×", name, peak);
    }
    for (place, answers) in all.iter().enumerate().skip(1) {
        for (own, other) in all[0].iter().zip(answers) {
            if !own.agrees(other) {
                let shown = |answer: &Answer| {
                    format!("{} series, {} samples, sum {}", answer.n_series, answer.n_samples, answer.sum)
                };
                section.remark(format!(
                    "**{} differs**: {} has {}, {} has {}",
                    question.name,
                    servers[0].spec.name,
                    shown(own),
                    servers[place].spec.name,
                    shown(other)
                ));
                break;
            }
        }
    }
    Ok(())
}

/// A dashboard left open: every panel again, half a minute later each time.
fn refresh(servers: &[Loaded], data: &Data, section: &mut Section) -> Result<()> {
    for loaded in servers {
        let server = loaded.server()?;
        for refresh in 0..=REFRESHES {
            let cpu_before = server.cpu_seconds()?;
            let started = Instant::now();
            for panel in dashboard(data) {
                ask(server, &panel, (REFRESHES - refresh) * REFRESH_MS)?;
            }
            let (ms, cpu) = (started.elapsed(), server.cpu_seconds()? - cpu_before);
            let (what, asked) =
                if refresh == 0 { ("first time", "") } else { ("refreshed", "10×; goal 30×") };
            let name = &loaded.spec.name;
            section.add(&format!("100 panels {what}: CPU ms"), Row::Cost, asked, name, cpu * 1e3);
            section.add(
                &format!("100 panels {what}: ms"),
                Row::Cost,
                "",
                name,
                Duration::as_secs_f64(&ms) * 1e3,
            );
        }
    }
    Ok(())
}
