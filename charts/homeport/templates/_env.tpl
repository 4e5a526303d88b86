{{/* The environment of the programs: the same names as on every other target (tests/chart/test_contract.py). */}}

{{- define "homeport.auth" -}}
{{ ternary "basic" "off" .Values.auth.enabled }}
{{- end }}

{{- define "homeport.database.own" -}}
{{ and (not .Values.database.url) (not .Values.database.urlKey) }}
{{- end }}

{{- define "homeport.database.service" -}}
{{ include "homeport.fullname" . }}-database
{{- end }}

{{/* The URI, with {database-password} where the container's start puts the password; empty where the file is the URI. */}}
{{- define "homeport.database.template" -}}
{{- $d := .Values.database -}}
{{- if eq (include "homeport.database.own" .) "true" -}}
postgresql+psycopg2://{{ $d.user }}:{database-password}@{{ include "homeport.database.service" . }}:5432/{{ $d.name }}
{{- else if and $d.url $d.existingSecret -}}
{{- regexReplaceAll "^([a-z0-9+]+://[^:@/]+)(:[^@/]*)?@" $d.url "${1}:{database-password}@" }}
{{- end -}}
{{- end }}

{{- define "homeport.env.database" -}}
{{- $ca := .Values.database.ca -}}
{{- $template := include "homeport.database.template" . -}}
{{- if $template -}}
- name: MLFLOW_BACKEND_STORE_URI_TEMPLATE
  value: {{ $template | quote }}
{{- else -}}
- name: MLFLOW_BACKEND_STORE_URI_FILE
  value: /etc/homeport/secrets/backend-store-uri
{{- end }}
- name: HOMEPORT_DATABASE_EMBEDDED
  value: {{ include "homeport.database.own" . | quote }}
{{- if or $ca.existingSecret $ca.existingConfigMap }}
- name: PGSSLMODE
  value: verify-full
- name: PGSSLROOTCERT
  value: /etc/homeport/secrets/database-ca.crt
- name: MLFLOW_MYSQL_SSL_CA
  value: /etc/homeport/secrets/database-ca.crt
{{- end }}
{{- end }}

{{- define "homeport.objectstore.own" -}}
{{ and (not .Values.artifacts.destination) (not .Values.artifacts.endpoint) }}
{{- end }}

{{- define "homeport.objectstore.service" -}}
{{ include "homeport.fullname" . }}-objectstore
{{- end }}

{{- define "homeport.artifacts.destination" -}}
{{- default (printf "s3://%s" .Values.artifacts.bucket) .Values.artifacts.destination }}
{{- end }}

{{/* s3, google, azure, or other, by the destination's scheme. */}}
{{- define "homeport.artifacts.kind" -}}
{{- $scheme := include "homeport.artifacts.destination" . | regexFind "^[a-z0-9]+" -}}
{{- get (dict "s3" "s3" "gs" "google" "wasbs" "azure" "abfss" "azure") $scheme | default "other" }}
{{- end }}

{{- define "homeport.artifacts.isS3" -}}
{{ eq "s3" (include "homeport.artifacts.kind" .) }}
{{- end }}

{{- define "homeport.env.artifacts" -}}
- name: MLFLOW_ARTIFACTS_DESTINATION
  value: {{ include "homeport.artifacts.destination" . | quote }}
{{- $kind := include "homeport.artifacts.kind" . }}
{{- if eq $kind "s3" }}
{{ include "homeport.env.s3" . }}
{{- else if and (eq $kind "google") .Values.artifacts.google.existingSecret }}
- name: GOOGLE_APPLICATION_CREDENTIALS
  value: /etc/homeport/secrets/google-key.json
{{- else if and (eq $kind "azure") .Values.artifacts.azure.existingSecret }}
- name: AZURE_STORAGE_CONNECTION_STRING_FILE
  value: /etc/homeport/secrets/azure-connection-string
{{- end }}
{{- end }}

{{- define "homeport.env.s3" -}}
{{- $a := .Values.artifacts -}}
{{- $own := eq (include "homeport.objectstore.own" .) "true" -}}
- name: AWS_DEFAULT_REGION
  value: {{ $a.region | quote }}
# Newer boto3 adds CRC32 trailers that several stores reject or write into the file.
- name: AWS_REQUEST_CHECKSUM_CALCULATION
  value: when_required
- name: AWS_RESPONSE_CHECKSUM_VALIDATION
  value: when_required
{{- if $own }}
- name: MLFLOW_S3_ENDPOINT_URL
  value: http://{{ include "homeport.objectstore.service" . }}:8333
- name: AWS_ACCESS_KEY_ID_FILE
  value: /etc/homeport/secrets/objectstore-access-key
- name: AWS_SECRET_ACCESS_KEY_FILE
  value: /etc/homeport/secrets/objectstore-secret-key
- name: AWS_EC2_METADATA_DISABLED
  value: "true"
{{- else }}
{{- with $a.endpoint }}
- name: MLFLOW_S3_ENDPOINT_URL
  value: {{ . | quote }}
- name: MLFLOW_S3_IGNORE_TLS
  value: {{ $a.ignoreTls | quote }}
{{- end }}
{{- if $a.existingSecret }}
- name: AWS_ACCESS_KEY_ID_FILE
  value: /etc/homeport/secrets/aws-access-key-id
- name: AWS_SECRET_ACCESS_KEY_FILE
  value: /etc/homeport/secrets/aws-secret-access-key
{{- end }}
{{- end }}
{{- if or $own $a.existingSecret }}
# The keys are here, so nothing is looked up elsewhere; only then does the front stream artifacts itself.
- name: AWS_CONFIG_FILE
  value: /dev/null
- name: AWS_SHARED_CREDENTIALS_FILE
  value: /dev/null
{{- end }}
{{- end }}

{{/* By which names tracking may be called: the domain's, the Service's, and those of a port-forward. */}}
{{- define "homeport.allowedHosts" -}}
{{- $service := printf "%s-tracking" (include "homeport.fullname" .) -}}
{{- $inside := list $service (printf "%s.%s" $service .Release.Namespace) (printf "%s.%s.svc" $service .Release.Namespace) (printf "%s.%s.svc.cluster.local" $service .Release.Namespace) -}}
{{- $names := concat $inside (list "localhost" "127.0.0.1") .Values.tracking.allowedHosts -}}
{{- with .Values.domain }}{{ $names = prepend $names (printf "mlflow.%s" .) }}{{ end -}}
{{- $all := list -}}
{{- range $names }}{{ $all = append $all . }}{{ if not (contains ":" .) }}{{ $all = append $all (printf "%s:*" .) }}{{ end }}{{ end -}}
{{- join "," $all -}}
{{- end }}

{{/* The pages that may call tracking. Where people come without TLS, the page's own address begins with http. */}}
{{- define "homeport.corsOrigins" -}}
{{- $pages := list "http://localhost:*" "http://127.0.0.1:*" -}}
{{- with .Values.domain -}}
{{- $pages = list (printf "https://mlflow.%s" .) (printf "https://mlflow.%s:*" .) -}}
{{- if not $.Values.ingress.tls.enabled -}}
{{- $pages = concat $pages (list (printf "http://mlflow.%s" .) (printf "http://mlflow.%s:*" .)) -}}
{{- end -}}
{{- end -}}
{{- join "," $pages -}}
{{- end }}

{{/* Where tracking and serving are, for programs in the cluster. */}}
{{- define "homeport.tracking.url" -}}
http://{{ include "homeport.fullname" . }}-tracking:{{ .Values.tracking.service.port }}
{{- end }}

{{- define "homeport.serving.url" -}}
http://{{ include "homeport.fullname" . }}-serving:{{ .Values.serving.service.port }}
{{- end }}

{{/* What a client of tracking in the cluster is given; takes (list $ "user" "secret-name"). */}}
{{- define "homeport.env.client" -}}
{{- $root := index . 0 -}}
{{ include "homeport.env.trackingUrl" $root }}
{{- if $root.Values.auth.enabled }}
- name: MLFLOW_TRACKING_USERNAME
  value: {{ index . 1 }}
- name: MLFLOW_TRACKING_PASSWORD_FILE
  value: /etc/homeport/secrets/{{ index . 2 }}
{{- end }}
{{- end }}

{{- define "homeport.env.trackingUrl" -}}
- name: MLFLOW_TRACKING_URI
  value: {{ include "homeport.tracking.url" . }}
# Clients in the cluster take artifacts through the server, as everybody else.
- name: MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD
  value: "false"
- name: MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD
  value: "false"
{{- end }}
