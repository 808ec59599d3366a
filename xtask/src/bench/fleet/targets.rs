//! The process that is a fleet: thousands of targets on ports of their own, served by one thread, each request noted.
//!
//! In: the recording, sizes, and on standard input the question what was asked of it; out: HTTP answers that were made before the
//! start, and one line of JSON for each question. A process apart, so that its CPU is not counted. The n-th request to
//! target i gets scrape `37·i + n` of the recording, as in [`super::super::targets`].

use std::cell::RefCell;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::rc::Rc;

use anyhow::{Context as _, Result, bail};
use rustix::process::{Resource, getrlimit, setrlimit};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::mpsc;

use super::super::{Bench, recording, targets};
use super::lag::{Summary, judge};
use crate::bench::workloads::now_ms;

/// Largest request. Chosen: a scraper sends some hundred bytes.
const REQUEST_BYTES_MAX: usize = 8 << 10;

/// Moments at which each target was asked.
type Asked = Rc<RefCell<Vec<Vec<i64>>>>;

/// `bench-fleet RECORDING N SAMPLES plain|gzip`: prints the ports on one line, then a line of JSON for each line
/// `INTERVAL_MS FROM_MS TO_MS` that it reads, until its standard input ends.
pub fn main(args: &[String]) -> Result<bool> {
    let [path, n_targets, samples_max, encoding] = args else {
        bail!("bench-fleet RECORDING N SAMPLES plain|gzip")
    };
    let (n_targets, samples_max): (usize, usize) = (n_targets.parse()?, samples_max.parse()?);
    let bodies = recording::bodies(Path::new(path))?.into_iter().map(|body| cut(body, samples_max)).collect();
    let answers: Rc<Vec<Vec<u8>>> = Rc::new(targets::answers(bodies, encoding == "gzip")?);
    more_files(2 * n_targets as u64 + 100)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async {
        let asked: Asked = Rc::new(RefCell::new(vec![Vec::new(); n_targets]));
        let mut ports = Vec::new();
        for nth in 0..n_targets {
            let listener = TcpListener::bind("127.0.0.1:0").context("cannot listen")?;
            listener.set_nonblocking(true)?;
            ports.push(listener.local_addr()?.port().to_string());
            let listener = tokio::net::TcpListener::from_std(listener)?;
            tokio::task::spawn_local(accept(listener, nth, Rc::clone(&answers), Rc::clone(&asked)));
        }
        println!("{}", ports.join(" "));
        let mut questions = questions();
        while let Some(question) = questions.recv().await {
            println!("{}", answer(&question, &asked.borrow())?);
        }
        Ok(true)
    })
}

/// The first so many samples of a body, with the comments before them; 0 for all.
fn cut(mut body: Vec<u8>, samples_max: usize) -> Vec<u8> {
    if samples_max == 0 {
        return body;
    }
    let (mut n_samples, mut end) = (0, 0);
    for line in body.split_inclusive(|byte| *byte == b'\n') {
        n_samples += usize::from(line[0] != b'#');
        if n_samples > samples_max {
            break;
        }
        end += line.len();
    }
    body.truncate(end);
    body
}

/// Every target needs a file to listen and one for its connection.
fn more_files(wanted: u64) -> Result<()> {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.maximum.is_some_and(|most| most < wanted) {
        bail!(
            "{wanted} open files are needed, and the hard limit is {:?}; raise it (ulimit -Hn)",
            limit.maximum
        );
    }
    limit.current = limit.maximum;
    Ok(setrlimit(Resource::Nofile, limit)?)
}

/// Lines of standard input; ends when that ends, which is when our parent is gone.
fn questions() -> mpsc::UnboundedReceiver<String> {
    let (tell, told) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        let lines = std::io::stdin().lines().map_while(Result::ok);
        lines.for_each(|line| drop(tell.send(line)));
    });
    told
}

fn answer(question: &str, asked: &[Vec<i64>]) -> Result<Value> {
    let numbers: Vec<i64> = question.split(' ').map(str::parse).collect::<Result<_, _>>()?;
    let [interval_ms, from_ms, to_ms] = numbers[..] else { bail!("not a question: {question}") };
    let all = judge(asked.iter().map(Vec::as_slice), interval_ms, from_ms, to_ms);
    Ok(json!({ "due": all.due, "lags_ms": all.lags_ms }))
}

async fn accept(listener: tokio::net::TcpListener, nth: usize, answers: Rc<Vec<Vec<u8>>>, asked: Asked) {
    while let Ok((stream, _)) = listener.accept().await {
        let (answers, asked) = (Rc::clone(&answers), Rc::clone(&asked));
        tokio::task::spawn_local(async move { drop(serve(stream, nth, &answers, &asked).await) });
    }
}

async fn serve(
    mut stream: tokio::net::TcpStream,
    nth: usize,
    answers: &[Vec<u8>],
    asked: &Asked,
) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut request = Vec::with_capacity(1_024);
    loop {
        // A request ends with an empty line: a GET has no body, and nobody sends the next one before the answer.
        while !request.ends_with(b"\r\n\r\n") {
            if request.len() > REQUEST_BYTES_MAX || stream.read_buf(&mut request).await? == 0 {
                return Ok(());
            }
        }
        request.clear();
        let n_before = {
            let moments = &mut asked.borrow_mut()[nth];
            moments.push(now_ms());
            moments.len() - 1
        };
        stream.write_all(&answers[(nth * recording::PHASE + n_before) % answers.len()]).await?;
    }
}

/// The process, as its parent holds it. Ends when dropped.
pub struct Fleet {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    pub ports: Vec<String>,
}

impl Fleet {
    pub fn start(bench: &Bench, n_targets: u64, samples_max: u64, encoding: &str) -> Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg("bench-fleet")
            .arg(recording::path(&bench.options))
            .args([&n_targets.to_string(), &samples_max.to_string(), encoding])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start the fleet")?;
        let stdin = child.stdin.take().context("stdin was piped above")?;
        let mut stdout = BufReader::new(child.stdout.take().context("stdout was piped above")?);
        let mut line = String::new();
        stdout.read_line(&mut line)?;
        let ports: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        let fleet = Self { child, stdin, stdout, ports };
        if fleet.ports.len() as u64 != n_targets {
            bail!("the fleet did not start");
        }
        Ok(fleet)
    }

    /// What was asked of it, by its own clock.
    pub fn judge(&mut self, interval_ms: i64, from_ms: i64, to_ms: i64) -> Result<Summary> {
        writeln!(self.stdin, "{interval_ms} {from_ms} {to_ms}")?;
        let mut line = String::new();
        self.stdout.read_line(&mut line)?;
        let told: Value = serde_json::from_str(&line).with_context(|| format!("the fleet said {line:?}"))?;
        let lags_ms: Vec<i64> =
            told["lags_ms"].as_array().into_iter().flatten().filter_map(Value::as_i64).collect();
        Ok(Summary { due: told["due"].as_u64().context("due")?, done: lags_ms.len() as u64, lags_ms })
    }

    pub fn cpu_seconds(&self) -> Result<f64> {
        super::super::proc::cpu_seconds(self.child.id())
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_cut_after_so_many_samples() {
        let body = b"# TYPE a gauge\na 1\na{x=\"1\"} 2\n# TYPE b gauge\nb 3\n";
        let check = |most, expected: &[u8]| assert_eq!(cut(body.to_vec(), most), expected, "{most}");
        check(0, body);
        check(1, b"# TYPE a gauge\na 1\n");
        check(2, b"# TYPE a gauge\na 1\na{x=\"1\"} 2\n# TYPE b gauge\n");
        check(9, body);
    }
}
