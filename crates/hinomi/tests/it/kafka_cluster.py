"""A cluster of two Kafka brokers (librdkafka's), for a test that writes commands and reads answers.

Usage: kafka_cluster.py TOPIC...   Commands, one per line:
  relay PORT       listens there from now on and passes on to a broker; says "ok"
  read TOPIC N     waits for N records of a topic; says them as one line of JSON
"""

import base64
import json
import socket
import sys
import threading

from confluent_kafka import OFFSET_BEGINNING, Consumer, Producer, TopicPartition


def pump(source, target):
    try:
        while data := source.recv(65536):
            target.sendall(data)
    except OSError:
        pass  # The other direction ended first.
    target.close()


def relay(port, broker):
    listener = socket.create_server(("127.0.0.1", port))

    def accept():
        while True:
            client = listener.accept()[0]
            server = socket.create_connection(broker)
            threading.Thread(target=pump, args=(client, server), daemon=True).start()
            threading.Thread(target=pump, args=(server, client), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()


def read(address, topic, n_records):
    consumer = Consumer({"bootstrap.servers": address, "group.id": "test", "check.crcs": True, "log_level": 0})
    partitions = consumer.list_topics(topic).topics[topic].partitions
    consumer.assign([TopicPartition(topic, idx, OFFSET_BEGINNING) for idx in partitions])
    records = []
    while len(records) < n_records:
        record = consumer.poll(20)
        if record is None:
            break
        if record.error():
            raise RuntimeError(record.error())
        if record.value() == b"made":
            continue
        value = base64.b64encode(record.value()).decode()
        records.append({"key": record.key().decode(), "value": value, "at": record.timestamp()[1]})
    return records


def main():
    producer = Producer({"bootstrap.servers": "none", "test.mock.num.brokers": 2, "log_level": 0})
    broker = next(iter(producer.list_topics(timeout=10).brokers.values()))
    for topic in sys.argv[1:]:
        producer.produce(topic, b"made")
    producer.flush()
    print("ok", flush=True)
    for line in sys.stdin:
        command, *words = line.split()
        if command == "relay":
            relay(int(words[0]), (broker.host, broker.port))
            print("ok", flush=True)
        else:
            print(json.dumps(read(f"{broker.host}:{broker.port}", words[0], int(words[1]))), flush=True)


main()
