{{/*
The alerts of observability/rules.yml, of which files/ holds a copy, for a Prometheus that sees many releases: each
metric of this one alone, without those of Compose's gateway, and with commands of this cluster.
*/}}
{{- define "homeport.rules" -}}
{{- $name := include "homeport.fullname" . -}}
{{- $scope := printf "namespace=%q,service=~%q" .Release.Namespace (printf "%s-(tracking|serving)" $name) -}}
{{- $kubectl := printf "kubectl -n %s" .Release.Namespace -}}
{{- $rules := list -}}
{{- range (index (.Files.Get "files/rules.yml" | fromYaml).groups 0).rules -}}
{{- if not (contains "traefik_" .expr) -}}
{{- $expr := regexReplaceAll "(homeport_[a-z_]+)\\{" .expr (printf "${1}{%s," $scope) -}}
{{- $expr = regexReplaceAll "(homeport_[a-z_]+)([^a-z_{]|$)" $expr (printf "${1}{%s}${2}" $scope) -}}
{{- $expr = regexReplaceAll "\\bup\\b" $expr (printf "up{%s}" $scope) -}}
{{- $fix := .annotations.fix | replace "docker compose ps" (printf "%s get pods" $kubectl) -}}
{{- $fix = regexReplaceAll "docker compose logs (serving|tracking|\\{\\{ \\$labels\\.job \\}\\})( database)?" $fix (printf "%s logs deploy/%s-${1}" $kubectl $name) -}}
{{- $fix = $fix | replace "HOMEPORT_SERVING_WORKERS" "serving.replicas" | replace "HOMEPORT_PREDICTION_LOG" "serving.predictions.fraction" -}}
{{- $_ := set . "expr" $expr -}}
{{- $_ := set .annotations "fix" $fix -}}
{{- $rules = append $rules . -}}
{{- end -}}
{{- end -}}
{{- toYaml $rules }}
{{- end }}
