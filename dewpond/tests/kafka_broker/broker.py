"""A cluster of Kafka in memory, that of librdkafka's own tests, and a consumer of a topic.

    python broker.py TOPIC [CERTIFICATE KEY MECHANISM USER PASSWORD]

Prints the addresses of the brokers as a line, then each record as a line of JSON. Ends with its standard input. With a
certificate, the addresses are those of guards, who let nobody through without TLS and a sign-in.
"""

import json
import os
import ssl
import sys
import threading

from confluent_kafka import Consumer, Producer
from guard import Guard

topic = sys.argv[1]

cluster = Producer({"test.mock.num.brokers": 3, "bootstrap.servers": "replaced", "log_level": 3})
addresses = [(broker.host, broker.port) for broker in cluster.list_topics(timeout=10).brokers.values()]
brokers = ",".join(f"{host}:{port}" for host, port in addresses)
# A topic is made by its first look-up.
cluster.list_topics(topic, timeout=10)
if sys.argv[2:]:
    certificate, key, mechanism, user, password = sys.argv[2:]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    guard = Guard(addresses, context, mechanism, user, password)
    # A stand-in that the best known client does not get through proves nothing.
    client = {
        "bootstrap.servers": guard.addresses(),
        "security.protocol": "SASL_SSL",
        "ssl.ca.location": certificate,
        "sasl.mechanism": mechanism,
        "sasl.username": user,
        "sasl.password": password,
    }
    assert topic in Producer(client).list_topics(topic, timeout=10).topics
    print(guard.addresses(), flush=True)
else:
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
