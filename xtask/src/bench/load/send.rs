//! The process that sends remote write: connections of its own, all in step, so that its CPU is not counted.
//!
//! Each connection sends its requests of one time after the other; connections wait for each other every few steps, so
//! that none runs so far ahead that the others' samples are too old. On `mark`s it stops until its parent has looked.

use std::io::{BufRead as _, Write as _};
use std::path::Path;
use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::super::http::Client;
use super::series::{self, COHORTS, Columns, STEP_MS, Set};
use super::template::Template;

/// Steps between two meetings of the connections: five minutes of data, well within the hour that Prometheus takes.
const STEPS_BETWEEN_MEETINGS: i64 = 20;

/// How often a request that met an overloaded server is sent again, a tenth of a second later each.
const RETRIES: u32 = 600;

/// What to send where.
pub struct Plan {
    pub recording: String,
    pub port: u16,
    pub connections: usize,
    pub per_request: usize,
    pub seed: u64,
    /// Steps between marks, counted from the first; 0 for none.
    pub mark_steps: i64,
    /// How often faster than a clock steps follow each other; 0 for as fast as the server answers.
    pub pace: f64,
    pub sets: Vec<Set>,
}

impl Plan {
    pub fn to_args(&self) -> Vec<String> {
        let numbers = [u64::from(self.port), self.connections as u64, self.per_request as u64, self.seed];
        let mut args = vec![self.recording.clone()];
        args.extend(numbers.iter().map(u64::to_string));
        args.extend([self.mark_steps.to_string(), self.pace.to_string()]);
        args.extend(self.sets.iter().map(Set::to_text));
        args
    }

    fn from_args(args: &[String]) -> Result<Self> {
        let [recording, port, connections, per_request, seed, mark_steps, pace, sets @ ..] = args else {
            bail!("bench-send RECORDING PORT CONNECTIONS PER_REQUEST SEED MARK_STEPS PACE SET…");
        };
        Ok(Self {
            recording: recording.clone(),
            port: port.parse()?,
            connections: connections.parse::<usize>()?.max(1),
            per_request: per_request.parse::<usize>()?.max(1),
            seed: seed.parse()?,
            mark_steps: mark_steps.parse()?,
            pace: pace.parse()?,
            sets: sets.iter().map(|text| Set::from_text(text)).collect::<Result<_>>()?,
        })
    }
}

/// What was sent, over all connections.
#[derive(Default)]
struct Totals {
    samples: AtomicU64,
    requests: AtomicU64,
    bytes: AtomicU64,
    retries: AtomicU64,
}

/// `bench-send …`: prints `ready`, then `mark STEP SAMPLES` lines each answered by a line, then
/// `done SAMPLES REQUESTS BYTES RETRIES SECONDS`.
pub fn main(args: &[String]) -> Result<bool> {
    let plan = Plan::from_args(args)?;
    let columns = Columns::read(Path::new(&plan.recording))?;
    let mut hands: Vec<Vec<Batch>> = (0..plan.connections).map(|_| Vec::new()).collect();
    let mut nth = 0;
    for set in &plan.sets {
        for groups in batches(set, plan.per_request) {
            hands[nth % plan.connections].push(Batch::new(set, groups, &columns, plan.seed)?);
            nth += 1;
        }
    }
    say("ready")?;
    wait()?;
    let started = Instant::now();
    let (barrier, totals) = (Barrier::new(plan.connections), Totals::default());
    thread::scope(|scope| {
        let (plan, columns, barrier, totals) = (&plan, &columns, &barrier, &totals);
        let hands = hands.into_iter().enumerate();
        let work = hands.map(|(nth, batches)| {
            scope.spawn(move || {
                let worked = Hand { plan, columns, totals, batches, client: Client::new(plan.port) }
                    .work(nth, barrier);
                if let Err(err) = worked {
                    // The others would wait for this one for ever.
                    eprintln!("remote write: {err:#}");
                    std::process::exit(1);
                }
            })
        });
        work.collect::<Vec<_>>().into_iter().for_each(|thread| drop(thread.join()));
    });
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let Totals { samples, requests, bytes, retries } = &totals;
    let seconds = started.elapsed().as_secs_f64();
    let (samples, requests, bytes, retries) = (count(samples), count(requests), count(bytes), count(retries));
    say(&format!("done {samples} {requests} {bytes} {retries} {seconds}"))?;
    Ok(true)
}

fn say(line: &str) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{line}")?;
    Ok(stdout.flush()?)
}

fn wait() -> Result<()> {
    if std::io::stdin().lock().read_line(&mut String::new())? == 0 {
        bail!("the parent is gone");
    }
    Ok(())
}

/// Groups of each request: as many whole groups as fit, or a part of one.
fn batches(set: &Set, per_request: usize) -> Vec<Part> {
    let mut order: Vec<usize> = (0..set.groups).collect();
    if set.churn_steps > 0 {
        // A cohort's hosts are replaced together, so they travel together.
        order.sort_by_key(|group| group % COHORTS);
    }
    let cohort = |group: usize| if set.churn_steps > 0 { group % COHORTS } else { 0 };
    let mut parts: Vec<Part> = Vec::new();
    for group in order {
        let n_pieces = set.series.div_ceil(per_request);
        if n_pieces > 1 {
            let piece = |nth: usize| nth * per_request..set.series.min((nth + 1) * per_request);
            parts.extend((0..n_pieces).map(|nth| Part { groups: vec![group], items: piece(nth) }));
            continue;
        }
        match parts.last_mut() {
            Some(part)
                if (part.groups.len() + 1) * set.series <= per_request
                    && cohort(part.groups[0]) == cohort(group) =>
            {
                part.groups.push(group);
            }
            _ => parts.push(Part { groups: vec![group], items: 0..set.series }),
        }
    }
    parts
}

/// Series of one request.
struct Part {
    groups: Vec<usize>,
    /// Which series of each group.
    items: std::ops::Range<usize>,
}

/// One request of each due step.
struct Batch {
    set: Set,
    part: Part,
    generation: i64,
    template: Template,
}

impl Batch {
    fn new(set: &Set, part: Part, columns: &Columns, seed: u64) -> Result<Self> {
        let template = template(set, &part, columns, seed, 0)?;
        Ok(Self { set: set.clone(), part, generation: 0, template })
    }

    /// How often its hosts were replaced up to a step: one cohort after the other, each every `churn_steps · COHORTS`.
    fn generation_at(&self, step: i64) -> i64 {
        if self.set.churn_steps == 0 {
            return 0;
        }
        let cohort = (self.part.groups[0] % COHORTS) as i64;
        let n_changes = step / self.set.churn_steps;
        (n_changes + COHORTS as i64 - 1 - cohort) / COHORTS as i64
    }
}

fn template(set: &Set, part: &Part, columns: &Columns, seed: u64, generation: i64) -> Result<Template> {
    let mut all = Vec::new();
    for group in &part.groups {
        let series = series::group(set, columns, seed, *group, generation)?;
        all.extend(series.into_iter().skip(part.items.start).take(part.items.len()));
    }
    Template::new(all)
}

/// One connection.
struct Hand<'a> {
    plan: &'a Plan,
    columns: &'a Columns,
    totals: &'a Totals,
    batches: Vec<Batch>,
    client: Client,
}

impl Hand<'_> {
    fn work(mut self, nth: usize, barrier: &Barrier) -> Result<()> {
        let sets = &self.plan.sets;
        let from_ms = sets.iter().map(|set| set.from_ms).min().context("nothing to send")?;
        let to_ms = sets.iter().map(|set| set.to_ms).max().unwrap_or(from_ms);
        let mark_steps = self.plan.mark_steps;
        let started = Instant::now();
        for step in 0..(to_ms - from_ms + STEP_MS - 1) / STEP_MS {
            let is_mark = mark_steps > 0 && step % mark_steps == 0;
            if is_mark || step % STEPS_BETWEEN_MEETINGS == 0 {
                barrier.wait();
            }
            if is_mark {
                if nth == 0 {
                    say(&format!("mark {step} {}", self.totals.samples.load(Ordering::Relaxed)))?;
                    wait()?;
                }
                barrier.wait();
            }
            if self.plan.pace > 0.0 {
                let due = Duration::from_secs_f64((step * STEP_MS) as f64 / 1_000.0 / self.plan.pace);
                thread::sleep(due.saturating_sub(started.elapsed()));
            }
            self.step(step, from_ms + step * STEP_MS)?;
        }
        Ok(())
    }

    fn step(&mut self, step: i64, time_ms: i64) -> Result<()> {
        for batch in &mut self.batches {
            let set = &batch.set;
            let since_ms = time_ms - set.from_ms;
            let is_sent = (set.from_ms.max(set.sent_from_ms)..set.to_ms).contains(&time_ms);
            if !is_sent || since_ms % set.interval_ms != 0 {
                continue;
            }
            let generation = batch.generation_at(step);
            if generation != batch.generation {
                let ended = batch.template.stale(time_ms)?;
                send(&mut self.client, self.totals, &ended, batch.template.n_samples())?;
                batch.template = template(set, &batch.part, self.columns, self.plan.seed, generation)?;
                batch.generation = generation;
            }
            let n_samples = batch.template.n_samples();
            let body =
                batch.template.fill(self.columns, (since_ms / set.interval_ms).cast_unsigned(), time_ms)?;
            send(&mut self.client, self.totals, body, n_samples)?;
        }
        Ok(())
    }
}

fn send(client: &mut Client, totals: &Totals, body: &[u8], n_samples: u64) -> Result<()> {
    for _ in 0..RETRIES {
        let answer = client.post_write("/api/v1/write", body)?;
        if answer.status / 100 == 2 {
            totals.samples.fetch_add(n_samples, Ordering::Relaxed);
            totals.requests.fetch_add(1, Ordering::Relaxed);
            totals.bytes.fetch_add(body.len() as u64, Ordering::Relaxed);
            return Ok(());
        }
        if answer.status != 429 && answer.status / 100 != 5 {
            bail!("answered {}: {}", answer.status, String::from_utf8_lossy(&answer.body));
        }
        totals.retries.fetch_add(1, Ordering::Relaxed);
        thread::sleep(Duration::from_millis(100));
    }
    bail!("the server was overloaded for a minute")
}

#[cfg(test)]
mod tests {
    use super::super::series::Kind;
    use super::*;

    #[test]
    fn requests_hold_whole_hosts_or_parts_of_one() {
        let check = |groups: usize, series: usize, churn_steps: i64, expected: &[usize]| {
            let set = Set { churn_steps, ..Set::new(Kind::Node, groups, series, 0, 1) };
            let sizes: Vec<usize> =
                batches(&set, 2_000).iter().map(|part| part.groups.len() * part.items.len()).collect();
            assert_eq!(sizes, expected);
        };
        check(5, 1_000, 0, &[2_000, 2_000, 1_000]);
        check(1, 4_500, 0, &[2_000, 2_000, 500]);
        check(3, 1_100, 0, &[1_100; 3]);
        check(12, 1_000, 40, &[2_000, 2_000, 1_000, 1_000, 1_000, 1_000, 1_000, 1_000, 1_000, 1_000]);
    }
}
