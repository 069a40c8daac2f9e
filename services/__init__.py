"""plateflow: number plates from recordings in Kerberos Vault to Kafka and Parquet."""
