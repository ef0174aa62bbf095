"""A cluster of Kafka in memory, that of librdkafka's own tests, and a consumer of a topic.

Prints the addresses of the brokers as a line, then each record as a line of JSON. Ends with its standard input.
"""

import json
import os
import sys
import threading

from confluent_kafka import Consumer, Producer

topic = sys.argv[1]

cluster = Producer({"test.mock.num.brokers": 3, "bootstrap.servers": "replaced", "log_level": 3})
brokers = ",".join(f"{broker.host}:{broker.port}" for broker in cluster.list_topics(timeout=10).brokers.values())
# A topic is made by its first look-up.
cluster.list_topics(topic, timeout=10)
print(brokers, flush=True)


def end():
    sys.stdin.read()
    os._exit(0)


threading.Thread(target=end, daemon=True).start()

consumer = Consumer(
    {"bootstrap.servers": brokers, "group.id": "test", "auto.offset.reset": "earliest", "log_level": 3}
)
consumer.subscribe([topic])
while True:
    record = consumer.poll(0.2)
    if record is None or record.error():
        continue
    print(
        json.dumps(
            {
                "partition": record.partition(),
                "offset": record.offset(),
                "key": record.key().decode(),
                "value": json.loads(record.value()),
                "headers": {name: value.decode() for name, value in record.headers() or []},
                "at": record.timestamp()[1],
            }
        ),
        flush=True,
    )
