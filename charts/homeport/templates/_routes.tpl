{{/*
What is not answered from outside, as at the gateway of Compose (src/homeport/gateway/routes.py): where a server asks for
a login these paths do, too; this holds where one forgets to. The gateway also refuses other spellings of them (encoded
slashes, dots, upper case), which neither an Ingress nor an HTTPRoute can say.
*/}}
{{- define "homeport.refused.tracking" -}}
- /metrics
# Runs commands on the server; meant for loopback.
- /ajax-api/3.0/mlflow/assistant
{{- if not .Values.tracking.jobs }}
- /ajax-api/3.0/jobs
{{- end }}
{{- if not .Values.tracking.aiGateway }}
- /gateway
- /ajax-api/2.0/mlflow/gateway-proxy
{{- end }}
{{- end }}

{{- define "homeport.refused.serving" -}}
- /metrics
{{- end }}

{{/* One host of the Ingress; takes (list $ "mlflow" "tracking"). */}}
{{- define "homeport.ingress.host" -}}
{{- $root := index . 0 -}}
{{- $component := index . 2 -}}
{{- $name := include "homeport.fullname" $root -}}
- host: {{ printf "%s.%s" (index . 1) $root.Values.domain | quote }}
  http:
    paths:
      {{- range include (printf "homeport.refused.%s" $component) $root | fromYamlArray }}
      - path: {{ . }}
        pathType: Prefix
        backend:
          service: {name: {{ $name }}-nobody, port: {name: http}}
      {{- end }}
      - path: /
        pathType: Prefix
        backend:
          service: {name: {{ $name }}-{{ $component }}, port: {name: http}}
{{- end }}

{{/* One HTTPRoute; takes (list $ "mlflow" "tracking"). */}}
{{- define "homeport.httproute" -}}
{{- $root := index . 0 -}}
{{- $component := index . 2 -}}
{{- $values := get $root.Values $component -}}
{{- $name := printf "%s-%s" (include "homeport.fullname" $root) $component -}}
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata:
  {{- include "homeport.metadata" (list $root $component $name $root.Values.gatewayApi.annotations) | nindent 2 }}
spec:
  parentRefs:
    {{- toYaml $root.Values.gatewayApi.parentRefs | nindent 4 }}
  hostnames: [{{ printf "%s.%s" (index . 1) $root.Values.domain | quote }}]
  rules:
    - matches:
        {{- range include (printf "homeport.refused.%s" $component) $root | fromYamlArray }}
        - path: {type: PathPrefix, value: {{ . }}}
        {{- end }}
      backendRefs:
        - {name: {{ include "homeport.fullname" $root }}-nobody, port: 80}
    - matches:
        - path: {type: PathPrefix, value: /}
      backendRefs:
        - {name: {{ $name }}, port: {{ $values.service.port }}}
      {{- with get $root.Values.gatewayApi.timeouts $component }}
      timeouts: {request: {{ . }}}
      {{- end }}
{{- end }}

{{- define "homeport.ingress.on" -}}
{{ and (not (empty .Values.domain)) .Values.ingress.enabled (not .Values.gatewayApi.enabled) }}
{{- end }}
