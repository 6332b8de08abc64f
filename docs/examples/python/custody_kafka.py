"""What the examples share: a producer that chooses partitions as Custody Face Search does, and its CloudEvents."""

import json
import os
import time

import jwt
from cloudevents.core.bindings.kafka import KafkaMessage, from_binary_event, to_binary_event
from cloudevents.core.v1.event import CloudEvent
from confluent_kafka import Consumer, Producer, TopicPartition

IMAGES = "custody.images.v1"
OUTCOMES = "custody.outcomes.v1"
OUTCOME_WITHIN_SECONDS = 120


def client_settings():
    """KAFKA_BROKERS, and for a secured cluster a JSON file of librdkafka's settings named by KAFKA_CLIENT_CONFIG."""
    settings = {"bootstrap.servers": os.environ.get("KAFKA_BROKERS", "127.0.0.1:9092")}
    if "KAFKA_CLIENT_CONFIG" in os.environ:
        with open(os.environ["KAFKA_CLIENT_CONFIG"], encoding="utf-8") as file:
            settings.update(json.load(file))
    return settings


def open_producer(partitioner="murmur2_random"):
    # librdkafka's own default hashes keys with CRC32: such a record is refused with WRONG_PARTITION.
    return Producer({**client_settings(), "partitioner": partitioner, "enable.idempotence": True, "message.max.bytes": 9_000_000})


def send(producer, topic, key, event, assertion=None):
    """Returns the partition and the offset of the record. An event without data becomes a null value."""
    message = to_binary_event(event)
    headers = dict(message.headers)
    if assertion is not None:
        headers["assertion"] = assertion.encode()
    placed = []

    def delivered(error, record):
        placed.append(error if error is not None else (record.partition(), record.offset()))

    value = None if event.get_data() is None else message.value
    producer.produce(topic, key=key, value=value, headers=headers, on_delivery=delivered)
    producer.flush()
    if not isinstance(placed[0], tuple):
        raise RuntimeError(placed[0])
    return placed[0]


def open_outcomes():
    """Reads every partition of the outcomes from its end. A system that must miss none uses a group and commits."""
    consumer = Consumer({**client_settings(), "group.id": "custody-system-example", "enable.auto.commit": False})
    partitions = consumer.list_topics(OUTCOMES, timeout=30).topics[OUTCOMES].partitions
    ends = [
        TopicPartition(OUTCOMES, p, consumer.get_watermark_offsets(TopicPartition(OUTCOMES, p), timeout=30)[1])
        for p in partitions
    ]
    consumer.assign(ends)
    return consumer


def outcome_of(consumer, placed):
    """The outcome of the record at this partition and offset: each record on custody.images has exactly one."""
    partition, offset = placed
    deadline = time.monotonic() + OUTCOME_WITHIN_SECONDS
    while time.monotonic() < deadline:
        record = consumer.poll(1.0)
        if record is None:
            continue
        if record.error():
            raise RuntimeError(record.error())
        event = from_binary_event(KafkaMessage(dict(record.headers()), record.key(), record.value()))
        # Types that are added later are none of ours.
        if event.get_type() != "custody.outcome.v1":
            continue
        outcome = event.get_data()
        if outcome["source"] == {"partition": partition, "offset": offset}:
            return outcome
    raise TimeoutError(f"no outcome of {IMAGES}/{partition}/{offset}")


def signed(key_file, subject, claims):
    """A compact JWS in the name of the system whose key this is: good for one thing, for five minutes."""
    with open(key_file, encoding="utf-8") as file:
        key = json.load(file)
    claims = {"iss": key["kid"], "sub": subject, "iat": int(time.time()), **claims}
    return jwt.encode(claims, jwt.PyJWK.from_dict(key).key, algorithm="EdDSA", headers={"kid": key["kid"]})
