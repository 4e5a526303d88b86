{{/* Names, labels and images. */}}

{{- define "homeport.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" }}
{{- end }}

{{/*
RELEASE-homeport, or RELEASE alone where it says homeport already; short enough for every name made from it, and a label
of DNS: a release may be called 1.2, a Service may not.
*/}}
{{- define "homeport.fullname" -}}
{{- $name := include "homeport.name" . -}}
{{- $whole := ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) -}}
{{- $name = default $whole .Values.fullnameOverride | replace "." "-" -}}
{{- regexReplaceAll "^([0-9])" $name "r${1}" | trunc 40 | trimSuffix "-" }}
{{- end }}

{{/* What pods are selected by; takes (list $ "component"). Never changes, as selectors cannot. */}}
{{- define "homeport.selector" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: {{ include "homeport.name" $root | quote }}
app.kubernetes.io/instance: {{ $root.Release.Name | quote }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{/* Every pod of the release. */}}
{{- define "homeport.selectorOfAll" -}}
app.kubernetes.io/name: {{ include "homeport.name" . | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end }}

{{/* Labels of any object; takes (list $ "component" and, perhaps, labels). The site's may take the place of ours, but of none that is looked for. */}}
{{- define "homeport.labels" -}}
{{- $root := index . 0 -}}
{{- $more := dict -}}
{{- if gt (len .) 2 }}{{ $more = index . 2 }}{{ end -}}
{{- $fixed := include "homeport.selector" . | fromYaml -}}
{{- $_ := set $fixed "app.kubernetes.io/managed-by" $root.Release.Service -}}
{{- $_ := set $fixed "helm.sh/chart" (printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_") -}}
{{- $ours := dict "app.kubernetes.io/part-of" "homeport" "app.kubernetes.io/version" $root.Chart.AppVersion -}}
{{- toYaml (merge $fixed $more $root.Values.commonLabels $ours) }}
{{- end }}

{{/* Labels of pods: without versions, since a new chart alone is no reason to start them anew. Takes (list $ "component" labels). */}}
{{- define "homeport.podLabels" -}}
{{- $root := index . 0 -}}
{{- $fixed := include "homeport.selector" (list $root (index . 1)) | fromYaml -}}
{{- toYaml (merge $fixed (index . 2) $root.Values.commonLabels (dict "app.kubernetes.io/part-of" "homeport")) }}
{{- end }}

{{/* name, namespace, labels and annotations; takes (list $ "component" "name" annotations and, perhaps, labels). */}}
{{- define "homeport.metadata" -}}
{{- $root := index . 0 -}}
{{- $notes := merge (dict) (default (dict) (index . 3)) $root.Values.commonAnnotations -}}
name: {{ index . 2 }}
namespace: {{ $root.Release.Namespace }}
labels:
  {{- include "homeport.labels" (concat (list $root (index . 1)) (slice . 4)) | nindent 2 }}
{{- with $notes }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* repository:tag or repository@digest; takes (list image default-tag). */}}
{{- define "homeport.imageOf" -}}
{{- $image := index . 0 -}}
{{- if $image.digest -}}
{{ $image.repository }}@{{ $image.digest }}
{{- else -}}
{{ $image.repository }}:{{ default (index . 1) $image.tag }}
{{- end }}
{{- end }}

{{- define "homeport.image" -}}
{{- include "homeport.imageOf" (list .Values.image .Chart.AppVersion) }}
{{- end }}

{{- define "homeport.serviceAccount" -}}
{{- default (ternary (include "homeport.fullname" .) "default" .Values.serviceAccount.create) .Values.serviceAccount.name }}
{{- end }}

{{/* A name that changes with what the Job runs, since the pods of a Job cannot be changed; takes (list $ "component" spec). */}}
{{- define "homeport.jobName" -}}
{{- printf "%s-%s-%s" (include "homeport.fullname" (index . 0)) (index . 1) (index . 2 | sha256sum | trunc 10) }}
{{- end }}
