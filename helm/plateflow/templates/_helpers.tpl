{{- define "plateflow.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- define "plateflow.fullname" -}}
{{- $name := include "plateflow.name" . -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* Labels of an object; takes {root, part}. */}}
{{- define "plateflow.labels" -}}
{{ include "plateflow.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: plateflow
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end -}}

{{- define "plateflow.selector" -}}
app.kubernetes.io/name: {{ include "plateflow.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .part }}
{{- end -}}

{{/* The image of a target; takes {root, part}. */}}
{{- define "plateflow.image" -}}
{{- $image := .root.Values.image -}}
{{- $tag := default .root.Chart.AppVersion $image.tag -}}
{{- if and (eq .part "inference") .root.Values.inference.gpu.enabled -}}{{- $tag = printf "%s-cuda" $tag -}}{{- end -}}
{{- if $image.registry -}}{{ trimSuffix "/" $image.registry }}/{{- end -}}
{{ $image.repository }}-{{ .part }}:{{ $tag }}
{{- end -}}

{{- define "plateflow.pullSecrets" -}}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end -}}

{{- define "plateflow.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{ default (include "plateflow.fullname" .) .Values.serviceAccount.name }}
{{- else -}}
{{ default "default" .Values.serviceAccount.name }}
{{- end -}}
{{- end -}}

{{- define "plateflow.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "plateflow.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{- define "plateflow.fromSecret" -}}
- name: {{ .name }}
  valueFrom:
    secretKeyRef:
      name: {{ .secret }}
      key: {{ .key }}
{{- end -}}

{{- define "plateflow.kafkaEnv" -}}
{{- $kafka := .Values.kafka -}}
- name: PLATEFLOW_KAFKA_BROKER
  value: {{ $kafka.brokers | quote }}
- name: PLATEFLOW_KAFKA_GROUP
  value: {{ $kafka.group | quote }}
- name: PLATEFLOW_KAFKA_VAULT_TOPIC
  value: {{ $kafka.vaultTopic | quote }}
- name: PLATEFLOW_KAFKA_TOPIC_PREFIX
  value: {{ $kafka.topicPrefix | quote }}
- name: PLATEFLOW_KAFKA_TOPIC_PARTITIONS
  value: {{ .Values.topics.partitions | quote }}
- name: PLATEFLOW_KAFKA_SECURITY
  value: {{ $kafka.security | quote }}
{{- if hasPrefix "SASL" $kafka.security }}
- name: PLATEFLOW_KAFKA_MECHANISM
  value: {{ $kafka.mechanism | quote }}
{{ include "plateflow.fromSecret" (dict "name" "PLATEFLOW_KAFKA_USERNAME" "secret" $kafka.existingSecret "key" $kafka.usernameKey) }}
{{ include "plateflow.fromSecret" (dict "name" "PLATEFLOW_KAFKA_PASSWORD" "secret" $kafka.existingSecret "key" $kafka.passwordKey) }}
{{- end }}
{{- if $kafka.caSecret }}
- name: PLATEFLOW_KAFKA_CA_FILE
  value: /etc/plateflow/kafka/{{ $kafka.caKey }}
{{- end }}
{{- end -}}

{{- define "plateflow.vaultEnv" -}}
{{- $vault := .Values.vault -}}
{{- if $vault.uri }}
- name: PLATEFLOW_VAULT_URI
  value: {{ $vault.uri | quote }}
{{ include "plateflow.fromSecret" (dict "name" "PLATEFLOW_VAULT_ACCESS_KEY" "secret" $vault.existingSecret "key" $vault.accessKeyKey) }}
{{ include "plateflow.fromSecret" (dict "name" "PLATEFLOW_VAULT_SECRET_KEY" "secret" $vault.existingSecret "key" $vault.secretKeyKey) }}
{{- end }}
{{- with $vault.allowedHosts }}
- name: PLATEFLOW_VAULT_ALLOWED_HOSTS
  value: {{ join "," . | quote }}
{{- end }}
{{- if $vault.sourcesSecret }}
- name: PLATEFLOW_VAULT_SOURCES_FILE
  value: /etc/plateflow/vault/sources.yaml
{{- end }}
{{- if $vault.decryptionSecret }}
{{ include "plateflow.fromSecret" (dict "name" "PLATEFLOW_VAULT_DECRYPTION_KEYS" "secret" $vault.decryptionSecret "key" "keys") }}
{{- end }}
{{- end -}}

{{/* How to reach the S3 server, in variables that begin with a prefix; takes {root, prefix}. */}}
{{- define "plateflow.s3Env" -}}
{{- $s3 := .root.Values.storage.s3 -}}
- name: {{ .prefix }}_REGION
  value: {{ $s3.region | quote }}
- name: {{ .prefix }}_PATH_STYLE
  value: {{ $s3.pathStyle | quote }}
{{- with $s3.endpoint }}
- name: {{ $.prefix }}_ENDPOINT
  value: {{ . | quote }}
{{- end }}
{{- if $s3.existingSecret }}
{{ include "plateflow.fromSecret" (dict "name" (printf "%s_ACCESS_KEY" .prefix) "secret" $s3.existingSecret "key" $s3.accessKeyKey) }}
{{ include "plateflow.fromSecret" (dict "name" (printf "%s_SECRET_KEY" .prefix) "secret" $s3.existingSecret "key" $s3.secretKeyKey) }}
{{- end }}
{{- end -}}

{{/* Settings of a store; takes {root, prefix, part, hours}, part is the name of the bucket's value and of the folder. */}}
{{- define "plateflow.storeEnv" -}}
{{- $storage := .root.Values.storage -}}
- name: {{ .prefix }}_MAX_AGE_HOURS
  value: {{ .hours | quote }}
{{- if eq $storage.type "volume" }}
- name: {{ .prefix }}_URL
  value: /store/{{ .part }}
{{- else }}
- name: {{ .prefix }}_URL
  value: {{ get $storage.s3 .part | quote }}
{{ include "plateflow.s3Env" . }}
{{- end }}
{{- end -}}

{{/* Not empty where heatmaps lie in a bucket. */}}
{{- define "plateflow.dataInS3" -}}
{{- if eq .Values.storage.type "s3" -}}{{ .Values.storage.s3.data }}{{- end -}}
{{- end -}}

{{- define "plateflow.clipsEnv" -}}
{{ include "plateflow.storeEnv" (dict "root" . "prefix" "PLATEFLOW_CLIPS" "part" "clips" "hours" .Values.storage.clipMaxAgeHours) }}
- name: PLATEFLOW_CLIPS_MAX_BYTES
  value: {{ .Values.storage.clipMaxBytes | quote }}
{{- end -}}

{{- define "plateflow.objectsEnv" -}}
{{ include "plateflow.storeEnv" (dict "root" . "prefix" "PLATEFLOW_OBJECTS" "part" "objects" "hours" .Values.storage.objectMaxAgeHours) }}
{{- end -}}

{{- define "plateflow.probes" -}}
startupProbe:
  httpGet: {path: /healthz, port: http}
  periodSeconds: 2
  failureThreshold: 60
livenessProbe:
  httpGet: {path: /healthz, port: http}
  periodSeconds: 20
  timeoutSeconds: 5
  failureThreshold: 3
readinessProbe:
  httpGet: {path: /readyz, port: http}
  periodSeconds: 5
  timeoutSeconds: 5
{{- end -}}

{{/* The pod of a service, as a pod template; takes {root, part}. */}}
{{- define "plateflow.pod" -}}
{{- $root := .root -}}
{{- $values := get $root.Values .part -}}
{{- $gpu := and (eq .part "inference") $root.Values.inference.gpu.enabled -}}
{{- $stores := has .part (list "ingest" "inference") -}}
metadata:
  labels:
    {{- include "plateflow.labels" . | nindent 4 }}
  {{- with $values.podAnnotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  serviceAccountName: {{ include "plateflow.serviceAccount" $root }}
  automountServiceAccountToken: false
  {{- include "plateflow.pullSecrets" $root | nindent 2 }}
  terminationGracePeriodSeconds: 60
  {{- if and $gpu $root.Values.inference.gpu.runtimeClassName }}
  runtimeClassName: {{ $root.Values.inference.gpu.runtimeClassName }}
  {{- end }}
  securityContext:
    {{- include "plateflow.podSecurity" $root | nindent 4 }}
  {{- with $values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $values.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $values.topologyKey }}
  topologySpreadConstraints:
    - maxSkew: 1
      topologyKey: {{ . }}
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels:
          {{- include "plateflow.selector" $ | nindent 10 }}
  {{- end }}
  containers:
    - name: {{ .part }}
      image: {{ include "plateflow.image" . | quote }}
      imagePullPolicy: {{ $root.Values.image.pullPolicy }}
      securityContext:
        {{- include "plateflow.containerSecurity" $root | nindent 8 }}
      ports:
        - name: http
          containerPort: 8080
      env:
        - name: PLATEFLOW_HTTP_PORT
          value: "8080"
        - name: PLATEFLOW_LOG_FORMAT
          value: json
        {{- include "plateflow.kafkaEnv" $root | nindent 8 }}
        {{- if $stores }}
        {{- include "plateflow.vaultEnv" $root | nindent 8 }}
        {{- include "plateflow.clipsEnv" $root | nindent 8 }}
        {{- end }}
        {{- if eq .part "inference" }}
        {{- include "plateflow.objectsEnv" $root | nindent 8 }}
        - name: PLATEFLOW_DEVICE
          value: {{ ternary "cuda" "cpu" $gpu }}
        - name: PLATEFLOW_THREADS  # what the pod may use, not what the node has
          valueFrom:
            resourceFieldRef: {resource: limits.cpu, divisor: "1"}
        {{- end }}
        {{- if eq .part "aggregator" }}
        {{- with include "plateflow.dataInS3" $root }}
        - name: PLATEFLOW_DATA
          value: {{ . | quote }}
        {{- include "plateflow.s3Env" (dict "root" $root "prefix" "PLATEFLOW_DATA") | nindent 8 }}
        {{- else }}
        - name: PLATEFLOW_DATA
          value: /data
        {{- end }}
        {{- end }}
        {{- if include "plateflow.camerasFor" (dict "root" $root "part" .part) }}
        - name: PLATEFLOW_CAMERAS
          value: /etc/plateflow/cameras/cameras.yaml
        {{- end }}
        {{- range $name, $value := $root.Values.settings }}
        - name: {{ $name }}
          value: {{ $value | quote }}
        {{- end }}
        {{- with $values.extraEnv }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- include "plateflow.probes" $root | nindent 6 }}
      resources:
        {{- $resources := deepCopy $values.resources }}
        {{- if $gpu }}
        {{- $_ := set $resources.limits $root.Values.inference.gpu.resource $root.Values.inference.gpu.count }}
        {{- end }}
        {{- toYaml $resources | nindent 8 }}
      volumeMounts:
        - {name: tmp, mountPath: /tmp}
        {{- if eq .part "inference" }}
        - {name: shared-memory, mountPath: /dev/shm}
        {{- end }}
        {{- if and $stores (eq $root.Values.storage.type "volume") }}
        - {name: store, mountPath: /store}
        {{- end }}
        {{- if and $stores $root.Values.vault.sourcesSecret }}
        - {name: vault-sources, mountPath: /etc/plateflow/vault, readOnly: true}
        {{- end }}
        {{- if $root.Values.kafka.caSecret }}
        - {name: kafka-ca, mountPath: /etc/plateflow/kafka, readOnly: true}
        {{- end }}
        {{- if eq .part "aggregator" }}
        {{- if not (include "plateflow.dataInS3" $root) }}
        - {name: data, mountPath: /data}
        {{- end }}
        {{- end }}
        {{- if include "plateflow.camerasFor" (dict "root" $root "part" .part) }}
        - {name: cameras, mountPath: /etc/plateflow/cameras, readOnly: true}
        {{- end }}
  volumes:
    - name: tmp
      emptyDir: {sizeLimit: {{ $values.scratch }}}
    {{- if eq .part "inference" }}
    - name: shared-memory
      emptyDir: {medium: Memory, sizeLimit: {{ $values.sharedMemory }}}
    {{- end }}
    {{- if and $stores (eq $root.Values.storage.type "volume") }}
    - name: store
      persistentVolumeClaim:
        claimName: {{ default (printf "%s-store" (include "plateflow.fullname" $root)) $root.Values.storage.volume.existingClaim }}
    {{- end }}
    {{- if and $stores $root.Values.vault.sourcesSecret }}
    - name: vault-sources
      secret: {secretName: {{ $root.Values.vault.sourcesSecret }}}
    {{- end }}
    {{- if $root.Values.kafka.caSecret }}
    - name: kafka-ca
      secret: {secretName: {{ $root.Values.kafka.caSecret }}}
    {{- end }}
    {{- if eq .part "aggregator" }}
    {{- if not (include "plateflow.dataInS3" $root) }}
    - name: data
      persistentVolumeClaim:
        claimName: {{ default (printf "%s-data" (include "plateflow.fullname" $root)) $values.persistence.existingClaim }}
    {{- end }}
    {{- end }}
    {{- if include "plateflow.camerasFor" (dict "root" $root "part" .part) }}
    - name: cameras
      configMap:
        name: {{ default (printf "%s-cameras" (include "plateflow.fullname" $root)) $root.Values.cameras.existingConfigMap }}
    {{- end }}
{{- end -}}

{{- /* Not empty where the part reads the camera file: the aggregator for geometry, inference for what counts. */ -}}
{{- define "plateflow.camerasFor" -}}
{{- if and (or .root.Values.cameras.config .root.Values.cameras.existingConfigMap) (has .part (list "inference" "aggregator")) -}}
yes
{{- end -}}
{{- end -}}
