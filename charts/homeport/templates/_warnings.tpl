{{/* What works, and should be known. */}}
{{- define "homeport.warnings" -}}
{{- $d := .Values.database -}}
{{- $t := .Values.tracking -}}
{{- $ownDatabase := eq (include "homeport.database.own" .) "true" -}}
{{- $ownStore := eq (include "homeport.objectstore.own" .) "true" -}}
{{- if $ownDatabase }}
- The database is one pod with one volume, for trials: no standby, no backup. Production: database.url.
{{- $replicas := int64 (ternary $t.autoscaling.maxReplicas (default 1 $t.replicas) $t.autoscaling.enabled) }}
{{- $each := add 10 (mul (default 1 $t.workers) (add 14 (mul 4 (int64 $t.threads)))) }}
{{- $needed := add 26 (mul $each (add 1 $replicas)) }}
{{- if gt $needed (int64 $d.maxConnections) }}
- {{ $replicas }} replica(s) of tracking, and one more during a rollout, may open {{ $needed }} connections; the database
  allows {{ int64 $d.maxConnections }}. Set database.maxConnections={{ $needed }} (and more memory), or fewer replicas.
{{- end }}
{{- end }}
{{- if $ownStore }}
- The object store is one pod with one volume, for trials. Production: artifacts.destination=s3://bucket.
{{- if not .Values.networkPolicy.enabled }}
- networkPolicy.enabled is off: whoever reaches the object store's pod reads it by its inner ports, which ask for no key.
{{- end }}
{{- end }}
{{- if not .Values.secrets.existingSecret }}
- The secrets were made by this chart and are kept in Secret {{ include "homeport.fullname" . }}, also when it is uninstalled. Argo CD, Flux
  with `helm template` and every other tool that cannot look them up would make new ones each time: give it
  secrets.existingSecret (docs/how-to/kubernetes.md has the keys).
{{- end }}
{{- if and $d.url (not $d.existingSecret) (regexMatch "^[a-z0-9+]+://[^/@]*:[^/@]+@" $d.url) }}
- The password of the database stands in database.url, so it is in the values of this release. Better: database.existingSecret.
{{- end }}
{{- if not .Values.auth.enabled }}
- auth.enabled is off: whoever reaches the Services may read, change and delete everything, and run any model.
{{- end }}
{{- if and .Values.domain (not .Values.ingress.enabled) (not .Values.gatewayApi.enabled) }}
- domain is set, but neither ingress.enabled nor gatewayApi.enabled: nothing leads in from outside.
{{- end }}
{{- if and .Values.networkPolicy.enabled (not .Values.networkPolicy.clients) }}
- networkPolicy.clients is empty: every pod of the cluster may call tracking and serving{{ ternary ", which ask for a login" "" .Values.auth.enabled }}.
{{- end }}
{{- if hasPrefix "abfss://" (include "homeport.artifacts.destination" .) }}
- abfss:// needs the package azure-storage-file-datalake, which this image does not have: use wasbs://, or an image of yours.
{{- end }}
{{- if and (not .Values.domain) .Values.auth.enabled (ne .Values.tracking.service.type "ClusterIP") }}
- tracking.service.type {{ .Values.tracking.service.type }} without a domain: add the name clients use to tracking.allowedHosts.
{{- end }}
{{- end }}
