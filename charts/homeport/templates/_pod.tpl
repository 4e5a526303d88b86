{{/* What the pods have in common. */}}

{{/* The pod's rights: restricted Pod Security. Takes (list $ user), user 0 for the chart's own. */}}
{{- define "homeport.podSecurity" -}}
{{- $ids := (index . 0).Values.security -}}
{{- $user := index . 1 -}}
{{- if and $user (not (kindIs "invalid" $ids.runAsUser)) -}}
{{- $ids = dict "runAsUser" $user "runAsGroup" $user "fsGroup" $user -}}
{{- end -}}
runAsNonRoot: true
{{- with $ids.runAsUser }}
runAsUser: {{ int64 . }}
{{- end }}
{{- with $ids.runAsGroup }}
runAsGroup: {{ int64 . }}
{{- end }}
{{- with $ids.fsGroup }}
fsGroup: {{ int64 . }}
fsGroupChangePolicy: OnRootMismatch
{{- end }}
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "homeport.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{/* Where a pod runs; takes the component's values. */}}
{{- define "homeport.placement" -}}
{{- with .nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end }}

{{/* Replicas apart from each other, where the site says nothing else; takes (list $ "component" values). */}}
{{- define "homeport.spread" -}}
{{- $values := index . 2 -}}
topologySpreadConstraints:
{{- if $values.topologySpreadConstraints }}
  {{- toYaml $values.topologySpreadConstraints | nindent 2 }}
{{- else }}
{{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: ScheduleAnyway
    # Each rollout by itself: the pods that are leaving do not push the new ones together.
    matchLabelKeys: [pod-template-hash]
    labelSelector:
      matchLabels:
        {{- include "homeport.selector" (list (index $ 0) (index $ 1)) | nindent 8 }}
{{- end }}
{{- end }}
{{- end }}

{{/* The first lines of every pod of ours; takes (list $ own-user). */}}
{{- define "homeport.podStart" -}}
{{- $root := index . 0 -}}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with $root.Values.image.pullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  {{- include "homeport.podSecurity" . | nindent 2 }}
{{- end }}

{{/* A container of our image: its first lines. */}}
{{- define "homeport.containerStart" -}}
image: {{ include "homeport.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  {{- include "homeport.containerSecurity" . | nindent 2 }}
{{- end }}

{{/* Until every proxy has heard that this pod is leaving, it goes on answering; takes the component's values. */}}
{{- define "homeport.drain" -}}
{{- with .drainSeconds }}
lifecycle:
  preStop:
    sleep: {seconds: {{ int64 . }}}
{{- end }}
{{- end }}

{{/* Annotations of a pod, and a mark that changes with what it reads from a Secret the chart writes from values; takes (list $ annotations). */}}
{{- define "homeport.podAnnotations" -}}
{{- $root := index . 0 -}}
{{- $notes := deepCopy (index . 1) -}}
{{- if and $root.Values.database.url (not $root.Values.database.existingSecret) -}}
{{- $_ := set $notes "checksum/database-url" (printf "%s %s" $root.Release.Name $root.Values.database.url | sha256sum | trunc 10) -}}
{{- end -}}
{{- with $notes }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* The environment of every container of ours. */}}
{{- define "homeport.env.common" -}}
- name: HOMEPORT_SECRETS_DIRECTORY
  value: /etc/homeport/secrets
{{- include "homeport.env.quiet" . }}
{{- end }}

{{/* What keeps MLflow from reporting usage. */}}
{{- define "homeport.env.quiet" -}}
{{- if not .Values.telemetry }}
- name: MLFLOW_DISABLE_TELEMETRY
  value: "true"
- name: DO_NOT_TRACK
  value: "true"
{{- end }}
{{- end }}

{{/* Until the schema is at head and the bucket there: what waits for the two Jobs, without a right to look at Jobs. */}}
{{- define "homeport.wait" -}}
- name: wait
  {{- include "homeport.containerStart" . | nindent 2 }}
  args: [python, -m, homeport.tracking.waiting]
  env:
    {{- include "homeport.env.common" . | nindent 4 }}
    {{- include "homeport.env.database" . | nindent 4 }}
    {{- include "homeport.env.artifacts" . | nindent 4 }}
    - name: HOMEPORT_AUTH
      value: {{ include "homeport.auth" . | quote }}
    - name: HOMEPORT_WAIT_SECONDS
      value: {{ int64 .Values.jobs.waitSeconds | quote }}
  resources:
    {{- toYaml .Values.jobs.resources | nindent 4 }}
  volumeMounts:
    {{- include "homeport.mounts" . | nindent 4 }}
{{- end }}

{{- define "homeport.mounts" -}}
- name: tmp
  mountPath: /tmp
- name: secrets
  mountPath: /etc/homeport/secrets
  readOnly: true
{{- end }}
