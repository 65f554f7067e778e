"""Traces (OpenTelemetry): the spans of a process and their export. Off without the extra `otel` (docs/TRACES.md)."""
