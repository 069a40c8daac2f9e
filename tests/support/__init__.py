"""Real servers for the tests: Apache Kafka, S3, and the processes they run in."""
