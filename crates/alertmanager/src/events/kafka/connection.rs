//! One connection to one broker: a request, its answer, nothing at once.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use net::{Dialer, Stream};
use tokio::io::{AsyncRead as _, AsyncReadExt as _, AsyncWriteExt as _, ReadBuf};
use tokio::time::{Instant, timeout};

use super::config::Broker;
use super::failure::{Code, Failure, Verdict};
use super::wire::{self, Api};

/// From Alertmanager's producer, as the two below.
const DIAL_TIMEOUT: Duration = Duration::from_secs(10);
/// What the broker is given for a request, and as much for the way.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);
/// A connection that said nothing for so long may have been cut by somebody in between.
const IDLE_MAX: Duration = Duration::from_secs(20);
/// Until the leader is asked for anew: partitions may have been added. From Alertmanager's producer.
const AGE_MAX: Duration = Duration::from_secs(300);
/// Most of an answer, in bytes. Chosen: 30 thousand brokers, or 30 thousand partitions of the topic.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// An open connection.
pub(super) struct Connection {
    io: Box<dyn Stream>,
    broker: String,
    client_id: String,
    correlation: i32,
    opened: Instant,
    used: Instant,
}

impl Connection {
    pub(super) async fn open(dialer: &Dialer, broker: &Broker, client_id: &str) -> Result<Self, Failure> {
        let name = broker.to_string();
        let io = match timeout(DIAL_TIMEOUT, dialer.connect(&broker.host, broker.port)).await {
            Ok(Ok(io)) => io,
            Ok(Err(cause)) => return Err(Failure::Connect { broker: name, cause }),
            Err(_) => return Err(Failure::Timeout { broker: name }),
        };
        let now = Instant::now();
        Ok(Self { io, broker: name, client_id: client_id.to_owned(), correlation: 0, opened: now, used: now })
    }

    /// With whom.
    pub(super) fn broker(&self) -> &str {
        &self.broker
    }

    /// What was read of an answer, if it is what the protocol says and the broker's word is a good one.
    pub(super) fn check<T>(&self, read: Option<(Code, T)>) -> Result<T, Failure> {
        let broker = self.broker.clone();
        match read {
            Some((code, read)) if code.verdict() == Verdict::Done => Ok(read),
            Some((code, _)) => Err(Failure::Broker { broker, code }),
            None => Err(Failure::Malformed { broker }),
        }
    }

    /// Sends a request and reads its answer.
    pub(super) async fn ask(&mut self, api: Api, body: &[u8]) -> Result<Vec<u8>, Failure> {
        self.within(ANSWER_TIMEOUT, async |connection| {
            connection.write(api, body).await?;
            connection.read().await
        })
        .await
    }

    /// Sends a request that has no answer.
    pub(super) async fn tell(&mut self, api: Api, body: &[u8]) -> Result<(), Failure> {
        self.within(ANSWER_TIMEOUT, async |connection| Ok(connection.write(api, body).await?)).await
    }

    async fn within<T>(
        &mut self,
        time: Duration,
        exchange: impl AsyncFnOnce(&mut Self) -> Result<T, Broken>,
    ) -> Result<T, Failure> {
        let done = timeout(time, exchange(self)).await;
        self.used = Instant::now();
        let broker = self.broker.clone();
        match done {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(Broken::Io(reason))) => Err(Failure::Exchange { broker, reason }),
            Ok(Err(Broken::Protocol)) => Err(Failure::Malformed { broker }),
            Err(_) => Err(Failure::Timeout { broker }),
        }
    }

    async fn write(&mut self, api: Api, body: &[u8]) -> Result<(), std::io::Error> {
        self.correlation = self.correlation.wrapping_add(1);
        self.io.write_all(&wire::frame(api, self.correlation, &self.client_id, body)).await?;
        self.io.flush().await
    }

    async fn read(&mut self) -> Result<Vec<u8>, Broken> {
        let length = usize::try_from(self.io.read_i32().await?).map_err(|_| Broken::Protocol)?;
        let length = length.checked_sub(4).filter(|length| *length <= ANSWER_BYTES_MAX);
        let mut answer = vec![0; length.ok_or(Broken::Protocol)?];
        if self.io.read_i32().await? != self.correlation {
            return Err(Broken::Protocol);
        }
        self.io.read_exact(&mut answer).await?;
        Ok(answer)
    }

    /// Whether another request may go this way. The other side says nothing unasked: what can be read is the end. This is
    /// all that tells when nobody has to acknowledge.
    pub(super) async fn is_usable(&mut self) -> bool {
        if self.used.elapsed() > IDLE_MAX || self.opened.elapsed() > AGE_MAX {
            return false;
        }
        let mut byte = [0];
        let mut byte = ReadBuf::new(&mut byte);
        poll_fn(|cx| Poll::Ready(Pin::new(&mut self.io).poll_read(cx, &mut byte).is_pending())).await
    }
}

enum Broken {
    Io(std::io::Error),
    Protocol,
}

impl From<std::io::Error> for Broken {
    fn from(err: std::io::Error) -> Self {
        Self::Io(err)
    }
}
