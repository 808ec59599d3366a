//! The producer beside a broker that answers as the test says.

use stdx::metrics::Registry;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::config::{Acks, Broker, Compression};
use super::*;

const T0: i64 = 1_763_676_000_000;

/// What the broker does with a batch.
#[derive(Debug, Clone, Copy)]
enum Answer {
    Code(i16),
    /// Closes the connection and says nothing.
    Close,
}

/// One batch as it came: its number of events, the producer's number, the number of its first event.
type Seen = (i32, i64, i32);

/// A broker that leads the only partition; past the `answers` it takes everything.
struct FakeBroker {
    port: u16,
    seen: mpsc::Receiver<Seen>,
}

impl FakeBroker {
    async fn start(answers: &[Answer]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let (tell, seen) = mpsc::channel(64);
        let answers = answers.to_vec();
        tokio::spawn(async move {
            let (mut answers, mut n_producers) = (answers.into_iter(), 0);
            while let Ok((mut stream, _)) = listener.accept().await {
                let serving = serve(&mut stream, port, &mut answers, &mut n_producers, &tell);
                // The client or the script ends a connection.
                let _ = serving.await;
            }
        });
        Self { port, seen }
    }

    async fn next(&mut self) -> Seen {
        self.seen.recv().await.expect("the broker runs")
    }
}

async fn serve(
    stream: &mut TcpStream,
    port: u16,
    answers: &mut impl Iterator<Item = Answer>,
    n_producers: &mut i64,
    tell: &mpsc::Sender<Seen>,
) -> std::io::Result<()> {
    loop {
        let length = stream.read_i32().await?;
        let mut request = vec![0; usize::try_from(length).expect("positive")];
        stream.read_exact(&mut request).await?;
        let mut body = Vec::new();
        match request[1] {
            0 => {
                // The batch is the last of the request; its head has a fixed size up to the records.
                let start = request.windows(5).position(|five| five == [255, 255, 255, 255, 2]);
                let batch = &request[start.expect("a batch") - 12..];
                let four = |at: usize| i32::from_be_bytes(batch[at..at + 4].try_into().expect("four"));
                let producer = i64::from_be_bytes(batch[43..51].try_into().expect("eight"));
                tell.try_send((four(57), producer, four(53))).expect("the test listens");
                let acks = i16::from_be_bytes(request[26..28].try_into().expect("two"));
                match answers.next().unwrap_or(Answer::Code(0)) {
                    Answer::Close => return Ok(()),
                    Answer::Code(_) if acks == 0 => continue,
                    Answer::Code(code) => {
                        body.extend([0, 0, 0, 1, 0, 1, b't', 0, 0, 0, 1, 0, 0, 0, 0]);
                        body.extend(code.to_be_bytes());
                        body.extend([0; 28]);
                    }
                }
            }
            3 => {
                body.extend([0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 7, 0, 9]);
                body.extend(b"127.0.0.1");
                body.extend(i32::from(port).to_be_bytes());
                body.extend([255, 255, 255, 255, 0, 0, 0, 7, 0, 0, 0, 1, 0, 0, 0, 1, b't', 0]);
                body.extend([0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0]);
            }
            22 => {
                *n_producers += 1;
                body.extend([0; 6]);
                body.extend(n_producers.to_be_bytes());
                body.extend([0, 0]);
            }
            other => panic!("request {other}"),
        }
        stream.write_all(&(4 + body.len() as i32).to_be_bytes()).await?;
        stream.write_all(&request[4..8]).await?;
        stream.write_all(&body).await?;
    }
}

struct Rig {
    kafka: Kafka,
    registry: Registry,
}

impl Rig {
    fn start(port: u16, acks: Acks) -> Self {
        let config = KafkaConfig {
            name: "kafka:b/t".to_owned(),
            brokers: vec![Broker { host: "127.0.0.1".to_owned(), port }],
            topic: "t".to_owned(),
            client_id: "client".to_owned(),
            format: Format::Protobuf,
            acks,
            compression: Compression::None,
            buffer_events: 1,
            tls: None,
        };
        let registry = Registry::new();
        let dropped = registry.counters("dropped", "d", &["output"]).with(&["kafka:b/t"]);
        let failed = registry.counters("failed", "f", &["output", "error_type"]);
        let dialer = Dialer::new(None).expect("no files");
        Self { kafka: Kafka::start(config, dialer, "host", dropped, failed), registry }
    }

    fn offer(&self, n_events: usize) {
        let note = Note { at_ms: T0, what: super::super::What::Stopped };
        for _ in 0..n_events {
            self.kafka.offer(&note, "{}", "host", 0);
        }
    }

    /// Ends it and returns what was counted.
    async fn close(self, time: Duration) -> String {
        self.kafka.close(time).await;
        let page = self.registry.render();
        page.lines().filter(|line| !line.starts_with('#')).collect::<Vec<_>>().join("\n")
    }
}

const DROPPED_NONE: &str = "dropped{output=\"kafka:b/t\"} 0";

#[tokio::test]
async fn a_batch_is_tried_until_it_is_taken_under_the_same_number() {
    let answers = [Answer::Code(6), Answer::Close, Answer::Code(46)];
    let mut broker = FakeBroker::start(&answers).await;
    let rig = Rig::start(broker.port, Acks::All);
    rig.offer(2);
    for attempt in 0..3 {
        assert_eq!(broker.next().await, (2, 1, 0), "attempt {attempt}");
    }
    rig.offer(1);
    assert_eq!(broker.next().await, (1, 1, 2));
    assert_eq!(rig.close(Duration::from_secs(10)).await, DROPPED_NONE);
}

#[tokio::test]
async fn a_producer_that_brokers_forgot_gets_a_new_number() {
    let mut broker = FakeBroker::start(&[Answer::Code(0), Answer::Code(59)]).await;
    let rig = Rig::start(broker.port, Acks::All);
    rig.offer(1);
    assert_eq!(broker.next().await, (1, 1, 0));
    rig.offer(1);
    assert_eq!(broker.next().await, (1, 1, 1));
    assert_eq!(broker.next().await, (1, 2, 0));
    assert_eq!(rig.close(Duration::from_secs(10)).await, DROPPED_NONE);
}

#[tokio::test]
async fn what_is_too_large_together_goes_in_halves_and_alone_is_refused() {
    let too_large = Answer::Code(10);
    let mut broker =
        FakeBroker::start(&[too_large, too_large, too_large, Answer::Code(0), Answer::Code(0)]).await;
    let rig = Rig::start(broker.port, Acks::Leader);
    rig.offer(3);
    let mut sizes = Vec::new();
    for _ in 0..5 {
        sizes.push(broker.next().await.0);
    }
    // 3 → 1 and 2; the one is refused, and of the two each is taken: the first half is sent first.
    assert_eq!(sizes, [3, 1, 2, 1, 1]);
    let counted = rig.close(Duration::from_secs(10)).await;
    assert_eq!(counted, format!("{DROPPED_NONE}\nfailed{{output=\"kafka:b/t\",error_type=\"broker\"}} 1"));
}

#[tokio::test]
async fn what_a_broker_refuses_is_counted_and_others_go_on() {
    let mut broker = FakeBroker::start(&[Answer::Code(29)]).await;
    let rig = Rig::start(broker.port, Acks::Leader);
    rig.offer(1);
    assert_eq!(broker.next().await, (1, -1, -1));
    rig.offer(1);
    assert_eq!(broker.next().await, (1, -1, -1));
    let counted = rig.close(Duration::from_secs(10)).await;
    assert!(counted.ends_with("failed{output=\"kafka:b/t\",error_type=\"broker\"} 1"), "{counted}");
}

#[tokio::test]
async fn without_acknowledgement_a_closed_connection_is_noticed() {
    let mut broker = FakeBroker::start(&[Answer::Close, Answer::Code(0)]).await;
    let rig = Rig::start(broker.port, Acks::None);
    rig.offer(1);
    assert_eq!(broker.next().await, (1, -1, -1));
    // The broker closes behind what it was sent: the end is there to be read soon after.
    tokio::time::sleep(Duration::from_millis(100)).await;
    rig.offer(1);
    assert_eq!(broker.next().await, (1, -1, -1), "over a new connection");
    assert_eq!(rig.close(Duration::from_secs(10)).await, DROPPED_NONE);
}

#[tokio::test]
async fn events_wait_in_a_bounded_queue_for_a_broker_that_is_away() {
    // Nobody listens on a port that was just given back.
    let port = {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        listener.local_addr().expect("bound").port()
    };
    let rig = Rig::start(port, Acks::Leader);
    rig.offer(HELD_EVENTS_MAX + 1 + 5);
    assert_eq!(rig.kafka.waiting.n_events(), HELD_EVENTS_MAX + 1);
    let counted = rig.close(Duration::from_millis(1)).await;
    let expected = format!(
        "dropped{{output=\"kafka:b/t\"}} 5\nfailed{{output=\"kafka:b/t\",error_type=\"timeout\"}} {}",
        HELD_EVENTS_MAX + 1
    );
    assert_eq!(counted, expected);
}

#[tokio::test]
async fn bytes_that_wait_are_bounded_too() {
    let rig = Rig::start(1, Acks::Leader);
    let waiting = &rig.kafka.waiting;
    let event = Event { at_ms: T0, value: vec![0; HELD_BYTES_MAX / 2] };
    assert!(waiting.enter(&event) && waiting.enter(&event) && !waiting.enter(&event));
    rig.offer(1);
    assert!(rig.registry.render().contains("dropped{output=\"kafka:b/t\"} 1"));
    waiting.leave(std::slice::from_ref(&event));
    assert!(waiting.enter(&event));
}
