//! The process that is scraped: many targets on ports of their own, serving recorded bodies from memory.
//!
//! A process apart, so that its CPU is not counted. Bodies are compressed before the first scrape. Each target counts
//! its own requests: the n-th request to target i gets scrape `37·i + n` of the recording, whoever asks and whenever.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use anyhow::{Context as _, Result};

use super::recording;

/// Head and body of each answer.
type Answers = Arc<Vec<Vec<u8>>>;

/// `bench-targets RECORDING N plain|gzip`: prints the ports on one line, then serves until its standard input ends.
pub fn main(args: &[String]) -> Result<bool> {
    let [path, n_targets, encoding] = args else { anyhow::bail!("bench-targets RECORDING N plain|gzip") };
    let n_targets: usize = n_targets.parse().context("number of targets")?;
    let answers: Answers = Arc::new(answers(recording::bodies(Path::new(path))?, encoding == "gzip")?);
    let mut ports = Vec::new();
    for nth in 0..n_targets {
        let listener = TcpListener::bind("127.0.0.1:0").context("cannot listen")?;
        ports.push(listener.local_addr()?.port().to_string());
        let (answers, next) = (answers.clone(), Arc::new(AtomicUsize::new(nth * recording::PHASE)));
        spawn(move || accept(&listener, &answers, &next))?;
    }
    println!("{}", ports.join(" "));
    // The parent holds the other end: when it is gone, so are we.
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink())?;
    Ok(true)
}

/// Head and body of each answer, made before the first is asked for.
pub(super) fn answers(bodies: Vec<Vec<u8>>, is_gzip: bool) -> Result<Vec<Vec<u8>>> {
    let mut answers = Vec::with_capacity(bodies.len());
    for body in bodies {
        let (encoding, body) =
            if is_gzip { ("Content-Encoding: gzip\r\n", gzip(&body)?) } else { ("", body) };
        let mut answer = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n{encoding}Content-Length: {}\r\n\r\n",
            body.len()
        )
        .into_bytes();
        answer.extend(body);
        answers.push(answer);
    }
    Ok(answers)
}

/// At level 6, gzip's usual, which exporters use.
fn gzip(body: &[u8]) -> Result<Vec<u8>> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(6));
    encoder.write_all(body)?;
    Ok(encoder.finish()?)
}

fn accept(listener: &TcpListener, answers: &Answers, next: &Arc<AtomicUsize>) {
    for stream in listener.incoming().flatten() {
        let (answers, next) = (answers.clone(), next.clone());
        // A scraper that finds no thread sees a closed connection and a failed scrape, which the count shows.
        let _ = spawn(move || drop(serve(&stream, &answers, &next)));
    }
}

fn serve(stream: &TcpStream, answers: &Answers, next: &AtomicUsize) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::with_capacity(4_096, stream);
    let mut line = Vec::new();
    loop {
        // A request ends with an empty line: a GET has no body.
        line.clear();
        if reader.read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        if line == b"\r\n" {
            let nth = next.fetch_add(1, Ordering::Relaxed) % answers.len();
            let mut stream = stream;
            stream.write_all(&answers[nth])?;
        }
    }
}

fn spawn(work: impl FnOnce() + Send + 'static) -> Result<()> {
    // Hundreds of threads that do little: small stacks.
    thread::Builder::new().stack_size(128 * 1_024).spawn(work).context("cannot start a thread")?;
    Ok(())
}
