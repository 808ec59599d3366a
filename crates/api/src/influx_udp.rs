//! Influx line protocol over UDP, as InfluxDB 1 takes it: off unless an address is given.
//!
//! In: datagrams, each with whole lines; out: what waits together goes to [`InfluxReceiver`] as one batch. Nobody is told what was refused: it
//! is counted. When memory is short, or the store refuses, datagrams are dropped and counted: that is what senders by UDP chose.

use std::sync::Arc;
use std::time::Duration;

use stdx::metrics::{Counter, Registry};
use tokio::net::UdpSocket;
use tokio_util::sync::CancellationToken;

use crate::influx::{InfluxReceiver, Precision, WAIT_MAX};

/// Longest datagram, in bytes. From UDP.
const DATAGRAM_BYTES_MAX: usize = 64 << 10;
/// Bytes that are stored at once. Chosen: what a socket holds as a rule.
const BATCH_BYTES_MAX: usize = 1 << 20;
/// Pause after the system refused. Chosen: as for connections.
const PAUSE: Duration = Duration::from_millis(100);

/// What the listener counts.
struct Counts {
    received: Arc<Counter>,
    dropped: Arc<Counter>,
}

/// Takes datagrams until `stop` is cancelled. Times are in nanoseconds.
pub async fn serve_influx_udp(
    socket: UdpSocket,
    receiver: Arc<InfluxReceiver>,
    registry: Registry,
    stop: CancellationToken,
) {
    let counts = Counts {
        received: registry
            .counter("hinomi_influx_udp_datagrams_total", "Datagrams of line protocol that came."),
        dropped: registry.counter(
            "hinomi_influx_udp_dropped_datagrams_total",
            "Datagrams of line protocol dropped, since memory was short or the store refused.",
        ),
    };
    let mut datagram = vec![0; DATAGRAM_BYTES_MAX];
    loop {
        let first = tokio::select! {
            () = stop.cancelled() => return,
            first = socket.recv(&mut datagram) => first,
        };
        let mut batch = match first {
            Ok(n_bytes) => with_line_end(Vec::new(), &datagram[..n_bytes]),
            Err(err) => {
                tracing::warn!(error = %err, "cannot receive line protocol by UDP");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let mut n_datagrams = 1;
        while batch.len() < BATCH_BYTES_MAX
            && let Ok(n_bytes) = socket.try_recv(&mut datagram)
        {
            batch = with_line_end(batch, &datagram[..n_bytes]);
            n_datagrams += 1;
        }
        counts.received.add(n_datagrams);
        if !store(&receiver, batch).await {
            counts.dropped.add(n_datagrams);
        }
    }
}

fn with_line_end(mut batch: Vec<u8>, datagram: &[u8]) -> Vec<u8> {
    batch.extend_from_slice(datagram);
    batch.push(b'\n');
    batch
}

async fn store(receiver: &Arc<InfluxReceiver>, batch: Vec<u8>) -> bool {
    if receiver.sheds() {
        return false;
    }
    let Ok(permit) = receiver.gate.enter(WAIT_MAX).await else { return false };
    let receiver = Arc::clone(receiver);
    let stored = tokio::task::spawn_blocking(move || {
        let _held = permit;
        let precision = Precision::parse("").expect("nanoseconds are the default");
        receiver.receive(&batch, precision)
    });
    match stored.await {
        Ok(Ok(_)) => true,
        Ok(Err(err)) => {
            tracing::warn!(error = %err, "cannot store line protocol that came by UDP");
            false
        }
        Err(_) => false,
    }
}
