{{/* Which secrets there are and where each is kept. Programs see them as files, never in their environment's text. */}}

{{- define "homeport.secretName" -}}
{{- default (include "homeport.fullname" .) .Values.secrets.existingSecret }}
{{- end }}

{{/* Our Secret, kept from an earlier release of the same name: what was generated once stays. */}}
{{- define "homeport.generated" -}}
{{- $kept := dict -}}
{{- with lookup "v1" "Secret" .Release.Namespace (include "homeport.fullname" .) -}}
{{- $kept = default (dict) .data -}}
{{- end -}}
{{- $random := dict
  "admin-password" (randAlphaNum 24)
  "database-password" (randAlphaNum 32)
  "flask-secret-key" (randAlphaNum 43)
  "objectstore-access-key" (printf "AK%s" (randAlphaNum 18 | upper))
  "objectstore-secret-key" (randAlphaNum 40)
  "serving-key" (randAlphaNum 43)
  "serving-password" (randAlphaNum 32)
  "training-password" (randAlphaNum 32)
  "webhook-encryption-key" (randBytes 32 | replace "+" "-" | replace "/" "_")
  "webhook-secret" (randAlphaNum 43)
-}}
{{- range $name, $value := $random }}
{{ $name }}: {{ default ($value | b64enc) (get $kept $name) }}
{{- end }}
{{- end }}

{{/* The files of a pod; takes (list $ names…). `database`, `artifacts` and `predictions` stand for what the site set. */}}
{{- define "homeport.secretsVolume" -}}
{{- $root := first . -}}
{{- $ours := include "homeport.secretName" $root -}}
{{- $files := list -}}
{{- range rest . -}}
  {{- if has . (list "database" "artifacts" "predictions") -}}
    {{- $files = concat $files (include (printf "homeport.%s.secrets" .) $root | fromYamlArray) -}}
  {{- else -}}
    {{- $files = append $files (dict "name" $ours "key" . "path" .) -}}
  {{- end -}}
{{- end -}}
- name: secrets
  {{- if not $files }}
  emptyDir: {}
  {{- else }}
  projected:
    defaultMode: 0440
    sources:
      {{- range $file := $files }}
      - {{ default "secret" $file.kind }}:
          name: {{ $file.name }}
          items:
            - {key: {{ $file.key }}, path: {{ $file.path }}}
      {{- end }}
  {{- end }}
{{- end }}

{{/* Where the database's secret is, and the file it becomes: a password, or the whole URL; and its certificate authority. */}}
{{- define "homeport.database.secrets" -}}
{{- $d := .Values.database -}}
{{- if and $d.existingSecret $d.urlKey }}
- {name: {{ $d.existingSecret }}, key: {{ $d.urlKey }}, path: backend-store-uri}
{{- else if $d.existingSecret }}
- {name: {{ $d.existingSecret }}, key: {{ $d.passwordKey }}, path: database-password}
{{- else if $d.url }}
- {name: {{ include "homeport.database.urlSecret" . }}, key: backend-store-uri, path: backend-store-uri}
{{- else }}
- {name: {{ include "homeport.secretName" . }}, key: database-password, path: database-password}
{{- end }}
{{- if $d.ca.existingSecret }}
- {name: {{ $d.ca.existingSecret }}, key: {{ $d.ca.key }}, path: database-ca.crt}
{{- else if $d.ca.existingConfigMap }}
- {kind: configMap, name: {{ $d.ca.existingConfigMap }}, key: {{ $d.ca.key }}, path: database-ca.crt}
{{- end }}
{{- end }}

{{/* A URL that stands in the values is kept in a Secret of its own, whoever keeps the others. */}}
{{- define "homeport.database.urlSecret" -}}
{{ include "homeport.fullname" . }}-database-url
{{- end }}

{{- define "homeport.artifacts.secrets" -}}
{{- $a := .Values.artifacts -}}
{{- $kind := include "homeport.artifacts.kind" . -}}
{{- if eq (include "homeport.objectstore.own" .) "true" }}
- {name: {{ include "homeport.secretName" . }}, key: objectstore-access-key, path: objectstore-access-key}
- {name: {{ include "homeport.secretName" . }}, key: objectstore-secret-key, path: objectstore-secret-key}
{{- else if and (eq $kind "s3") $a.existingSecret }}
- {name: {{ $a.existingSecret }}, key: {{ $a.accessKeyKey }}, path: aws-access-key-id}
- {name: {{ $a.existingSecret }}, key: {{ $a.secretKeyKey }}, path: aws-secret-access-key}
{{- else if and (eq $kind "google") $a.google.existingSecret }}
- {name: {{ $a.google.existingSecret }}, key: {{ $a.google.key }}, path: google-key.json}
{{- else if and (eq $kind "azure") $a.azure.existingSecret }}
- {name: {{ $a.azure.existingSecret }}, key: {{ $a.azure.key }}, path: azure-connection-string}
{{- else }}
[]
{{- end }}
{{- end }}

{{- define "homeport.predictions.secrets" -}}
{{- $p := .Values.serving.predictions -}}
{{- if $p.fraction }}
- {name: {{ $p.existingSecret }}, key: {{ $p.urlKey }}, path: prediction-database-uri}
{{- else }}
[]
{{- end }}
{{- end }}
