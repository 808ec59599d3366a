//! The parent's side of a remote write load: starts the sender, looks at the server at every mark, reads the totals.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context as _, Result, bail};

use super::super::options::Options;
use super::super::recording;
use super::send::Plan;
use super::series::Set;

/// What a finished load says of itself.
#[derive(Debug, Clone, Copy)]
pub struct Sent {
    pub samples: u64,
    pub requests: u64,
    pub bytes: u64,
    /// Requests that were answered 429 or 5xx and sent again.
    pub retries: u64,
    pub seconds: f64,
}

/// Sends the sets to a port; `at_mark` is called with the step and the samples sent, before the first step as well.
pub fn run(
    options: &Options,
    port: u16,
    sets: &[Set],
    mark_steps: i64,
    at_mark: impl FnMut(i64, u64) -> Result<()>,
) -> Result<Sent> {
    run_at(options, port, sets, mark_steps, 0.0, at_mark)
}

/// As [`run`], with time that goes by `pace` times faster than a clock; 0 for as fast as the server answers.
pub fn run_at(
    options: &Options,
    port: u16,
    sets: &[Set],
    mark_steps: i64,
    pace: f64,
    mut at_mark: impl FnMut(i64, u64) -> Result<()>,
) -> Result<Sent> {
    let plan = Plan {
        recording: recording::path(options).to_string_lossy().into_owned(),
        port,
        connections: options.number("connections", 4, 4)? as usize,
        per_request: options.number("per-request", 2_000, 2_000)? as usize,
        seed: options.number("seed", 1, 1)?,
        mark_steps,
        pace,
        sets: sets.to_vec(),
    };
    let mut sender = Sender::start(&plan)?;
    loop {
        let line = sender.line()?;
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["ready"] => {}
            ["mark", step, samples] => at_mark(step.parse()?, samples.parse()?)?,
            ["done", samples, requests, bytes, retries, seconds] => {
                return Ok(Sent {
                    samples: samples.parse()?,
                    requests: requests.parse()?,
                    bytes: bytes.parse()?,
                    retries: retries.parse()?,
                    seconds: seconds.parse()?,
                });
            }
            _ => bail!("the sender said {line:?}"),
        }
        sender.stdin.write_all(b"\n").context("the sender is gone")?;
    }
}

struct Sender {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Sender {
    fn start(plan: &Plan) -> Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg("bench-send")
            .args(plan.to_args())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start the sender")?;
        let stdin = child.stdin.take().context("stdin was piped above")?;
        let stdout = BufReader::new(child.stdout.take().context("stdout was piped above")?);
        Ok(Self { child, stdin, stdout })
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        if self.stdout.read_line(&mut line)? == 0 {
            bail!("the sender ended early; its reason stands above");
        }
        Ok(line)
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
