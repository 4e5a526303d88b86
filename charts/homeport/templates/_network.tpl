{{/* Who may talk to whom. A policy of each part is beside it; here is what they are made of. */}}

{{/* Peers of the release; takes (list $ "component"…). */}}
{{- define "homeport.peers" -}}
{{- $root := first . -}}
{{- range rest . }}
- podSelector:
    matchLabels:
      {{- include "homeport.selector" (list $root .) | nindent 6 }}
{{- end }}
{{- end }}

{{/* The first lines of a policy; takes (list $ "component"). */}}
{{- define "homeport.policy" -}}
{{- $root := index . 0 -}}
{{- $component := index . 1 -}}
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  {{- include "homeport.metadata" (list $root $component (printf "%s-%s" (include "homeport.fullname" $root) $component) dict) | nindent 2 }}
spec:
  podSelector:
    matchLabels:
      {{- include "homeport.selector" . | nindent 6 }}
{{- end }}

{{/* Rules of egress to tracking and serving; takes $. */}}
{{- define "homeport.egress.tracking" -}}
- to:
    {{- include "homeport.peers" (list . "tracking") | trim | nindent 4 }}
  ports: [{port: 5000}]
{{- end }}

{{- define "homeport.egress.serving" -}}
- to:
    {{- include "homeport.peers" (list . "serving") | trim | nindent 4 }}
  ports: [{port: 5002}]
{{- end }}

{{/* To the database, to the store: the chart's own, or what the site says is outside. Each comes with its line break, or is nothing. */}}
{{- define "homeport.egress.database" -}}
{{- if eq (include "homeport.database.own" .) "true" }}
- to:
    {{- include "homeport.peers" (list . "database") | trim | nindent 4 }}
  ports: [{port: 5432}]
{{- end }}
{{- end }}

{{- define "homeport.egress.objectstore" -}}
{{- if eq (include "homeport.objectstore.own" .) "true" }}
- to:
    {{- include "homeport.peers" (list . "objectstore") | trim | nindent 4 }}
  ports: [{port: 8333}]
{{- end }}
{{- end }}

{{- define "homeport.egress.outside" -}}
{{- if .Values.networkPolicy.egress }}
{{ toYaml .Values.networkPolicy.egress }}
{{- else }}
- {}
{{- end }}
{{- end }}

{{/* Who may call tracking or serving from outside the release; takes $. Nothing where everybody may. */}}
{{- define "homeport.ingress.clients" -}}
{{- with .Values.networkPolicy.clients }}
{{ toYaml . }}
{{- end }}
{{- with .Values.networkPolicy.metrics }}
{{ toYaml . }}
{{- end }}
{{- end }}
