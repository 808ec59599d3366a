"""Writes points with the clients of InfluxDB 1 (TCP and UDP) and 2: influx_clients.py HTTP_PORT UDP_PORT."""
import sys

from influxdb import InfluxDBClient as Client1
from influxdb_client import InfluxDBClient as Client2
from influxdb_client import Point
from influxdb_client.client.write_api import SYNCHRONOUS

port, udp_port = (int(argument) for argument in sys.argv[1:])
point = {"measurement": "one", "tags": {"host": "a"}, "fields": {"value": 1.5, "n": 2}}
assert Client1("127.0.0.1", port, database="x").write_points([point])
udp = {"measurement": "udp", "tags": {"host": "a"}, "fields": {"value": 7.0}}
Client1("127.0.0.1", port, database="x", use_udp=True, udp_port=udp_port).write_points([udp])
client = Client2(url=f"http://127.0.0.1:{port}", token="t", org="o")
client.write_api(write_options=SYNCHRONOUS).write("bucket", record=Point("two").tag("host", "b").field("value", 3.5))
client.close()
