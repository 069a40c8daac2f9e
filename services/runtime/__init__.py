"""The shell that all services share: loop, Kafka, stores, settings, metrics, logs, health. Imports no service."""
