//! What can go wrong on the way to a broker, and what then helps.

use net::Cause;

/// A broker's answer, as a number of Kafka's protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Code(pub(super) i16);

/// What a broker's answer asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Done,
    /// It passes, or another broker is the right one.
    Again,
    /// The topic may appear; but it may also be misspelt.
    NoTopic,
    /// The number under which attempts are told apart is worth nothing any more.
    NewProducer,
    TooLarge,
    /// It will say the same again.
    Refused,
}

impl Code {
    /// kafka.apache.org/protocol#protocol_error_codes; which of them pass is said there too.
    fn known(self) -> (Verdict, &'static str) {
        use Verdict::{Again, Done, NewProducer, NoTopic, Refused, TooLarge};
        match self.0 {
            0 => (Done, "NONE"),
            2 => (Again, "CORRUPT_MESSAGE"),
            3 => (NoTopic, "UNKNOWN_TOPIC_OR_PARTITION"),
            5 => (Again, "LEADER_NOT_AVAILABLE"),
            6 => (Again, "NOT_LEADER_OR_FOLLOWER"),
            7 => (Again, "REQUEST_TIMED_OUT"),
            8 => (Again, "BROKER_NOT_AVAILABLE"),
            9 => (Again, "REPLICA_NOT_AVAILABLE"),
            10 => (TooLarge, "MESSAGE_TOO_LARGE"),
            13 => (Again, "NETWORK_EXCEPTION"),
            14 => (Again, "COORDINATOR_LOAD_IN_PROGRESS"),
            15 => (Again, "COORDINATOR_NOT_AVAILABLE"),
            16 => (Again, "NOT_COORDINATOR"),
            17 => (Refused, "INVALID_TOPIC_EXCEPTION"),
            18 => (TooLarge, "RECORD_LIST_TOO_LARGE"),
            19 => (Again, "NOT_ENOUGH_REPLICAS"),
            20 => (Again, "NOT_ENOUGH_REPLICAS_AFTER_APPEND"),
            29 => (Refused, "TOPIC_AUTHORIZATION_FAILED"),
            31 => (Refused, "CLUSTER_AUTHORIZATION_FAILED"),
            35 => (Refused, "UNSUPPORTED_VERSION"),
            43 => (Refused, "UNSUPPORTED_FOR_MESSAGE_FORMAT"),
            44 => (Refused, "POLICY_VIOLATION"),
            45 => (NewProducer, "OUT_OF_ORDER_SEQUENCE_NUMBER"),
            // The attempt before had arrived; only its answer had not.
            46 => (Done, "DUPLICATE_SEQUENCE_NUMBER"),
            47 => (NewProducer, "INVALID_PRODUCER_EPOCH"),
            49 => (NewProducer, "INVALID_PRODUCER_ID_MAPPING"),
            51 => (Again, "CONCURRENT_TRANSACTIONS"),
            56 => (Again, "KAFKA_STORAGE_ERROR"),
            59 => (NewProducer, "UNKNOWN_PRODUCER_ID"),
            72 => (Again, "LISTENER_NOT_FOUND"),
            74 => (Again, "FENCED_LEADER_EPOCH"),
            75 => (Again, "UNKNOWN_LEADER_EPOCH"),
            76 => (Refused, "UNSUPPORTED_COMPRESSION_TYPE"),
            87 => (Refused, "INVALID_RECORD"),
            89 => (Again, "THROTTLING_QUOTA_EXCEEDED"),
            _ => (Refused, "UNKNOWN_SERVER_ERROR"),
        }
    }

    pub(super) fn verdict(self) -> Verdict {
        self.known().0
    }
}

/// Why an attempt came to nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("{broker}: {cause}")]
    Connect { broker: String, cause: Cause },
    #[error("{broker}: no answer in time")]
    Timeout { broker: String },
    #[error("{broker}: {reason}")]
    Exchange { broker: String, reason: std::io::Error },
    #[error("{broker}: its answer is not what Kafka's protocol says; brokers from 2.1 on are understood")]
    Malformed { broker: String },
    #[error("{broker} said {} ({})", .code.known().1, .code.0)]
    Broker { broker: String, code: Code },
    #[error("{broker}: partition {partition} of the topic has no leader now")]
    NoLeader { broker: String, partition: i32 },
}

impl Failure {
    /// What helps. Whatever is not said by a broker passes, as Alertmanager's producer takes it.
    pub(super) fn verdict(&self) -> Verdict {
        match self {
            Self::Broker { code, .. } => code.verdict(),
            _ => Verdict::Again,
        }
    }
}
