"""Measures one thing of each kind with OpenTelemetry's SDK and sends it: otlp_sdk.py grpc|http ENDPOINT NAME [delta].

With delta, counts are sent in two parts, each since the one before.
"""
import sys

from opentelemetry.sdk.metrics import Counter, Histogram, MeterProvider
from opentelemetry.sdk.metrics.export import AggregationTemporality, PeriodicExportingMetricReader
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource

kind, endpoint, name = sys.argv[1:4]
is_delta = sys.argv[4:] == ["delta"]
preferred = {Counter: AggregationTemporality.DELTA, Histogram: AggregationTemporality.DELTA} if is_delta else None
if kind == "grpc":
    from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
    from grpc import Compression

    exporter = OTLPMetricExporter(endpoint=endpoint, insecure=True, compression=Compression.Gzip, preferred_temporality=preferred)
else:
    from opentelemetry.exporter.otlp.proto.http import Compression
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter

    exporter = OTLPMetricExporter(endpoint=endpoint, compression=Compression.Gzip, preferred_temporality=preferred)

reader = PeriodicExportingMetricReader(exporter, export_interval_millis=3_600_000)
provider = MeterProvider(
    metric_readers=[reader],
    resource=Resource.create({"service.name": name, "host.name": "h1"}),
    views=[View(instrument_name="exponential", aggregation=ExponentialBucketHistogramAggregation())],
)
meter = provider.get_meter("test")
counter = meter.create_counter("requests", unit="1")
counter.add(3, {"path": "/a"})
counter.add(4, {"path": "/a"})
meter.create_up_down_counter("queue").add(-5)
meter.create_gauge("temperature", unit="Cel").set(21.5)
explicit = meter.create_histogram("size", unit="By", explicit_bucket_boundaries_advisory=[10.0, 100.0])
exponential = meter.create_histogram("exponential", unit="s")
for value in (1.0, 20.0, 300.0):
    explicit.record(value)
    exponential.record(value)
assert provider.force_flush(), "the exporter says that it failed"
if is_delta:
    counter.add(10, {"path": "/a"})
    explicit.record(1.0)
    exponential.record(1000.0)
    assert provider.force_flush(), "the exporter says that it failed"
provider.shutdown()
