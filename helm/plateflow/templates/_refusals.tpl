{{/* What the schema cannot say: values that do not go together. Each text says what to change. */}}
{{- define "plateflow.refusals" -}}
{{- $values := .Values -}}
{{- $brokers := required "kafka.brokers is not set: name the Kafka brokers as host:port" $values.kafka.brokers -}}
{{- if not (regexMatch "^[^\\s:,/]+:[0-9]{1,5}(,[^\\s:,/]+:[0-9]{1,5})*$" $brokers) -}}
{{- fail (printf "kafka.brokers is %q: it needs host:port, several separated by commas, such as kafka.kafka:9092" $brokers) -}}
{{- end -}}
{{- if and $values.vault.uri (not (regexMatch "^https?://[^\\s/]+" $values.vault.uri)) -}}
{{- fail (printf "vault.uri is %q: it needs a URL such as http://vault.kerberos-vault/api" $values.vault.uri) -}}
{{- end -}}
{{- if not (or $values.vault.uri $values.vault.sourcesSecret) -}}
{{- fail "vault.uri is not set: give the address of Vault's API (or vault.sourcesSecret, to read its buckets directly)" -}}
{{- end -}}
{{- if and $values.vault.uri (not $values.vault.existingSecret) -}}
{{- fail "vault.existingSecret is not set: name the secret that holds the keys of the Vault account" -}}
{{- end -}}
{{- $sasl := hasPrefix "SASL" $values.kafka.security -}}
{{- if and $sasl (not $values.kafka.existingSecret) -}}
{{- fail (printf "kafka.security is %s, but kafka.existingSecret is not set: name the secret with user and password" $values.kafka.security) -}}
{{- end -}}
{{- if and $values.kafka.existingSecret (not $sasl) -}}
{{- fail (printf "kafka.existingSecret is set, but kafka.security is %s: choose SASL_SSL or SASL_PLAINTEXT" $values.kafka.security) -}}
{{- end -}}
{{- if and $values.kafka.caSecret (not (hasSuffix "SSL" $values.kafka.security)) -}}
{{- fail (printf "kafka.caSecret is set, but kafka.security is %s: choose SSL or SASL_SSL" $values.kafka.security) -}}
{{- end -}}
{{- $shared := or (include "plateflow.dataInS3" .) (has "ReadWriteMany" $values.aggregator.persistence.accessModes) -}}
{{- if and (gt (int $values.aggregator.replicas) 1) (not $shared) -}}
{{- fail (printf "aggregator.replicas is %d, but its volume is %s: several replicas need a shared one; set aggregator.persistence.accessModes to [ReadWriteMany] (and a storage class that has it), or storage.s3.data to a bucket, or replicas to 1" (int $values.aggregator.replicas) (join ", " $values.aggregator.persistence.accessModes)) -}}
{{- end -}}
{{- if and $values.storage.s3.data (ne $values.storage.type "s3") -}}
{{- fail "storage.s3.data is set, but storage.type is volume: choose s3, or leave heatmaps on the aggregator's volume" -}}
{{- end -}}
{{- if and (eq $values.storage.type "volume") (not (has "ReadWriteMany" $values.storage.volume.accessModes)) -}}
{{- fail "storage.volume.accessModes lacks ReadWriteMany: ingest and inference share this volume from different pods; use a storage class that has it, or storage.type: s3" -}}
{{- end -}}
{{- $partitions := int $values.topics.partitions -}}
{{- range $part := list "ingest" "inference" -}}
{{- $own := get $values $part -}}
{{- $most := int (ternary $own.replicas $own.autoscaling.maxReplicas (eq $own.autoscaling.type "none")) -}}
{{- if and (eq $part "inference") (gt $most $partitions) -}}
{{- fail (printf "inference would run up to %d workers, but topics.partitions is %d: the others would have nothing to do; raise topics.partitions before the first install, or lower the number of workers" $most $partitions) -}}
{{- end -}}
{{- if gt (int $own.autoscaling.minReplicas) (int $own.autoscaling.maxReplicas) -}}
{{- fail (printf "%s.autoscaling.minReplicas is above maxReplicas" $part) -}}
{{- end -}}
{{- if and (eq $own.autoscaling.type "hpa") (lt (int $own.autoscaling.minReplicas) 1) -}}
{{- fail (printf "%s.autoscaling.minReplicas is 0: only keda can start a first replica again" $part) -}}
{{- end -}}
{{- end -}}
{{- if gt (int $values.aggregator.replicas) $partitions -}}
{{- fail (printf "aggregator.replicas is %d, but topics.partitions is %d: the others would have nothing to do" (int $values.aggregator.replicas) $partitions) -}}
{{- end -}}
{{- end -}}
